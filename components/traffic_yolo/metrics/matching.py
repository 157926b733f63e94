"""Which detection found which true box: COCO's greedy rule at one IoU, by falling score.

The outcome of a detection depends on stronger detections only, so one matching serves every confidence threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth
from traffic_yolo.metrics.match_table import check_class_ids, match_ordered, picture_order

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
    boxes = detections.boxes_xyxy[by_picture].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    _, found = match_ordered(
        pictures[by_picture],
        detections.class_ids[by_picture],
        boxes,
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


def rows_by_picture(detections: Detections, truth: GroundTruth) -> list[tuple[int, NDArray[np.int64]]]:
    """For each picture with detections: its index in the truth, and its detections' rows by falling score."""
    pictures = truth.picture_indices(detections.image_ids)
    order = np.lexsort((-detections.scores, pictures))
    starts = np.flatnonzero(np.diff(pictures[order], prepend=-1))
    groups = np.split(order, starts[1:]) if len(order) else []
    return [(int(pictures[rows[0]]), rows) for rows in groups]


def truth_overlaps(
    boxes_xyxy: NDArray[np.float32], class_ids: NDArray[np.int64], truth: GroundTruth, rows: slice
) -> NDArray[np.float64]:
    """`coco_overlaps` with the true boxes `rows`, (D, T), and -1 where the classes differ."""
    overlaps = coco_overlaps(boxes_xyxy, truth.boxes_xywh[rows], truth.ignore[rows])
    truth_classes = truth.class_ids[rows]
    same = (class_ids[:, None] == truth_classes[None]) | (truth_classes == ALL_CLASSES)[None]
    return np.where(same, overlaps, np.float64(-1))


def coco_overlaps(
    boxes_xyxy: NDArray[np.float32], truth_xywh: NDArray[np.float64], ignore: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """IoU of detections (D, 4) with true boxes (T, 4); with an ignored one, the share of the detection inside it.

    float64, (D, T), in the arithmetic of pycocotools (from left, top, width, height), so that a box at exactly the
    matching IoU falls on the same side.
    """
    xyxy = boxes_xyxy.astype(np.float64)
    size = xyxy[:, 2:] - xyxy[:, :2]
    left_top = np.maximum(xyxy[:, None, :2], truth_xywh[None, :, :2])
    right_bottom = np.minimum(xyxy[:, None, :2] + size[:, None], (truth_xywh[:, :2] + truth_xywh[:, 2:])[None])
    inside = np.clip(right_bottom - left_top, 0, None)
    shared = inside[..., 0] * inside[..., 1]  # (D, T)
    area = (size[:, 0] * size[:, 1])[:, None]
    union = np.where(ignore[None], area, area + (truth_xywh[:, 2] * truth_xywh[:, 3])[None] - shared)
    overlaps: NDArray[np.float64] = np.divide(
        shared, union, out=np.zeros_like(shared), where=(shared > 0) & (union > 0)
    )
    return overlaps


def match_picture(overlaps: NDArray[np.float64], ignore: NDArray[np.bool_], *, iou: float) -> NDArray[np.int64]:
    """COCO's greedy matching in one picture.

    `overlaps` (D, T): detections by falling score. Each takes, of the true boxes not taken yet and overlapped by at
    least `iou`, the one with the largest overlap, the last of equals; only when there is none, an ignored one, which
    many may share. Returns the true box of each detection (D,), or `NO_TRUTH`.
    """
    found = np.full(len(overlaps), NO_TRUTH, np.int64)
    # COCO's own ceiling, so that iou=1 still matches a box that rounding made a hair smaller.
    possible = overlaps >= min(iou, 1 - 1e-10)
    rows, columns = np.nonzero(possible)
    values = overlaps[rows, columns].tolist()
    spared = ignore.tolist()
    taken: set[int] = set()
    row, best, best_rank = -1, NO_TRUTH, (False, 0.0)
    # Plain lists: a picture has a few dozen pairs, and numpy's cost for each call would be most of the time.
    for next_row, column, value in [*zip(rows.tolist(), columns.tolist(), values, strict=True), (-2, 0, 0.0)]:
        if next_row != row:
            if best != NO_TRUTH:
                found[row] = best
                if not spared[best]:
                    taken.add(best)
            row, best, best_rank = next_row, NO_TRUTH, (False, 0.0)
        if next_row >= 0 and column not in taken:
            rank = (not spared[column], value)
            if best == NO_TRUTH or rank >= best_rank:
                best, best_rank = column, rank
    return found


def outcomes_of(truths: NDArray[np.int64], ignore: NDArray[np.bool_]) -> NDArray[np.int8]:
    """`CORRECT`, `WRONG` or `IGNORED` for matched rows (K,) as `match_picture` gives them."""
    outcomes = np.full(len(truths), WRONG, np.int8)
    hit = truths != NO_TRUTH
    outcomes[hit] = np.where(ignore[truths[hit]], IGNORED, CORRECT)
    return outcomes
