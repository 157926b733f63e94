"""Overlap measures of predicted and true boxes that can be trained: IoU, GIoU, DIoU, CIoU (torch)."""

import math

import torch
from torch import Tensor

TINY = 1e-12  # below any area in shares of a picture (one pixel of 10,000 x 10,000 is 1e-8); keeps 0/0 away


def box_measure(predicted_cxcywh: Tensor, true_cxcywh: Tensor, kind: str) -> Tensor:
    """(K, 4) predicted and true boxes in one unit, widths and heights above 0 -> (K,) measure, 1 where they are equal.

    `kind`: "iou" in 0..1; "giou" (Rezatofighi et al. 2019, equation 2); "diou" and "ciou" (Zheng et al. 2020,
    equations 7 and 10) in -1..1, ciou a little below. The weight alpha of CIoU's aspect term, which its authors hold
    constant, is derived like the rest: what autograd gives is the derivative of the value.
    """
    p_left_top, p_right_bottom = _corners(predicted_cxcywh)
    t_left_top, t_right_bottom = _corners(true_cxcywh)
    inter_wh = (torch.minimum(p_right_bottom, t_right_bottom) - torch.maximum(p_left_top, t_left_top)).clamp(min=0)
    inter = inter_wh[:, 0] * inter_wh[:, 1]  # (K,)
    p_wh, t_wh = predicted_cxcywh[:, 2:], true_cxcywh[:, 2:]
    union = p_wh[:, 0] * p_wh[:, 1] + t_wh[:, 0] * t_wh[:, 1] - inter
    iou = inter / (union + TINY)
    if kind == "iou":
        return iou
    hull_wh = torch.maximum(p_right_bottom, t_right_bottom) - torch.minimum(p_left_top, t_left_top)  # (K, 2)
    if kind == "giou":
        hull = hull_wh[:, 0] * hull_wh[:, 1] + TINY
        return iou - (hull - union) / hull
    distance = (predicted_cxcywh[:, :2] - true_cxcywh[:, :2]).square().sum(dim=1)
    diou = iou - distance / (hull_wh.square().sum(dim=1) + TINY)
    if kind == "diou":
        return diou
    if kind == "ciou":
        angle = torch.atan2(t_wh[:, 0], t_wh[:, 1]) - torch.atan2(p_wh[:, 0], p_wh[:, 1])
        aspect = 4 / math.pi**2 * angle.square()
        alpha = aspect / (1 - iou + aspect + 1e-6)
        return diou - alpha * aspect
    raise ValueError(f"kind: expected iou, giou, diou or ciou, found {kind!r}")


def _corners(boxes_cxcywh: Tensor) -> tuple[Tensor, Tensor]:
    half = boxes_cxcywh[:, 2:] / 2
    return boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half


def edges_and_area(boxes_cxcywh: Tensor) -> Tensor:
    """(..., 4) boxes -> (5, ...): left, top, right, bottom, area."""
    x, y, width, height = boxes_cxcywh.unbind(dim=-1)
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2, width * height])


def iou_with(predicted: Tensor, true: Tensor) -> Tensor:
    """IoU of boxes as `edges_and_area` gives them, (5, N, 1) and (5, N, T) -> (N, T), 0 for a box without area."""
    shared = shared_area(predicted, true)
    union = predicted[4] + true[4]
    union -= shared
    return shared.div_(union.clamp_(min=TINY))


def shared_area(predicted: Tensor, true: Tensor) -> Tensor:
    """Area that boxes as `edges_and_area` gives them share, (5, N, 1) and (5, N, T) -> (N, T)."""
    # One axis at a time and in place: the loss spends its time here, and all of that is memory traffic.
    widths = torch.minimum(predicted[2], true[2])
    widths -= torch.maximum(predicted[0], true[0])
    heights = torch.minimum(predicted[3], true[3])
    heights -= torch.maximum(predicted[1], true[1])
    return widths.clamp_(min=0).mul_(heights.clamp_(min=0))
