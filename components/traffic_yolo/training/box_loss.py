"""Overlap measures of predicted and true boxes that can be trained: IoU, GIoU, DIoU, CIoU (torch)."""

import math

import torch
from torch import Tensor

TINY = 1e-12  # below any area in shares of a picture (one pixel of 10,000 x 10,000 is 1e-8); keeps 0/0 away


def box_measure(predicted_cxcywh: Tensor, true_cxcywh: Tensor, kind: str) -> Tensor:
    """(K, 4) predicted and true boxes in one unit, widths and heights above 0 -> (K,) measure, 1 where they are equal.

    `kind`: "iou" in 0..1; "giou" (Rezatofighi et al. 2019, equation 2); "diou" and "ciou" (Zheng et al. 2020,
    equations 7 and 10) in -1..1, ciou a little below. The weight alpha of CIoU's aspect term takes no gradient, as its
    authors do it.
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
        alpha = (aspect / (1 - iou + aspect + 1e-6)).detach()
        return diou - alpha * aspect
    raise ValueError(f"kind: expected iou, giou, diou or ciou, found {kind!r}")


def _corners(boxes_cxcywh: Tensor) -> tuple[Tensor, Tensor]:
    half = boxes_cxcywh[:, 2:] / 2
    return boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half


def pairwise_overlap(predicted_cxcywh: Tensor, true_cxcywh: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 4) and (T, 4) boxes in one unit -> (N, T) IoU, and (N, T) share of the predicted box inside the true one."""
    p_left_top, p_right_bottom = _corners(predicted_cxcywh)
    t_left_top, t_right_bottom = _corners(true_cxcywh)
    left_top = torch.maximum(p_left_top[:, None], t_left_top)  # (N, T, 2)
    right_bottom = torch.minimum(p_right_bottom[:, None], t_right_bottom)
    inter = (right_bottom - left_top).clamp(min=0).prod(dim=2)  # (N, T)
    area = predicted_cxcywh[:, 2:].prod(dim=1)[:, None]
    return inter / (area + true_cxcywh[:, 2:].prod(dim=1) - inter + TINY), inter / (area + TINY)
