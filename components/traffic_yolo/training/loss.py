"""The loss of [yolo] heads: objectness, class and box terms whose gradients follow Darknet's (yolo_layer.c).

Darknet has no loss function, it writes gradients ("delta") by hand. Here the objectness and class gradients are exactly
Darknet's. Box gradients take Darknet's path from the box to the network's output, so that `iou_normalizer` and
`max_delta` of published cfgs mean what they mean there, and the true derivative of the overlap measure; Darknet's own
departs from it in the distance and aspect terms of diou and ciou and where boxes do not overlap. Further departures, on
purpose: `cls_normalizer` multiplies the class term (in Darknet it acts only beside counters_per_class), and with
`objectness_smooth` an assigned prediction is trained towards its IoU (in Darknet, mostly towards background).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.box_loss import box_measure, pairwise_overlap
from traffic_yolo.training.targets import Assignment, Truths, assign

CLASS_MATCH = 0.25  # yolo_layer.c 356: an overlap counts only for a prediction with some class above this
IGNORE_REGION = 0.5  # share of a prediction inside an ignored box from which on it is not punished as background


@dataclass(frozen=True)
class Loss:
    """Sums over all pictures and heads. `total` carries the gradient; the others are detached scalars."""

    total: Tensor
    box: Tensor
    objectness: Tensor
    classes: Tensor
    num_assigned: int


def check_heads(heads: Sequence[YoloHead]) -> None:
    """Raises `TrainingError` for settings of a [yolo] section that this loss does not know."""
    for head in heads:
        where = f"[yolo] of layer {head.layer_index}"
        if head.focal_loss:
            raise TrainingError(f"{where}: focal_loss=1 is not supported in training; remove the key")
        if head.counters_per_class:
            raise TrainingError(f"{where}: counters_per_class is not supported in training; remove the key")
        if head.truth_thresh < 1:
            raise TrainingError(f"{where}: truth_thresh below 1 is not supported in training; set truth_thresh=1")


def yolo_loss(
    heads: Sequence[YoloHead], head_inputs: Sequence[Tensor], truths: Truths, *, network_wh: tuple[int, int]
) -> Loss:
    """The loss of a batch, not divided by anything.

    `head_inputs`: per head what enters [yolo], (B, A * (5 + C), h, w), float32 or float64; `truths`: boxes of the B
    pictures; `network_wh`: size of the network input in pixels, the unit of the anchors.
    """
    parts = [_head_loss(head, inputs, truths, network_wh) for head, inputs in zip(heads, head_inputs, strict=True)]
    box, objectness, classes = (sum(terms[1:], terms[0]) for terms in list(zip(*parts, strict=True))[:3])
    return Loss(
        total=box + objectness + classes,
        box=box.detach(),
        objectness=objectness.detach(),
        classes=classes.detach(),
        num_assigned=sum(part[3] for part in parts),
    )


def _head_loss(
    head: YoloHead, inputs: Tensor, truths: Truths, network_wh: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, int]:
    batch, _, height, width = inputs.shape
    entries = inputs.view(batch, head.num_anchors, 5 + head.num_classes, height, width)
    assignment = assign(truths, head, grid_hw=(height, width), network_wh=network_wh)
    cells = Cells.of(assignment, inputs.device)
    assigned = entries[cells.image, cells.slot, :, cells.row, cells.column]  # (K, 5 + C)
    true_boxes = torch.from_numpy(truths.boxes_cxcywh_norm[assignment.truth]).to(inputs)
    class_ids = torch.from_numpy(truths.class_ids[assignment.truth]).to(inputs.device)

    classes, classes_in_cell = _class_loss(head, assigned[:, 5:], class_ids, cells.flat(entries.shape))
    box, measure = _box_loss(head, assigned[:, :4], true_boxes, cells, classes_in_cell, (height, width), network_wh)
    objectness = _objectness_loss(head, entries, truths, cells, measure, network_wh)
    return box, objectness, classes, len(assignment)


@dataclass(frozen=True)
class Cells:
    """Where the assigned predictions stand, (K,) int64 tensors on the network's device."""

    image: Tensor
    slot: Tensor
    row: Tensor
    column: Tensor

    @classmethod
    def of(cls, assignment: Assignment, device: torch.device) -> "Cells":
        """The positions of an assignment as tensors."""
        arrays = (assignment.image, assignment.slot, assignment.row, assignment.column)
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def flat(self, shape: Sequence[int]) -> Tensor:
        """(K,) one number per position in entries of `shape` (B, A, 5 + C, h, w)."""
        _, slots, _, height, width = shape
        return ((self.image * slots + self.slot) * height + self.row) * width + self.column


def _class_loss(head: YoloHead, logits: Tensor, class_ids: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over assigned predictions, each counted once with all classes of its truths; (K,) classes of each's cell."""
    cells, cell_of = torch.unique(positions, return_inverse=True)  # (U,), (K,)
    hot = torch.zeros(len(cells), head.num_classes, dtype=logits.dtype, device=logits.device)  # (U, C)
    hot[cell_of, class_ids] = 1
    targets = hot * (1 - head.label_smooth_eps) + head.label_smooth_eps / 2
    first = torch.full((len(cells),), len(cell_of), dtype=torch.int64, device=logits.device)
    first = first.scatter_reduce(0, cell_of, torch.arange(len(cell_of), device=logits.device), "amin")
    loss = head.cls_normalizer * _probability_loss(head, logits[first], targets).sum()
    return loss, hot.sum(dim=1)[cell_of]


def _probability_loss(head: YoloHead, values: Tensor, targets: Tensor) -> Tensor:
    """Elementwise. With new_coords the layer before is a logistic and Darknet's gradient there is that of squares."""
    if head.new_coords:
        return 0.5 * (values - targets).square()
    return functional.binary_cross_entropy_with_logits(values, targets, reduction="none")


def _box_loss(
    head: YoloHead,
    values: Tensor,
    true_boxes: Tensor,
    cells: Cells,
    classes_in_cell: Tensor,
    grid_hw: tuple[int, int],
    network_wh: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Sum over assigned predictions, and the (K,) detached IoU of each with its truth."""
    if values.requires_grad:
        # yolo_layer.c 291: a prediction with several classes takes the mean of its boxes (only beside iou_thresh).
        shares = 1 / classes_in_cell if head.iou_thresh < 1 else torch.ones_like(classes_in_cell)
        values = _BoxGradient.apply(values, shares[:, None], head.max_delta)  # type: ignore[no-untyped-call]
    anchors = torch.tensor(head.mask_anchors, dtype=values.dtype, device=values.device)[cells.slot]  # (K, 2) pixels
    anchors_norm = anchors / torch.tensor(network_wh, dtype=values.dtype, device=values.device)
    grid_wh = torch.tensor(grid_hw[::-1], dtype=values.dtype, device=values.device)
    cell_xy = torch.stack([cells.column, cells.row], dim=1).to(values.dtype)
    offsets = _cell_offsets(head, values[:, :2])
    sizes = _sizes_in_anchors(head, values[:, 2:])
    centres = (cell_xy + offsets) / grid_wh
    with torch.no_grad():
        iou = box_measure(torch.cat([centres, sizes * anchors_norm], dim=1), true_boxes, "iou")
    if head.iou_loss == "mse":
        target_offsets = true_boxes[:, :2] * grid_wh - cell_xy
        target_sizes = true_boxes[:, 2:] / anchors_norm
        target_wh = (target_sizes / 4).sqrt() if head.new_coords else target_sizes.log()
        errors = torch.cat([_gradient_of(offsets, values[:, :2]) - target_offsets, values[:, 2:] - target_wh], dim=1)
        small = 2 - true_boxes[:, 2] * true_boxes[:, 3]
        return head.iou_normalizer * (small * 0.5 * errors.square().sum(dim=1)).sum(), iou
    centres = _gradient_of(centres, values[:, :2])
    # Darknet takes the derivative by width and height twice as large as it is, and multiplies by exp(tw) where the
    # chain rule has exp(tw) * anchor.
    grown = values[:, 2:] if head.new_coords else values[:, 2:].exp()
    boxes = torch.cat([centres, _gradient_of(sizes * anchors_norm, 2 * grown)], dim=1)
    return head.iou_normalizer * (1 - box_measure(boxes, true_boxes, head.iou_loss)).sum(), iou


def _cell_offsets(head: YoloHead, values: Tensor) -> Tensor:
    """(…, 2) centre within the cell in cells."""
    unscaled = values if head.new_coords else values.sigmoid()
    return head.scale_x_y * unscaled - (head.scale_x_y - 1) / 2


def _sizes_in_anchors(head: YoloHead, values: Tensor) -> Tensor:
    """(…, 2) width and height in anchors."""
    return 4 * values.square() if head.new_coords else values.exp()


def _gradient_of(value: Tensor, source: Tensor) -> Tensor:
    """`value`, whose gradient flows into `source` unchanged."""
    return source + (value - source).detach()


class _BoxGradient(torch.autograd.Function):
    """The identity; each gradient is cut to ±limit, 0 where it is not finite, then multiplied by the row's share."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, shares: Tensor, limit: float) -> Tensor:
        """(K, 4) values and (K, 1) shares -> the values."""
        ctx.save_for_backward(shares)
        ctx.limit = limit
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Darknet clips before it averages (yolo_layer.c 262-276, then 291), so the order matters."""
        (shares,) = ctx.saved_tensors
        finite = torch.nan_to_num(gradients[0], 0.0, 0.0, 0.0)
        return finite.clamp(-ctx.limit, ctx.limit) * shares, None, None


def _objectness_loss(
    head: YoloHead, entries: Tensor, truths: Truths, cells: Cells, assigned_iou: Tensor, network_wh: tuple[int, int]
) -> Tensor:
    """Sum over all predictions: assigned ones towards 1, others towards 0, except those that overlap an object well."""
    targets = torch.zeros_like(entries[:, :, 4])  # (B, A, h, w)
    weights = torch.ones_like(targets)
    with torch.no_grad():
        best_iou, in_ignored = _overlaps(head, entries, truths, network_wh)  # (B, A, h, w) each
        overlapping = best_iou > head.ignore_thresh
        weights[in_ignored] = 0
        if head.objectness_smooth:
            targets = torch.where(overlapping, best_iou, targets)
        else:
            weights[overlapping] = 0
        where = (cells.image, cells.slot, cells.row, cells.column)
        weights[where] = 1
        targets[where] = assigned_iou if head.objectness_smooth else 1.0
    return head.obj_normalizer * (weights * _probability_loss(head, entries[:, :, 4], targets)).sum()


def _overlaps(head: YoloHead, entries: Tensor, truths: Truths, network_wh: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Per prediction, (B, A, h, w): largest IoU with a truth, 0 where no class is above 0.25; is it in an ignored box?

    Ignored truths do not count in the IoU.
    """
    batch, slots, _, height, width = entries.shape
    threshold = CLASS_MATCH if head.new_coords else math.log(CLASS_MATCH / (1 - CLASS_MATCH))
    matches = entries[:, :, 5:].amax(dim=2) > threshold
    best_iou = torch.zeros_like(entries[:, :, 4])
    in_ignored = torch.zeros_like(matches)
    predicted = _all_boxes(head, entries[:, :, :4], network_wh)  # (B, A, h, w, 4)
    boxes = torch.from_numpy(truths.boxes_cxcywh_norm).to(entries)
    for image in range(batch):
        rows = slice(*np.searchsorted(truths.image_index, [image, image + 1]))
        ignore = torch.from_numpy(truths.ignore[rows]).to(entries.device)
        objects, regions = boxes[rows][~ignore], boxes[rows][ignore]
        if len(objects) and bool(matches[image].any()):
            best_iou[image][matches[image]] = pairwise_overlap(predicted[image][matches[image]], objects)[0].amax(dim=1)
        if len(regions):
            inside = pairwise_overlap(predicted[image].reshape(-1, 4), regions)[1].amax(dim=1)
            in_ignored[image] = (inside > IGNORE_REGION).view(slots, height, width)
    return best_iou, in_ignored


def _all_boxes(head: YoloHead, values: Tensor, network_wh: tuple[int, int]) -> Tensor:
    """(B, A, 4, h, w) -> (B, A, h, w, 4) cxcywh in shares of the network input."""
    _, _, _, height, width = values.shape
    values = values.movedim(2, -1)
    rows = torch.arange(height, dtype=values.dtype, device=values.device)
    columns = torch.arange(width, dtype=values.dtype, device=values.device)
    cell_xy = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)  # (h, w, 2)
    anchors = torch.tensor(head.mask_anchors, dtype=values.dtype, device=values.device)[:, None, None]  # (A, 1, 1, 2)
    grid_wh = torch.tensor((width, height), dtype=values.dtype, device=values.device)
    network = torch.tensor(network_wh, dtype=values.dtype, device=values.device)
    centres = (cell_xy + _cell_offsets(head, values[..., :2])) / grid_wh
    return torch.cat([centres, _sizes_in_anchors(head, values[..., 2:]) * anchors / network], dim=-1)
