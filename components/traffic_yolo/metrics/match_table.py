"""COCO's matching done once, and kept: metrics of any pictures, slices and resamples follow from it in milliseconds.

What a detection matched in its picture depends on that picture alone. So metrics of a subset of the pictures, or of a
bootstrap resample (each picture a whole number of times), need no new matching, only another walk down the scores.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.metrics.coco_kernels import match_pictures, plain_rows, precision_over_recall
from traffic_yolo.metrics.coco_settings import CocoSettings
from traffic_yolo.metrics.ground_truth import GroundTruth


@dataclass(frozen=True)
class Accumulated:
    """What pycocotools calls `eval`: -1 stands for a class without truths.

    `precision` (T, R, C, A, L) float64 at T IoU and R recall thresholds, for C classes, A areas, L limits of
    detections; `recall` (T, C, A, L) float64. `num_truths` (A, C) int64: true boxes that count.
    """

    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    num_truths: NDArray[np.int64]


@dataclass(frozen=True)
class MatchTable:
    """The outcome of D detections, class by class and by falling score (of equals: by image id, then by input order).

    `class_starts` (C + 1,). `scores` (D,) float32, `class_ids` (D,), `pictures` (D,): index into the truth's
    `image_ids`. `ranks` (D,): place among the detections of the same picture and class. `rows` (D,): row in the
    detections that were given; those beyond the largest limit of a picture and class are left out. `outcomes` (A, D, T)
    int8: `UNMATCHED` (wrong), `MATCHED` (right) or `UNCOUNTED` at each area and IoU threshold. `plain` (A, D): see
    `plain_rows`. Of the G true boxes: `truth_pictures` (G,), `truth_class_ids` (G,), `counted_truths` (A, G): whether
    each counts. `num_pictures`: pictures of the truth, with or without detections.
    """

    settings: CocoSettings
    classes: tuple[str, ...]
    class_starts: NDArray[np.int64]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    pictures: NDArray[np.int64]
    ranks: NDArray[np.int64]
    rows: NDArray[np.int64]
    outcomes: NDArray[np.int8]
    plain: NDArray[np.int8]
    truth_pictures: NDArray[np.int64]
    truth_class_ids: NDArray[np.int64]
    counted_truths: NDArray[np.bool_]
    num_pictures: int

    def __len__(self) -> int:
        """The number of detections."""
        return len(self.scores)

    def num_truths(self, weights: NDArray[np.int64]) -> NDArray[np.int64]:
        """(A, C): true boxes that count, of pictures that count `weights` (M,) times."""
        shared = weights[self.truth_pictures]
        counts = [
            np.bincount(self.truth_class_ids[counts], weights=shared[counts], minlength=len(self.classes))
            for counts in self.counted_truths
        ]
        return np.stack(counts).astype(np.int64)

    def accumulate(
        self, weights: NDArray[np.integer] | NDArray[np.bool_] | None = None, *, only_ap: bool = False
    ) -> Accumulated:
        """Precision over recall of the pictures, each counted `weights` (M,) times: whole numbers, or a mask.

        Detections keep their order in the table, whatever the weights: a resample that draws every picture equally
        often is the data set itself. Copies of a picture put beside each other would not say so of equal scores in one
        picture: right, wrong twice over is right, wrong, right, wrong there, and right, right, wrong, wrong here.

        `only_ap`: of the first area and the largest limit alone (A = L = 1), which is all that AP needs.
        """
        counted = np.ones(self.num_pictures, np.int64) if weights is None else np.asarray(weights).astype(np.int64)
        if counted.shape != (self.num_pictures,) or (counted < 0).any():
            raise EvaluationError(
                f"weights of pictures: expected {self.num_pictures} numbers of at least 0, found shape {counted.shape}"
            )
        limits = self.settings.max_detections[-1:] if only_ap else self.settings.max_detections
        areas = 1 if only_ap else len(self.outcomes)
        recalls = np.array(self.settings.recall_thresholds)
        shape = (areas, len(limits), self.outcomes.shape[2], len(recalls), len(self.classes))
        precision = np.full(shape, -1.0)
        recall = np.full((*shape[:3], shape[4]), -1.0)
        num_truths = self.num_truths(counted)[:areas]
        for area in range(areas):
            for place, limit in enumerate(limits):
                precision_over_recall(
                    self.class_starts,
                    self.outcomes[area],
                    self.plain[area],
                    self.ranks,
                    self.pictures,
                    counted,
                    limit,
                    num_truths[area],
                    recalls,
                    precision[area, place],
                    recall[area, place],
                )
        return Accumulated(precision.transpose(2, 3, 4, 0, 1), recall.transpose(2, 3, 0, 1), num_truths)


def match_table(
    detections: Detections,
    truth: GroundTruth,
    settings: CocoSettings | None = None,
    *,
    area_scale: NDArray[np.float64] | None = None,
    counted_truths: NDArray[np.bool_] | None = None,
    counted_detections: NDArray[np.bool_] | None = None,
) -> MatchTable:
    """Matches every picture as pycocotools does.

    `area_scale` (M,): what areas in square picture pixels are multiplied by before they are compared with
    `settings.areas` (`network_area_scale`), for `pixels="network"`. `counted_truths` (G,): of the true boxes, those of
    a slice; the others are treated as boxes of another size are: they may be found, but neither reward nor punish.
    `counted_detections` (K,): detections that count as wrong when they match nothing, all by default.

    Raises `EvaluationError` for detections of pictures or classes that the truth does not have.
    """
    settings = settings or CocoSettings()
    check_class_ids(detections, truth)
    if (settings.pixels == "network") != (area_scale is not None):
        raise EvaluationError("areas in network pixels need area_scale, those in picture pixels must not have one")
    scale = np.ones(len(truth.image_ids)) if area_scale is None else area_scale
    pictures = truth.picture_indices(detections.image_ids)
    order, ranks = picture_order(detections, truth.image_order()[pictures], settings.max_detections[-1])
    pictures, class_ids = pictures[order], detections.class_ids[order]
    boxes = coco_boxes(detections.boxes_xyxy[order])
    truth_areas = truth.areas * scale[truth.truth_pictures]
    uncounted = _outside(truth_areas, settings) | truth.ignore
    if counted_truths is not None:
        uncounted |= ~counted_truths
    outside = _outside(boxes[:, 2] * boxes[:, 3] * scale[pictures], settings)
    if counted_detections is not None:
        outside |= ~counted_detections[order]
    outcomes = match_ordered(pictures, class_ids, boxes, truth, settings.iou_thresholds, uncounted, outside)[0]
    by_class = class_order(class_ids, detections.scores[order])
    outcomes = np.ascontiguousarray(outcomes[:, by_class])
    class_ids = class_ids[by_class]
    return MatchTable(
        settings=settings,
        classes=truth.classes,
        class_starts=np.searchsorted(class_ids, np.arange(len(truth.classes) + 1)),
        class_ids=class_ids,
        scores=detections.scores[order[by_class]],
        pictures=pictures[by_class],
        ranks=ranks[by_class],
        rows=order[by_class],
        outcomes=outcomes,
        plain=np.stack([plain_rows(outcome) for outcome in outcomes]),
        truth_pictures=truth.truth_pictures,
        truth_class_ids=truth.class_ids,
        counted_truths=~uncounted,
        num_pictures=len(truth.image_ids),
    )


def coco_boxes(boxes_xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
    """Boxes (K, 4) as pycocotools sees them: float64, left, top, width, height."""
    boxes = boxes_xyxy.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def check_class_ids(detections: Detections, truth: GroundTruth) -> None:
    """Raises `EvaluationError` for a detection of a class that the truth does not have."""
    if len(detections) and not 0 <= detections.class_ids.min() <= detections.class_ids.max() < len(truth.classes):
        wrong = detections.class_ids[(detections.class_ids < 0) | (detections.class_ids >= len(truth.classes))]
        raise EvaluationError(
            f"detections of class {int(wrong[0])}, but the ground truth has {len(truth.classes)} classes (numbered "
            f"from 0); they were made by another model"
        )


def picture_order(
    detections: Detections, places: NDArray[np.int64], max_detections: int | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of detections by `places` (K,) of their pictures, then class, then falling score; and each one's rank.

    Equal scores stay in the order given. Of each picture and class, at most `max_detections`.
    """
    order = np.lexsort((-detections.scores, detections.class_ids, places))
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(places[order]) != 0) | (np.diff(detections.class_ids[order]) != 0)
    starts = np.flatnonzero(first)
    ranks = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    if max_detections is not None:
        kept = ranks < max_detections
        order, ranks = order[kept], ranks[kept]
    return order, ranks


def class_order(class_ids: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rows by class, then falling score; equals stay in the order given."""
    return np.lexsort((-scores, class_ids))


def match_ordered(
    pictures: NDArray[np.int64],
    class_ids: NDArray[np.int64],
    boxes_xywh: NDArray[np.float64],
    truth: GroundTruth,
    iou_thresholds: tuple[float, ...],
    uncounted_truths: NDArray[np.bool_],
    uncounted_detections: NDArray[np.bool_],
    *,
    want_truths: bool = False,
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Outcomes (A, D, T) of detections that stand picture by picture as `picture_order` puts them.

    With `want_truths` also (A, D, T) the row of the true box that each found, or -1.
    """
    starts = np.flatnonzero(np.diff(pictures, prepend=-1))
    shown = pictures[starts]
    offsets = truth.offsets()
    shape = (len(uncounted_truths), len(pictures), len(iou_thresholds))
    outcomes = np.empty(shape, np.int8)
    found = np.empty(shape if want_truths else (0, 0, 0), np.int32)
    match_pictures(
        np.append(starts, len(pictures)),
        shown,
        class_ids,
        boxes_xywh,
        offsets,
        truth.class_ids,
        truth.boxes_xywh,
        truth.ignore,
        uncounted_truths,
        uncounted_detections,
        np.array(iou_thresholds),
        outcomes,
        found,
    )
    return outcomes, found


def _outside(areas: NDArray[np.float64], settings: CocoSettings) -> NDArray[np.bool_]:
    """(A, n): which boxes lie outside each range of areas."""
    return np.stack([(areas < least) | (areas > most) for least, most in settings.areas.values()])
