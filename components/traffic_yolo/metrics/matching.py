"""Which detection found which true box: COCO's greedy rule at one IoU, by falling score.

The outcome of a detection depends on stronger detections only, so one matching serves every confidence threshold.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.coco_kernels import overlaps_xywh
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.match_table import check_class_ids, coco_boxes, match_ordered, picture_order

MATCH_IOU = 0.5

NO_TRUTH = -1
CORRECT, WRONG, IGNORED = 1, 0, -1


@dataclass(frozen=True)
class Matching:
    """The outcome of K detections, by falling score, against the truth of M pictures with C classes.

    `scores` (K,) float32, `class_ids` (K,) int64, `outcomes` (K,) int8: `CORRECT`, `WRONG`, or `IGNORED` (in a crowd
    or an ignore region). `order` (K,): where each stood in the detections that were matched. `truths` (K,): row of the
    matched true box, or `NO_TRUTH`. `num_truths` (C,): true boxes that count.
    """

    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    outcomes: NDArray[np.int8]
    order: NDArray[np.int64]
    truths: NDArray[np.int64]
    num_truths: NDArray[np.int64]
    num_pictures: int


def match(detections: Detections, truth: GroundTruth, *, iou: float = MATCH_IOU) -> Matching:
    """Matches class by class, as COCO does: a detection takes the free true box of its class that it overlaps most.

    Equal to pycocotools at area "all" without a limit of detections. Raises `EvaluationError` for a detection of a
    picture or class that the truth does not have.
    """
    check_class_ids(detections, truth)
    pictures = truth.picture_indices(detections.image_ids)
    by_picture, _ = picture_order(detections, pictures, None)
    _, found = match_ordered(
        pictures[by_picture],
        detections.class_ids[by_picture],
        coco_boxes(detections.boxes_xyxy[by_picture]),
        truth,
        (iou,),
        truth.ignore[None],
        np.zeros((1, len(detections)), np.bool_),
        want_truths=True,
    )
    matched = np.empty(len(detections), np.int64)
    matched[by_picture] = found[0, :, 0]
    order = np.argsort(-detections.scores, kind="stable")
    return Matching(
        scores=detections.scores[order],
        class_ids=detections.class_ids[order],
        outcomes=outcomes_of(matched[order], truth.ignore),
        order=order,
        truths=matched[order],
        num_truths=truth.num_truths,
        num_pictures=len(truth.image_ids),
    )


def match_any_class(detections: Detections, truth: GroundTruth, *, iou: float = MATCH_IOU) -> Matching:
    """`match` regardless of class: a detection takes the free true box of its picture that it overlaps most.

    All is counted as of one class: `class_ids` of what is returned are 0, and `num_truths` has one number.
    """
    check_class_ids(detections, truth)
    found = dataclasses.replace(detections, class_ids=np.zeros(len(detections), np.int64))
    boxes = dataclasses.replace(truth, classes=("any",), class_ids=np.zeros(len(truth.class_ids), np.int64))
    return match(found, boxes, iou=iou)


def rows_by_picture(detections: Detections, truth: GroundTruth) -> list[tuple[int, NDArray[np.int64]]]:
    """For each picture with detections: its index in the truth, and its detections' rows by falling score."""
    pictures = truth.picture_indices(detections.image_ids)
    order = np.lexsort((-detections.scores, pictures))
    starts = np.flatnonzero(np.diff(pictures[order], prepend=-1))
    groups = np.split(order, starts[1:]) if len(order) else []
    return [(int(pictures[rows[0]]), rows) for rows in groups]


def coco_overlaps(
    boxes_xyxy: NDArray[np.float32], truth_xywh: NDArray[np.float64], ignore: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU of detections (D, 4) with true boxes (T, 4); with an ignored one, the share of the detection inside it.

    float64, (D, T), in the arithmetic of the matching, so that a box at exactly the matching IoU falls on the same
    side.
    """
    overlaps = np.empty((len(boxes_xyxy), len(truth_xywh)))
    overlaps_xywh(coco_boxes(boxes_xyxy), truth_xywh, ignore, overlaps)
    return overlaps


def outcomes_of(truths: NDArray[np.int64], ignore: NDArray[np.bool_]) -> NDArray[np.int8]:
    """`CORRECT`, `WRONG` or `IGNORED` for matched rows of true boxes (K,), or `NO_TRUTH`."""
    outcomes = np.full(len(truths), WRONG, np.int8)
    hit = truths != NO_TRUTH
    outcomes[hit] = np.where(ignore[truths[hit]], IGNORED, CORRECT)
    return outcomes
