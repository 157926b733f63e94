"""Precision, recall, F1 and the confusion matrix of a detector at one confidence and one IoU threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.matching import (
    CORRECT,
    MATCH_IOU,
    WRONG,
    Matching,
    match_any_class,
)

BACKGROUND = "background"


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives, and what follows from them.

    A ratio without anything to divide by is 0: no detections, no precision.
    """

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of the detections that are right, [0, 1]."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the true boxes that were found, [0, 1]."""
        return _ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, [0, 1]."""
        return _ratio(2 * self.true_positives, 2 * self.true_positives + self.false_positives + self.false_negatives)


@dataclass(frozen=True)
class ClassCounts(Counts):
    """`Counts` of one class."""

    class_name: str


@dataclass(frozen=True)
class OperatingPoint(Counts):
    """`Counts` over all classes together, at two thresholds, on `num_pictures` pictures, and those of each class.

    `class_thresholds`: the confidence threshold of each class (C,) where each has its own, else empty;
    `confidence_threshold` is then the one that they replace.
    """

    confidence_threshold: float
    iou_threshold: float
    num_pictures: int
    per_class: tuple[ClassCounts, ...]
    class_thresholds: tuple[float, ...] = ()

    @property
    def false_positives_per_picture(self) -> float:
        """False positives for each picture."""
        return _ratio(self.false_positives, self.num_pictures)


def operating_point(
    matching: Matching,
    classes: tuple[str, ...],
    *,
    confidence_threshold: float,
    iou_threshold: float,
    class_thresholds: Sequence[float] = (),
) -> OperatingPoint:
    """Counts the detections above `confidence_threshold`; above their class's own with `class_thresholds`.

    `iou_threshold` is that of the NMS that was done, a label.
    """
    thresholds = np.array(class_thresholds or [confidence_threshold] * len(classes), np.float32)
    reported = matching.scores > thresholds[matching.class_ids]
    correct = _by_class(matching.class_ids[reported & (matching.outcomes == CORRECT)], len(classes))
    wrong = _by_class(matching.class_ids[reported & (matching.outcomes == WRONG)], len(classes))
    missed = matching.num_truths - correct
    return point_of_counts(
        correct,
        wrong,
        missed,
        classes,
        confidence_threshold=confidence_threshold,
        iou_threshold=iou_threshold,
        num_pictures=matching.num_pictures,
        class_thresholds=tuple(class_thresholds),
    )


def point_of_counts(
    correct: NDArray[np.int64],
    wrong: NDArray[np.int64],
    missed: NDArray[np.int64],
    classes: tuple[str, ...],
    *,
    confidence_threshold: float,
    iou_threshold: float,
    num_pictures: int,
    class_thresholds: tuple[float, ...] = (),
) -> OperatingPoint:
    """The operating point of true positives, false positives and false negatives for each class, (C,) each."""
    per_class = tuple(
        ClassCounts(int(correct[index]), int(wrong[index]), int(missed[index]), name)
        for index, name in enumerate(classes)
    )
    return OperatingPoint(
        true_positives=int(correct.sum()),
        false_positives=int(wrong.sum()),
        false_negatives=int(missed.sum()),
        confidence_threshold=confidence_threshold,
        iou_threshold=iou_threshold,
        num_pictures=num_pictures,
        per_class=per_class,
        class_thresholds=class_thresholds,
    )


@dataclass(frozen=True)
class Curve:
    """Precision, recall and F1 at P confidence thresholds, all classes together; float64 (P,) each, in [0, 1]."""

    confidences: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def confidence_curve(matching: Matching, confidences: NDArray[np.float64]) -> Curve:
    """The curve over ascending `confidences` (P,) that one matching gives."""
    correct = _above(matching.scores[matching.outcomes == CORRECT], confidences)
    wrong = _above(matching.scores[matching.outcomes == WRONG], confidences)
    truths = float(matching.num_truths.sum())
    return Curve(
        confidences=confidences,
        precision=_ratios(correct, correct + wrong),
        recall=_ratios(correct, np.full_like(correct, truths)),
        f1=_ratios(2 * correct, correct + wrong + truths),
    )


@dataclass(frozen=True)
class ConfusionMatrix:
    """What stands where: `counts[truth, predicted]` int64, both axes the C classes and then background.

    A true box on the row; what was reported in its place on the column. The last column counts missed boxes, the last
    row detections where nothing is; the corner is 0.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]


def confusion_matrix(detections: Detections, truth: GroundTruth, *, iou: float = MATCH_IOU) -> ConfusionMatrix:
    """Matches regardless of class, by falling score, each detection to the free true box that it overlaps most.

    A box reported in two classes fills one cell with the stronger and a background cell with the other. Detections in
    a crowd or an ignore region that match nothing else do not appear.
    """
    matching = match_any_class(detections, truth, iou=iou)
    predicted = detections.class_ids[matching.order]
    classes = len(truth.classes)
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(counts[classes], predicted[matching.outcomes == WRONG], 1)
    right = matching.outcomes == CORRECT
    found = matching.truths[right]
    np.add.at(counts, (truth.class_ids[found], predicted[right]), 1)
    missed = ~truth.ignore
    missed[found] = False
    np.add.at(counts[:, classes], truth.class_ids[missed], 1)
    return ConfusionMatrix((*truth.classes, BACKGROUND), counts)


def _by_class(class_ids: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    return np.bincount(class_ids, minlength=num_classes).astype(np.int64)


def _above(scores: NDArray[np.float32], confidences: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many scores (falling) are strictly above each of the confidences, as float64 (P,)."""
    rising = scores[::-1]
    return len(scores) - np.searchsorted(rising, confidences.astype(np.float32), side="right").astype(np.float64)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _ratios(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
