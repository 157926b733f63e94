"""Box geometry that every part shares: conversions between box orders, areas and overlaps (numpy).

Boxes are float arrays of shape (..., 4). The order stands in the name: `xyxy` = left, top, right, bottom; `xywh` =
left, top, width, height; `cxcywh` = centre x, centre y, width, height. Pixels are continuous: a box from 0 to 10 is 10
wide.
"""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]


def xywh_to_xyxy(boxes_xywh: FloatArray) -> FloatArray:
    """(..., 4) left, top, width, height -> left, top, right, bottom. A new array of the same dtype."""
    left_top = boxes_xywh[..., :2]
    return np.concatenate([left_top, left_top + boxes_xywh[..., 2:]], axis=-1)


def xyxy_to_xywh(boxes_xyxy: FloatArray) -> FloatArray:
    """(..., 4) left, top, right, bottom -> left, top, width, height. A new array of the same dtype."""
    left_top = boxes_xyxy[..., :2]
    return np.concatenate([left_top, boxes_xyxy[..., 2:] - left_top], axis=-1)


def cxcywh_to_xyxy(boxes_cxcywh: FloatArray) -> FloatArray:
    """(..., 4) centre x, centre y, width, height -> left, top, right, bottom. A new array of the same dtype."""
    half = boxes_cxcywh[..., 2:] / 2
    centre = boxes_cxcywh[..., :2]
    return np.concatenate([centre - half, centre + half], axis=-1)


def xyxy_to_cxcywh(boxes_xyxy: FloatArray) -> FloatArray:
    """(..., 4) left, top, right, bottom -> centre x, centre y, width, height. A new array of the same dtype."""
    size = boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]
    return np.concatenate([boxes_xyxy[..., :2] + size / 2, size], axis=-1)


def clip_xyxy(boxes_xyxy: FloatArray, image_hw: tuple[int, int]) -> FloatArray:
    """Cuts boxes (..., 4) at the picture's edges. A new array; a box wholly outside gets width or height 0."""
    height, width = image_hw
    limits = np.array([width, height, width, height], dtype=boxes_xyxy.dtype)
    return np.clip(boxes_xyxy, 0, limits)


def area_xyxy(boxes_xyxy: FloatArray) -> FloatArray:
    """Area of boxes (..., 4) in square pixels, shape (...); a box turned inside out counts as 0."""
    size = np.clip(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0, None)
    area: FloatArray = size[..., 0] * size[..., 1]
    return area


def shorter_sides(boxes_xyxy: FloatArray) -> FloatArray:
    """The shorter side of boxes (n, 4), shape (n,); below 0 for a box turned inside out."""
    sides: FloatArray = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).min(axis=1, initial=np.inf)
    return sides


def pairwise_intersection(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """Shared area of every box of `a` (N, 4) with every box of `b` (M, 4), shape (N, M)."""
    # One axis at a time and in place: (N, M, 2) temporaries cost three times as much, all of it memory traffic
    shared: FloatArray = _shared_length(a_xyxy[:, 0], a_xyxy[:, 2], b_xyxy[:, 0], b_xyxy[:, 2])  # (N, M)
    shared *= _shared_length(a_xyxy[:, 1], a_xyxy[:, 3], b_xyxy[:, 1], b_xyxy[:, 3])
    return shared


def pairwise_iou(a_xyxy: FloatArray, b_xyxy: FloatArray) -> FloatArray:
    """Intersection over union of every box of `a` (N, 4) with every box of `b` (M, 4), shape (N, M), in [0, 1].

    Two boxes without area have IoU 0, never NaN.
    """
    intersection = pairwise_intersection(a_xyxy, b_xyxy)
    union: FloatArray = area_xyxy(a_xyxy)[:, None] + area_xyxy(b_xyxy)[None, :]
    union -= intersection
    return np.divide(intersection, union, out=intersection, where=union > 0)


def pairwise_shape_intersection(a_wh: FloatArray, b_wh: FloatArray) -> FloatArray:
    """Shared area of every size of `a` (N, 2) with every size of `b` (M, 2) laid on one corner or centre: (N, M)."""
    shared: FloatArray = np.minimum(a_wh[:, None, 0], b_wh[None, :, 0])  # (N, M)
    return np.multiply(shared, np.minimum(a_wh[:, None, 1], b_wh[None, :, 1]), out=shared)


def pairwise_shape_iou(a_wh: FloatArray, b_wh: FloatArray) -> FloatArray:
    """Intersection over union of sizes (N, 2) and (M, 2) laid on one corner or centre, shape (N, M), in [0, 1].

    How anchors and boxes are compared: sizes count, places do not. Two sizes without area have IoU 0, never NaN.
    """
    intersection = pairwise_shape_intersection(a_wh, b_wh)
    union: FloatArray = (a_wh[:, 0] * a_wh[:, 1])[:, None] + (b_wh[:, 0] * b_wh[:, 1])[None, :]
    union -= intersection
    return np.divide(intersection, union, out=intersection, where=union > 0)


def _shared_length(a_from: FloatArray, a_to: FloatArray, b_from: FloatArray, b_to: FloatArray) -> FloatArray:
    """Overlap of every interval of `a` (N,) with every one of `b` (M,), shape (N, M), at least 0."""
    length: FloatArray = np.minimum(a_to[:, None], b_to[None, :])
    length -= np.maximum(a_from[:, None], b_from[None, :])
    return np.maximum(length, 0, out=length)
