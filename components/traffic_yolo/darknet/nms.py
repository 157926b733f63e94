"""Darknet's non-maximum suppression, rule for rule and in its order (box.c): plain numpy on one picture's boxes.

Class by class, so that one box may survive in several classes. Darknet sorts the same list again for each class, and
its sort keeps equal boxes in place: what it reports stands in the order after the last class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import cxcywh_to_xyxy, pairwise_intersection

Float32Array = NDArray[np.float32]

NMS_KINDS = ("default", "greedynms", "diounms", "obj")
GREEDYNMS_BETA = 0.6  # box_diou has it fixed; beta_nms counts for diounms alone


@dataclass(frozen=True)
class NmsRule:
    """`kind`: "default" compares the IoU; "greedynms" and "diounms" the IoU less (d² / c²) ** exponent, d the distance
    of the centres, c the diagonal of the box around both, the exponent 0.6 and `beta`; "obj" compares the IoU whatever
    the class, by falling objectness. A box goes when it overlaps a kept one by more than `iou_threshold`.

    Raises `ValueError` for an unknown kind.
    """

    kind: str = "default"
    iou_threshold: float = 0.45
    beta: float = 0.6

    def __post_init__(self) -> None:
        if self.kind not in NMS_KINDS:
            raise ValueError(f"NMS kind {self.kind!r} is unknown; expected one of {', '.join(NMS_KINDS)}")


def darknet_nms(
    boxes_cxcywh: Float32Array, objectness: Float32Array, scores: Float32Array, rule: NmsRule
) -> Float32Array:
    """What survives, one row for each box and class: (K, 7) float32 x, y, w, h, objectness, class id, score.

    `boxes_cxcywh` (N, 4) float32, relative or in pixels (kinds greedynms and diounms depend on it); `objectness` (N,);
    `scores` (N, C) objectness * class probability, 0 where the box is none of that class. Rows are in Darknet's order.
    """
    if rule.kind == "obj":
        order, kept = _by_objectness(boxes_cxcywh, objectness, scores, rule)
    else:
        kept = _by_class(boxes_cxcywh, scores, rule)
        boxes = np.flatnonzero(kept.any(axis=1))
        order = boxes[_sorted_by_all_classes(scores[boxes])]
    rows, class_ids = np.nonzero(kept[order])
    rows = order[rows]
    survivors = np.empty((len(rows), 7), np.float32)
    survivors[:, :4] = boxes_cxcywh[rows]
    survivors[:, 4] = objectness[rows]
    survivors[:, 5] = class_ids
    survivors[:, 6] = scores[rows, class_ids]
    return survivors


def _by_objectness(
    boxes: Float32Array, objectness: Float32Array, scores: Float32Array, rule: NmsRule
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    order = np.argsort(-objectness, kind="stable")
    order = order[objectness[order] > 0]
    order = order[_greedy(_overlaps(boxes[order], rule) > np.float32(rule.iou_threshold))]
    return order, scores > 0


def _by_class(boxes: Float32Array, scores: Float32Array, rule: NmsRule) -> NDArray[np.bool_]:
    """(N, C): whether box i survives as class k."""
    kept = np.zeros(scores.shape, np.bool_)
    for class_id in np.flatnonzero((scores > 0).any(axis=0)):
        members = np.flatnonzero(scores[:, class_id] > 0)
        values = scores[members, class_id]
        order = np.argsort(-values, kind="stable")
        if len(np.unique(values)) < len(values):  # equal scores stand as the classes before have left them
            order = _sorted_by_all_classes(scores[members, : class_id + 1])
        members = members[order]
        suppressing = _overlaps(boxes[members], rule) > np.float32(rule.iou_threshold)
        kept[members[_greedy(suppressing)], class_id] = True
    return kept


def _sorted_by_all_classes(scores: Float32Array) -> NDArray[np.intp]:
    """The order of boxes after stable sorts by falling score of class 0, 1, ... one after the other."""
    return np.lexsort(-scores.T) if scores.size else np.arange(len(scores))


def _greedy(suppressing: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Indices kept of boxes that stand by falling score; `suppressing` (n, n): whether i, when kept, removes j."""
    later = np.triu(suppressing, k=1)
    alive = np.ones(len(later), np.bool_)
    for index in np.flatnonzero(later.any(axis=1)):
        if alive[index]:
            alive &= ~later[index]
    return np.flatnonzero(alive)


def _overlaps(boxes: Float32Array, rule: NmsRule) -> Float32Array:
    """(n, n) float32: what the rule compares with its threshold; areas as w * h, as Darknet has them."""
    corners = cxcywh_to_xyxy(boxes)
    intersection = pairwise_intersection(corners, corners)
    areas = boxes[:, 2] * boxes[:, 3]
    union = areas[:, None] + areas[None, :] - intersection
    overlap = np.divide(intersection, union, out=np.zeros_like(intersection), where=(intersection > 0) & (union > 0))
    if rule.kind in ("greedynms", "diounms"):
        overlap = overlap - _centre_penalty(boxes, corners, rule.beta if rule.kind == "diounms" else GREEDYNMS_BETA)
    return overlap.astype(np.float32)


def _centre_penalty(boxes: Float32Array, corners: NDArray[np.floating], exponent: float) -> NDArray[np.floating]:
    distance = ((boxes[:, None, :2] - boxes[None, :, :2]) ** 2).sum(axis=2)
    around = np.maximum(corners[:, None, 2:], corners[None, :, 2:]) - np.minimum(
        corners[:, None, :2], corners[None, :, :2]
    )
    diagonal = (around**2).sum(axis=2)
    ratio = np.divide(distance, diagonal, out=np.zeros_like(distance), where=diagonal > 0)
    return np.asarray(ratio.astype(np.float64) ** exponent)  # pow works in double
