"""Why detections are wrong and boxes are missed, and the AP that each kind of error costs.

The kinds and their repairs are those of TIDE (Bolya et al., ECCV 2020, section 2), at one matching IoU. AP is COCO's at
IoU 0.50; what limits the detections of a picture is left to the caller.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.coco_kernels import MATCHED, UNMATCHED, plain_rows, precision_over_recall
from traffic_yolo.metrics.coco_settings import RECALL_THRESHOLDS
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.match_table import class_order
from traffic_yolo.metrics.matching import (
    CORRECT,
    IGNORED,
    MATCH_IOU,
    NO_TRUTH,
    WRONG,
    coco_overlaps,
    match,
    rows_by_picture,
)

BACKGROUND_IOU = 0.1  # TIDE's t_b: a detection that overlaps nothing by as much is of the background

CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND_KIND, MISSED = range(6)
KIND_NAMES = ("classification", "localisation", "both", "duplicate", "background", "missed")
NO_KIND = -1  # a right detection, or one in an ignore region


@dataclass(frozen=True)
class ErrorSplit:
    """The errors of K detections against T true boxes of C classes.

    `kinds` (K,) int8: index into `KIND_NAMES`, or `NO_KIND`; `outcomes` (K,) int8 as in `matching`; `targets` (K,): the
    true box that a wrong detection meant, or `NO_TRUTH` for background; `found` (K,): the true
    box that a right one found. `missed` (T,) bool: true boxes that nothing found and no classification or localisation
    error meant. `undetected` (T,) bool: all that nothing found. `counts` (6, C) int64: errors by kind and class, that
    of the detection, or of the true box for the missed.
    """

    classes: tuple[str, ...]
    kinds: NDArray[np.int8]
    outcomes: NDArray[np.int8]
    targets: NDArray[np.int64]
    found: NDArray[np.int64]
    missed: NDArray[np.bool_]
    undetected: NDArray[np.bool_]
    counts: NDArray[np.int64]

    def totals(self) -> dict[str, int]:
        """Errors by kind, all classes together."""
        return dict(zip(KIND_NAMES, self.counts.sum(axis=1).tolist(), strict=True))


@dataclass(frozen=True)
class ErrorCosts:
    """What repairing one kind of error, and nothing else, adds to AP50; None where AP is undefined (no truth).

    `ap50`: without any repair. `by_kind`: for each of `KIND_NAMES`. `false_positives`, `false_negatives`: TIDE's two
    summary repairs: no wrong detection at all; no missed truth.
    """

    ap50: float | None
    by_kind: Mapping[str, float | None]
    false_positives: float | None
    false_negatives: float | None


def split_errors(detections: Detections, truth: GroundTruth, *, iou: float = MATCH_IOU) -> ErrorSplit:
    """The kind of each wrong detection and missed box.

    Of a wrong detection's overlaps with the picture's true boxes, the first that fits names the kind: its own class by
    `BACKGROUND_IOU` up to `iou` is `localisation`; another class by `iou` or more `classification`; its own by `iou` or
    more `duplicate` (a stronger detection has that box); nothing by `BACKGROUND_IOU` `background`; else `both`. This is
    the order in which TIDE's own program asks; its paper leaves open what comes first. Crowds and ignore regions are no
    true boxes here, and detections in them no errors.
    """
    matching = match(detections, truth, iou=iou)
    outcomes = np.zeros(len(detections), np.int8)
    outcomes[matching.order] = matching.outcomes
    found = np.full(len(detections), NO_TRUTH, np.int64)
    found[matching.order] = matching.truths
    kinds = np.full(len(detections), NO_KIND, np.int8)
    targets = np.full(len(detections), NO_TRUTH, np.int64)
    offsets = truth.offsets()
    wrong = outcomes == WRONG
    kinds[wrong] = BACKGROUND_KIND
    for picture, rows in rows_by_picture(detections, truth):
        mine = rows[wrong[rows]]
        boxes = np.flatnonzero(~truth.ignore[offsets[picture] : offsets[picture + 1]]) + offsets[picture]
        if len(mine) and len(boxes):
            kinds[mine], targets[mine] = _kinds_in_picture(detections, mine, truth, boxes, iou)
    undetected = ~truth.ignore
    undetected[found[outcomes == CORRECT]] = False
    missed = undetected.copy()
    missed[targets[(kinds == CLASSIFICATION) | (kinds == LOCALISATION)]] = False
    classes = len(truth.classes)
    counts = np.zeros((len(KIND_NAMES), classes), np.int64)
    np.add.at(counts, (kinds[wrong], detections.class_ids[wrong]), 1)
    counts[MISSED] = np.bincount(truth.class_ids[missed], minlength=classes)
    return ErrorSplit(truth.classes, kinds, outcomes, targets, found, missed, undetected, counts)


def _kinds_in_picture(
    detections: Detections, rows: NDArray[np.int64], truth: GroundTruth, boxes: NDArray[np.int64], iou: float
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Kind and target of the wrong detections `rows` of one picture, whose true boxes are `boxes` (not empty)."""
    nothing_ignored = np.zeros(len(boxes), np.bool_)
    overlaps = coco_overlaps(detections.boxes_xyxy[rows], truth.boxes_xywh[boxes], nothing_ignored)  # (D, T)
    same = detections.class_ids[rows][:, None] == truth.class_ids[boxes][None]
    own, other = np.where(same, overlaps, -1), np.where(same, -1, overlaps)
    own_best, other_best = own.max(axis=1), other.max(axis=1)
    kinds = np.select(
        [
            (own_best >= BACKGROUND_IOU) & (own_best < iou),
            other_best >= iou,
            own_best >= iou,
            np.maximum(own_best, other_best) < BACKGROUND_IOU,
        ],
        [LOCALISATION, CLASSIFICATION, DUPLICATE, BACKGROUND_KIND],
        default=BOTH,
    )
    is_own = (kinds == LOCALISATION) | (kinds == DUPLICATE)
    targets = boxes[np.where(is_own, own.argmax(axis=1), other.argmax(axis=1))]
    return kinds.astype(np.int8), np.where(kinds == BACKGROUND_KIND, NO_TRUTH, targets)


def error_costs(detections: Detections, truth: GroundTruth, errors: ErrorSplit) -> ErrorCosts:
    """Repairs each kind alone and takes AP50 anew. `errors` is the split of exactly these detections.

    The repairs (TIDE, section 2.3): a classification or localisation error becomes a right detection of the true box
    that it meant, the strongest one where several meant it; where another detection has found that box, the error goes,
    as do errors of the kinds both, duplicate and background; missed boxes are no longer asked for.
    """
    ranked = _Ranked.of(detections, truth, errors)
    base = ranked.ap50()
    repaired = {
        "classification": ranked.with_errors_right(errors, CLASSIFICATION),
        "localisation": ranked.with_errors_right(errors, LOCALISATION),
        "both": ranked.without(errors.kinds == BOTH),
        "duplicate": ranked.without(errors.kinds == DUPLICATE),
        "background": ranked.without(errors.kinds == BACKGROUND_KIND),
        "missed": ranked.asking_less(np.bincount(truth.class_ids[errors.missed], minlength=len(truth.classes))),
    }
    undetected = np.bincount(truth.class_ids[errors.undetected], minlength=len(truth.classes))
    return ErrorCosts(
        ap50=base,
        by_kind={name: _difference(each.ap50(), base) for name, each in repaired.items()},
        false_positives=_difference(ranked.without(errors.kinds != NO_KIND).ap50(), base),
        false_negatives=_difference(ranked.asking_less(undetected).ap50(), base),
    )


@dataclass(frozen=True)
class _Ranked:
    """What AP50 is made of: for each detection its score, class, whether right, and whether it counts at all.

    `order` (K,): the detections by rising image id, which decides between equal scores, as in pycocotools.
    """

    scores: NDArray[np.float32]
    class_ids: NDArray[np.int64]
    correct: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    num_truths: NDArray[np.int64]
    truth_classes: NDArray[np.int64]
    order: NDArray[np.intp]

    @classmethod
    def of(cls, detections: Detections, truth: GroundTruth, errors: ErrorSplit) -> "_Ranked":
        return cls(
            scores=detections.scores,
            class_ids=detections.class_ids,
            correct=errors.outcomes == CORRECT,
            counts=errors.outcomes != IGNORED,
            num_truths=truth.num_truths,
            truth_classes=truth.class_ids,
            order=np.argsort(detections.image_ids, kind="stable"),
        )

    def without(self, rows: NDArray[np.bool_]) -> "_Ranked":
        return replace(self, counts=self.counts & ~rows)

    def asking_less(self, fewer: NDArray[np.int64]) -> "_Ranked":
        return replace(self, num_truths=self.num_truths - fewer)

    def with_errors_right(self, errors: ErrorSplit, kind: int) -> "_Ranked":
        class_ids, correct, counts = self.class_ids.copy(), self.correct.copy(), self.counts.copy()
        taken = ~errors.undetected
        rows = np.flatnonzero(errors.kinds == kind)
        for row in rows[np.argsort(-self.scores[rows], kind="stable")].tolist():
            target = errors.targets[row]
            if taken[target]:
                counts[row] = False
            else:
                taken[target] = True
                class_ids[row], correct[row] = self.truth_classes[target], True
        return replace(self, class_ids=class_ids, correct=correct, counts=counts)

    def ap50(self) -> float | None:
        """Mean of the classes' AP at the matching IoU; a class whose truths are all spared has none."""
        rows = self.order[self.counts[self.order]]
        rows = rows[class_order(self.class_ids[rows], self.scores[rows])]
        outcomes = np.where(self.correct[rows], MATCHED, UNMATCHED).astype(np.int8)[:, None]
        classes = len(self.num_truths)
        precision, recall = np.full((1, len(RECALL_THRESHOLDS), classes), -1.0), np.full((1, classes), -1.0)
        zeros = np.zeros(len(rows), np.int64)  # one picture, whose detections all have the first rank: no limit
        precision_over_recall(
            np.searchsorted(self.class_ids[rows], np.arange(classes + 1)),
            outcomes,
            plain_rows(outcomes),
            zeros,
            zeros,
            np.ones(1, np.int64),
            1,
            self.num_truths,
            np.array(RECALL_THRESHOLDS),
            precision,
            recall,
        )
        defined = precision[precision > -1]
        return float(np.mean(defined)) if defined.size else None


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
