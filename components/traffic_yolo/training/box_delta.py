"""Darknet's gradient of a box by the entries of its prediction: no chain rule of any loss, so it is written out.

Rules 10 and 11 (yolo_layer.c 191-286, box.c 258-578). A delta is minus a gradient: what is added to the prediction.
"""

import math

import torch
from torch import Tensor

from traffic_yolo.training.head_grid import HeadGrid, Places


def box_delta(grid: HeadGrid, values: Tensor, places: Places, true_cxcywh: Tensor, multiplier: Tensor) -> Tensor:
    """(N, 4) deltas at the entries x, y, w, h of predictions, each cut to +-`max_delta` except with mse.

    `values` (N, 4) those entries, `true_cxcywh` (N, 4) the truths in shares of the network input, `multiplier` (N,)
    the weights of their classes; all float64.
    """
    head = grid.head
    weight = head.iou_normalizer * multiplier[:, None]
    if head.iou_loss == "mse":
        small = 2 - true_cxcywh[:, 2:3] * true_cxcywh[:, 3:4]
        return small * weight * (entries_of(grid, places, true_cxcywh) - scaled(grid, values))
    delta = measure_delta(grid.boxes(values, places), true_cxcywh, head.iou_loss)
    if not head.new_coords:
        # The factors that a chain rule would add besides (anchor, grid, logistic, scale_x_y) Darknet leaves out.
        delta = torch.cat([delta[:, :2], delta[:, 2:] * values[:, 2:].exp()], dim=1)
    delta = torch.nan_to_num(delta * weight, nan=0.0, posinf=0.0, neginf=0.0)
    return delta.clamp(-head.max_delta, head.max_delta)


def scaled(grid: HeadGrid, values: Tensor) -> Tensor:
    """(N, 4) entries -> what mse compares: x and y within the cell after scale_x_y, w and h as they come."""
    return torch.cat([grid.offsets(values[:, :2]), values[:, 2:]], dim=1)


def entries_of(grid: HeadGrid, places: Places, true_cxcywh: Tensor) -> Tensor:
    """(N, 4) what `scaled` would be if the predictions at `places` said exactly the truths."""
    height, width = grid.grid_hw
    x = true_cxcywh[:, 0] * width - places.column
    y = true_cxcywh[:, 1] * height - places.row
    in_anchors = true_cxcywh[:, 2:] / grid.anchors_norm(true_cxcywh)[places.slot]
    sizes = (in_anchors / 4).sqrt() if grid.head.new_coords else in_anchors.log()
    return torch.cat([x[:, None], y[:, None], sizes], dim=1)


def measure_delta(predicted_cxcywh: Tensor, true_cxcywh: Tensor, kind: str) -> Tensor:
    """(N, 4) Darknet's idea of the derivative of an overlap measure by the predicted x, y, w, h.

    Not the derivative: overlaps keep their sign where boxes lie apart, w and h get twice their share of the IoU part,
    the hull's part in the distance of diou and ciou has the wrong sign for x and y, and ciou's aspect part lacks a
    factor. `kind`: iou, giou, diou or ciou; both boxes in one unit.
    """
    sizes = torch.where(predicted_cxcywh[:, 2:] == 0, 1.0, predicted_cxcywh[:, 2:])  # rule 11
    low, high = predicted_cxcywh[:, :2] - sizes / 2, predicted_cxcywh[:, :2] + sizes / 2  # (N, 2) by x, y
    true_sizes = true_cxcywh[:, 2:]
    true_low, true_high = true_cxcywh[:, :2] - true_sizes / 2, true_cxcywh[:, :2] + true_sizes / 2
    shared = torch.minimum(high, true_high) - torch.maximum(low, true_low)  # (N, 2), below 0 between boxes apart
    across = shared.flip(1)  # what an edge's motion in one axis is multiplied by: the length in the other
    inter = shared.prod(dim=1, keepdim=True)  # above 0 again where boxes lie apart in both axes
    union = sizes.prod(dim=1, keepdim=True) + true_sizes.prod(dim=1, keepdim=True) - inter
    apart = (shared <= 0).any(dim=1, keepdim=True)

    # By the lower and the upper edge: an edge moves the intersection only where it is inside the truth.
    inter_low, inter_high = -across * (low > true_low), across * (high < true_high)
    union_low, union_high = -sizes.flip(1) - inter_low, sizes.flip(1) - inter_high
    square = union.square()
    by_low = torch.where(union > 0, (union * inter_low - inter * union_low) / square, 0.0)
    by_high = torch.where(union > 0, (union * inter_high - inter * union_high) / square, 0.0)
    if kind == "giou":
        hull_sizes = torch.maximum(high, true_high) - torch.minimum(low, true_low)
        hull = hull_sizes.prod(dim=1, keepdim=True)
        hull_low, hull_high = -hull_sizes.flip(1) * (low < true_low), hull_sizes.flip(1) * (high > true_high)
        part_low = (hull * union_low - union * hull_low) / hull.square()
        part_high = (hull * union_high - union * hull_high) / hull.square()
        by_low = torch.where(apart, part_low, by_low + part_low)
        by_high = torch.where(apart, part_high, by_high + part_high)
    by_centre, by_size = by_low + by_high, by_high - by_low  # (N, 2) each; by_size is not halved
    if kind in ("diou", "ciou"):
        centre, size = _distance_delta(predicted_cxcywh[:, :2], low, high, true_cxcywh[:, :2], true_low, true_high)
        if kind == "ciou":
            size = size + _aspect_delta(sizes, true_sizes, inter / union)
        by_centre = torch.where(apart, centre, by_centre + centre)
        by_size = torch.where(apart, size, by_size + size)
    return torch.cat([by_centre, by_size], dim=1)


def _distance_delta(
    centre: Tensor, low: Tensor, high: Tensor, true_centre: Tensor, true_low: Tensor, true_high: Tensor
) -> tuple[Tensor, Tensor]:
    """(N, 2) each, by centre and by size: of minus the squared distance S over the squared diagonal C of the hull."""
    hull = torch.maximum(high, true_high) - torch.minimum(low, true_low)
    diagonal = hull.square().sum(dim=1, keepdim=True)  # C
    distance = (centre - true_centre).square().sum(dim=1, keepdim=True)  # S
    below, beyond = (low < true_low).to(low), (high > true_high).to(low)
    hull_by_centre, hull_by_size = beyond - below, (beyond + below) / 2
    square = diagonal.square()
    # The derivative has + 2 * hull * hull_by_centre * distance; Darknet has minus.
    by_centre = (2 * (true_centre - centre) * diagonal - 2 * hull * hull_by_centre * distance) / square
    return by_centre, 2 * hull * hull_by_size * distance / square


def _aspect_delta(sizes: Tensor, true_sizes: Tensor, iou: Tensor) -> Tensor:
    """(N, 2) by width and height: ciou's term of the aspect ratio, without the 1 / (w² + h²) of its derivative."""
    angle = (true_sizes[:, :1] / true_sizes[:, 1:]).atan() - (sizes[:, :1] / sizes[:, 1:]).atan()
    aspect = 4 / math.pi**2 * angle.square()
    alpha = aspect / (1 - iou + aspect + 1e-6)
    factor = alpha * 8 / math.pi**2 * angle
    return torch.cat([factor * sizes[:, 1:], -factor * sizes[:, :1]], dim=1)
