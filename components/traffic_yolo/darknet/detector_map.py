"""What `darknet detector map` computes: AP at one IoU, and precision, recall and F1 at one threshold, by its own rules.

They are not COCO's (detector.c validate_detector_map). A detection belongs to the true box of its class that it
overlaps most, free or taken; at the threshold a detection counts as true when it is the first of its picture, in the
order that suppression left, to reach that box, whatever the scores; a class without truth has an AP of 0 and counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import cxcywh_to_xyxy, pairwise_intersection
from traffic_yolo.errors import OptionsError

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

# detector.c: what the detections are made with, whatever the command line says.
MAP_CONFIDENCE_FLOOR = 0.005
MAP_IOU_THRESHOLD = 0.45
POINTS = (0, 11, 101)


@dataclass(frozen=True)
class MapOptions:
    """Darknet's -points, -iou_thresh and -thresh.

    Raises `OptionsError` for values that make no sense.
    """

    points: int = field(
        default=0,
        metadata={"help": "AP at 11 recalls (PASCAL VOC 2007), at 101 (MS COCO), or 0 for the area under the curve."},
    )
    match_iou: float = field(default=0.5, metadata={"help": "A detection must overlap its true box by more; [0, 1)."})
    confidence_threshold: float = field(
        default=0.25, metadata={"help": "Precision, recall and F1 are of scores above this; [0, 1)."}
    )

    def __post_init__(self) -> None:
        if self.points not in POINTS:
            raise OptionsError(f"points is {self.points}, expected one of {', '.join(map(str, POINTS))}")
        for name in ("match_iou", "confidence_threshold"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionsError(f"{name} is {getattr(self, name)}, expected a number in [0, 1)")


@dataclass(frozen=True)
class PictureResult:
    """One picture's survivors and truth, all in shares of the picture.

    `survivors` (K, 7) float32: x, y, w, h, objectness, class, score, as `darknet_nms` gives them and in its order.
    `truth_cxcywh` (T, 4) float32; `truth_classes` (T,) int64.
    """

    survivors: Float32Array
    truth_cxcywh: Float32Array
    truth_classes: Int64Array


@dataclass(frozen=True)
class ClassResult:
    """AP of one class, and its true and false detections above the threshold."""

    ap: float
    true_positives: int
    false_positives: int
    num_truths: int


@dataclass(frozen=True)
class MapResult:
    """All that Darknet prints. `mean_ap` is over all classes, those without truth included.

    `average_iou` divides the overlaps of the true detections by the number of all: a false one counts as 0. `precision`
    and `f1` are 0 where nothing was detected.
    """

    options: MapOptions
    classes: tuple[ClassResult, ...]
    num_detections: int
    num_truths: int
    average_iou: float

    @property
    def mean_ap(self) -> float:
        """The mean of the classes' AP."""
        return sum(result.ap for result in self.classes) / len(self.classes)

    @property
    def true_positives(self) -> int:
        """True detections above the threshold."""
        return sum(result.true_positives for result in self.classes)

    @property
    def false_positives(self) -> int:
        """False detections above the threshold."""
        return sum(result.false_positives for result in self.classes)

    @property
    def false_negatives(self) -> int:
        """True boxes that no detection above the threshold found."""
        return self.num_truths - self.true_positives

    @property
    def precision(self) -> float:
        """Of the detections above the threshold, the share that is true."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Of the true boxes, the share found above the threshold."""
        return _ratio(self.true_positives, self.num_truths)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return _ratio(2 * self.precision * self.recall, self.precision + self.recall)

    def to_json(self, names: tuple[str, ...]) -> dict[str, object]:
        """Plain values for JSON, one entry a class."""
        return {
            "points": self.options.points,
            "match_iou": self.options.match_iou,
            "confidence_threshold": self.options.confidence_threshold,
            "map": self.mean_ap,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "true_positives": self.true_positives,
            "false_positives": self.false_positives,
            "false_negatives": self.false_negatives,
            "average_iou": self.average_iou,
            "detections": self.num_detections,
            "truths": self.num_truths,
            "classes": [{"name": name, **result.__dict__} for name, result in zip(names, self.classes, strict=True)],
        }

    def to_text(self, names: tuple[str, ...]) -> str:
        """The lines that Darknet prints, in its words and digits."""
        options = self.options
        lines = [f" detections_count = {self.num_detections}, unique_truth_count = {self.num_truths}  "]
        for class_id, (name, result) in enumerate(zip(names, self.classes, strict=True)):
            counts = f"(TP = {result.true_positives}, FP = {result.false_positives})"
            lines.append(f"class_id = {class_id}, name = {name}, ap = {result.ap * 100:.2f}%   \t {counts} ")
        threshold = f" for conf_thresh = {options.confidence_threshold:.2f}"
        rates = f"precision = {self.precision:.2f}, recall = {self.recall:.2f}, F1-score = {self.f1:.2f}"
        counts = f"TP = {self.true_positives}, FP = {self.false_positives}, FN = {self.false_negatives}"
        how = f"{options.points} Recall-points" if options.points else "Area-Under-Curve for each unique Recall"
        mean = f"(mAP@{options.match_iou:.2f}) = {self.mean_ap:f}, or {self.mean_ap * 100:.2f} %"
        return "\n".join(
            [
                *lines,
                "",
                f"{threshold}, {rates} ",
                f"{threshold}, {counts}, average IoU = {self.average_iou * 100:.2f} % ",
                "",
                f" IoU threshold = {options.match_iou * 100:2.0f} %, used {how} ",
                f" mean average precision {mean} ",
            ]
        )


def darknet_map(pictures: Iterable[PictureResult], num_classes: int, options: MapOptions | None = None) -> MapResult:
    """The figures of Darknet for these pictures, in the order of its list (equal scores stand in that order)."""
    options = options or MapOptions()
    matched = [_Matched.of(picture, options.match_iou) for picture in pictures]
    scores = np.concatenate([part.scores for part in matched] or [np.zeros(0, np.float32)])
    class_ids = np.concatenate([part.class_ids for part in matched] or [np.zeros(0, np.int64)])
    true_first = _first_by_score(matched)
    order = np.argsort(-scores, kind="stable")
    counts = np.zeros((3, num_classes), np.int64)  # truths, true and false positives
    overlap_sum = 0.0
    for part in matched:
        counts[0] += np.bincount(part.truth_classes, minlength=num_classes)
        above = part.scores > np.float32(options.confidence_threshold)
        counts[1] += np.bincount(part.class_ids[above & part.is_first], minlength=num_classes)
        counts[2] += np.bincount(part.class_ids[above & ~part.is_first], minlength=num_classes)
        overlap_sum += float(part.overlaps[above & part.is_first].sum(dtype=np.float64))
    results = []
    for class_id in range(num_classes):
        flags = true_first[order][class_ids[order] == class_id]
        ap = _average_precision(flags, int(counts[0, class_id]), options.points)
        results.append(ClassResult(ap, int(counts[1, class_id]), int(counts[2, class_id]), int(counts[0, class_id])))
    reported = int(counts[1:].sum())
    return MapResult(options, tuple(results), len(scores), int(counts[0].sum()), _ratio(overlap_sum, reported))


@dataclass(frozen=True)
class _Matched:
    """A picture's detections: their truth (-1: none), its overlap, and whether each is the first there in order."""

    scores: Float32Array
    class_ids: Int64Array
    truths: Int64Array
    overlaps: Float32Array
    is_first: NDArray[np.bool_]
    truth_classes: Int64Array

    @classmethod
    def of(cls, picture: PictureResult, match_iou: float) -> "_Matched":
        class_ids = picture.survivors[:, 5].astype(np.int64)
        ious = _ious(picture.survivors[:, :4], picture.truth_cxcywh)  # (K, T)
        ious[class_ids[:, None] != picture.truth_classes[None]] = 0
        ious[ious <= np.float32(match_iou)] = 0
        truths = np.full(len(ious), -1, np.int64)
        overlaps = np.zeros(len(ious), np.float32)
        if ious.size:
            best = ious.argmax(axis=1)  # the first of equals, as in Darknet
            overlaps = ious[np.arange(len(ious)), best]
            truths = np.where(overlaps > 0, best, -1)
        is_first = np.zeros(len(ious), np.bool_)
        is_first[np.unique(truths, return_index=True)[1]] = True
        return cls(
            picture.survivors[:, 6], class_ids, truths, overlaps, is_first & (truths >= 0), picture.truth_classes
        )


def _first_by_score(matched: list[_Matched]) -> NDArray[np.bool_]:
    """For all detections, in the order of the pictures: whether each is its truth's strongest."""
    parts = []
    for part in matched:
        order = np.argsort(-part.scores, kind="stable")
        strongest = np.zeros(len(order), np.bool_)
        strongest[order[np.unique(part.truths[order], return_index=True)[1]]] = True
        parts.append(strongest & (part.truths >= 0))
    return np.concatenate(parts or [np.zeros(0, np.bool_)])


def _average_precision(flags: NDArray[np.bool_], truths: int, points: int) -> float:
    """AP from the true and false detections of a class by falling score (detector.c, from "for PR-curve")."""
    if not truths or not flags.any():
        return 0.0
    true = np.cumsum(flags)
    precision: Float64Array = true / np.arange(1, len(flags) + 1)
    recall: Float64Array = true / truths
    best_from = np.maximum.accumulate(precision[::-1])[::-1]  # the highest precision at this recall or a higher one
    if points == 0:
        return float((np.diff(recall, prepend=0.0) * best_from).sum())
    reached = np.searchsorted(recall, np.arange(points) * 1.0 / (points - 1), side="left")
    return float(np.append(best_from, 0.0)[reached].sum() / points)


def _ious(a_cxcywh: Float32Array, b_cxcywh: Float32Array) -> Float32Array:
    """(N, M) float32, as box.c box_iou: areas as w * h, 0 where there is no intersection."""
    shared = pairwise_intersection(cxcywh_to_xyxy(a_cxcywh), cxcywh_to_xyxy(b_cxcywh))
    union = (a_cxcywh[:, 2] * a_cxcywh[:, 3])[:, None] + (b_cxcywh[:, 2] * b_cxcywh[:, 3])[None] - shared
    ious = np.divide(shared, union, out=np.zeros_like(shared), where=(shared > 0) & (union > 0))
    return ious.astype(np.float32)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
