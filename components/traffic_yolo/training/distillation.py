"""What a network learns from another one that has the same heads: the teacher's boxes, objectness and classes.

The rule is the objectness-scaled distillation of Mehta and Ozturk 2018 ("Object detection at 200 frames per second",
arXiv 1805.06361, 3.2): objectness is learnt in every cell, classes and boxes times the teacher's objectness there,
since what a teacher says of a cell that shows nothing is noise. Their suppression of the teacher's neighbouring boxes
(FM-NMS) is not done. As there, each term has the form that it has towards a truth: those of `exact_loss`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.training.box_delta import entries_of, scaled
from traffic_yolo.training.box_loss import box_measure
from traffic_yolo.training.exact_loss import MEASURE_GAIN
from traffic_yolo.training.head_grid import HeadGrid, Places
from traffic_yolo.training.overlaps import in_ignored
from traffic_yolo.training.targets import Truths

# Of a teacher's objectness: at or below, a cell shows no object. It is what heads start from (Lin et al. 2017, 4.1);
# the thousands of cells below would outweigh the few with something in them.
OBJECT_FLOOR = 0.01


def distillation_loss(
    heads: Sequence[YoloHead],
    inputs: Sequence[Tensor],
    teacher_heads: Sequence[YoloHead],
    teacher_inputs: Sequence[Tensor],
    truths: Truths,
    *,
    network_wh: tuple[int, int],
) -> Tensor:
    """The teacher's terms of B pictures, summed over pictures and heads: float64 scalar with its gradient, 0 at least.

    `inputs`, `teacher_inputs`: per head what enters it, (B, A * (5 + C), h, w), float32; heads of one place have the
    same cells, anchors and classes (`teacher.check_same_heads`). Nothing is learnt inside boxes that `truths` ignores,
    as of the labels. 0 where both networks say the same.
    """
    terms = [
        _of_head(_grid(head, x, network_wh), _grid(other, y.detach(), network_wh), truths)
        for head, x, other, y in zip(heads, inputs, teacher_heads, teacher_inputs, strict=True)
    ]
    return torch.stack(terms).sum()


def _grid(head: YoloHead, inputs: Tensor, network_wh: tuple[int, int]) -> HeadGrid:
    """As `HeadGrid.of`, with gradients."""
    batch, _, height, width = inputs.shape
    return HeadGrid(head, inputs.view(batch, head.num_anchors, 5 + head.num_classes, height, width), network_wh)


def _of_head(grid: HeadGrid, teacher: HeadGrid, truths: Truths) -> Tensor:
    head = grid.head
    goal = teacher.probabilities(teacher.entries[:, :, 4])  # (B, A, h, w)
    counts = torch.ones_like(goal)
    with torch.no_grad():
        ignored = in_ignored(grid, truths)
    if ignored is not None:
        counts[ignored.index] = 0.0
    # Made contiguous: sums over cut entries took most of the time
    objectness = counts * _difference(head, grid.entries[:, :, 4].contiguous(), goal)
    places = Places(*torch.nonzero((goal > OBJECT_FLOOR) & (counts > 0), as_tuple=True))
    rows, wanted = grid.rows(places).double(), teacher.rows(places).double()  # (N, 5 + C)
    weight = goal[places.index].double()  # (N,)
    classes = _difference(head, rows[:, 5:], teacher.probabilities(wanted[:, 5:])).sum(dim=1)
    boxes = _box_terms(grid, rows[:, :4], teacher.boxes(wanted[:, :4], places), places)
    of_objects = (weight * (head.cls_normalizer * classes + boxes)).sum()
    return head.delta_normalizer * (head.obj_normalizer * objectness.sum(dtype=torch.float64) + of_objects)


def _difference(head: YoloHead, values: Tensor, goals: Tensor) -> Tensor:
    """Elementwise cross-entropy of logits towards probabilities, less its least; with new_coords, half a square."""
    if head.new_coords:
        return (values - goals).square() / 2
    least = functional.binary_cross_entropy(goals, goals, reduction="none")
    return functional.binary_cross_entropy_with_logits(values, goals, reduction="none") - least


def _box_terms(grid: HeadGrid, values: Tensor, goal_cxcywh: Tensor, places: Places) -> Tensor:
    """(N,) terms of predictions with box entries `values` (N, 4) towards the teacher's boxes (N, 4)."""
    head = grid.head
    if head.iou_loss == "mse":
        errors = scaled(grid, values) - entries_of(grid, places, goal_cxcywh)
        small = 2 - goal_cxcywh[:, 2] * goal_cxcywh[:, 3]
        return head.iou_normalizer * small * errors.square().sum(dim=1) / 2
    return (
        MEASURE_GAIN * head.iou_normalizer * (1 - box_measure(grid.boxes(values, places), goal_cxcywh, head.iou_loss))
    )
