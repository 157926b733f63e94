"""Darknet's non-maximum suppression, rule for rule and in its order (box.c), on one picture's boxes.

Class by class, so that one box may survive in several classes. Darknet sorts the same list again for each class, and
its sort keeps equal boxes in place: what it reports stands in the order after the last class.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.darknet.nms_kernels import NO_PENALTY, placed_corners, suppress, suppress_by_class

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
    boxes, scores = np.ascontiguousarray(boxes_cxcywh, np.float32), np.asarray(scores, np.float32)
    threshold = np.float32(rule.iou_threshold)
    if rule.kind == "obj":
        by_objectness = np.argsort(-objectness, kind="stable").astype(np.int32)
        listed = by_objectness[objectness[by_objectness] > 0]
        order = listed[suppress(placed_corners(boxes, listed), threshold, NO_PENALTY) != 0]
        rows, class_ids = np.nonzero(scores[order] > 0)
        rows = order[rows].astype(np.int64)
    else:
        exponent = {"default": NO_PENALTY, "greedynms": GREEDYNMS_BETA, "diounms": rule.beta}[rule.kind]
        by_class = np.ascontiguousarray(scores.T)
        rows, class_ids = suppress_by_class(boxes, by_class, by_class.view(np.uint32), threshold, exponent)
    survivors = np.empty((len(rows), 7), np.float32)
    survivors[:, :4] = boxes[rows]
    survivors[:, 4] = objectness[rows]
    survivors[:, 5] = class_ids
    survivors[:, 6] = scores[rows, class_ids]
    return survivors
