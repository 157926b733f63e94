"""A loss of a [yolo] head that is one: an objective over Darknet's assignment, and the true gradients of it.

Objectness and classes are cross-entropies (squares / 2 where new_coords put a logistic before the head, as Darknet's
deltas are there), boxes `1 - measure` or squares, with every factor of the chain rule. Of Darknet's rules those are
kept that choose what is trained; those that bend a gradient have no place: max_delta, and the rejection of bad labels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.training.box_delta import entries_of, scaled
from traffic_yolo.training.box_loss import box_measure
from traffic_yolo.training.darknet_loss import FOCAL_ALPHA, class_multipliers
from traffic_yolo.training.head_grid import HeadGrid
from traffic_yolo.training.overlaps import in_ignored, overlapping
from traffic_yolo.training.pairs import Pairs, pairs_of
from traffic_yolo.training.targets import Truths, assign

MEASURE_GAIN = 50.0


@dataclass(frozen=True)
class HeadObjective:
    """A head's terms (scalars, float64), minus their gradient `delta` (B, A, 5 + C, h, w), the `pairs` it trains."""

    box: Tensor
    objectness: Tensor
    classes: Tensor
    delta: Tensor
    pairs: Pairs


def exact_objective(grid: HeadGrid, truths: Truths) -> HeadObjective:
    """The terms of one head, summed over pictures, and their gradient."""
    head = grid.head
    overlaps = overlapping(grid, truths)
    assignment = assign(truths, head, grid_hw=grid.grid_hw, network_wh=grid.network_wh)
    pairs = pairs_of(grid, truths, assignment, overlaps.where(overlaps.iou > head.truth_thresh))
    # Derived by autograd where little is to be derived, and by hand over all cells: cutting entries apart would fill
    # a gradient of the whole head for every piece.
    with torch.enable_grad():
        rows = grid.rows(pairs.places).double().requires_grad_()  # (U, 5 + C)
        weights = class_multipliers(head, rows)[pairs.class_ids]  # (N,)
        share = 1 / torch.bincount(pairs.cell, minlength=len(rows)).to(rows)[pairs.cell]  # (N,)
        box, iou = _box_terms(grid, rows[:, :4], pairs)
        box = (share * weights * box).sum()
        classes = _class_terms(head, rows[:, 5:], pairs, weights).sum()
        (gradient,) = torch.autograd.grad(box + classes, rows)
    targets = torch.zeros_like(grid.entries[:, :, 4])  # (B, A, h, w)
    importance = torch.ones_like(targets)
    if (ignored := in_ignored(grid, truths)) is not None:
        importance[ignored.index] = 0.0
    well = overlaps.where(overlaps.matches & (overlaps.iou > head.ignore_thresh))
    if head.objectness_smooth:
        targets[well.places.index] = well.iou.to(targets)
    else:
        importance[well.places.index] = 0.0
    goal = iou.detach() if head.objectness_smooth else torch.ones_like(iou)
    targets[pairs.places.index] = _largest(goal, pairs).to(targets)
    importance[pairs.places.index] = _largest(weights, pairs).to(targets)
    delta = torch.zeros_like(grid.entries)
    values = grid.entries[:, :, 4]
    importance *= head.obj_normalizer
    torch.mul(importance, targets - grid.probabilities(values), out=delta[:, :, 4])
    objectness = (importance * _probability_terms(head, values, targets)).sum(dtype=torch.float64)
    image, slot, row, column = pairs.places.index
    gradient = gradient.to(delta.dtype)
    delta[image, slot, :4, row, column] = -gradient[:, :4]
    delta[image, slot, 5:, row, column] = -gradient[:, 5:]
    return HeadObjective(box.detach(), objectness, classes.detach(), delta, pairs)


def _largest(values: Tensor, pairs: Pairs) -> Tensor:
    """(N,) values of pairs -> (U,) the largest of each prediction's."""
    start = torch.full((len(pairs.places),), -torch.inf, dtype=values.dtype, device=values.device)
    return start.scatter_reduce(0, pairs.cell, values, "amax")


def _box_terms(grid: HeadGrid, values: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor]:
    """(N,) term of each pair, and its IoU; `values` (U, 4) the box entries."""
    head = grid.head
    places, values = pairs.places.at(pairs.cell), values[pairs.cell]
    predicted = grid.boxes(values, places)
    iou = box_measure(predicted, pairs.boxes, "iou")
    if head.iou_loss == "mse":
        errors = scaled(grid, values) - entries_of(grid, places, pairs.boxes)
        small = 2 - pairs.boxes[:, 2] * pairs.boxes[:, 3]
        return head.iou_normalizer * small * errors.square().sum(dim=1) / 2, iou
    measure = iou if head.iou_loss == "iou" else box_measure(predicted, pairs.boxes, head.iou_loss)
    return MEASURE_GAIN * head.iou_normalizer * (1 - measure), iou


def _class_terms(head: YoloHead, values: Tensor, pairs: Pairs, weights: Tensor) -> Tensor:
    """(U, C) terms of the classes; a prediction is wanted to be every class of its truths."""
    hot = torch.zeros_like(values)
    hot[pairs.cell, pairs.class_ids] = 1.0
    weight = torch.ones_like(values)
    weight[pairs.cell, pairs.class_ids] = weights
    if not head.focal_loss:
        targets = hot * (1 - head.label_smooth_eps) + head.label_smooth_eps / 2
        return head.cls_normalizer * weight * _probability_terms(head, values, targets)
    # Lin et al. 2017, equation 5, with Darknet's alpha for both sides.
    probabilities = values if head.new_coords else values.sigmoid()
    missed = torch.where(hot > 0, 1 - probabilities, probabilities)
    return head.cls_normalizer * weight * FOCAL_ALPHA * missed.square() * _probability_terms(head, values, hot)


def _probability_terms(head: YoloHead, values: Tensor, targets: Tensor) -> Tensor:
    """Elementwise cross-entropy of logits; with new_coords, half the square of the error."""
    if head.new_coords:
        return (values - targets).square() / 2
    return functional.binary_cross_entropy_with_logits(values, targets, reduction="none")
