"""Precision, recall and F1 at every confidence and NMS IoU threshold of a grid, from raw detections made once.

A box below the confidence threshold never changes the fate of one above it: not in greedy NMS, where only stronger
boxes suppress, and not in COCO's matching, where stronger detections choose first. So one NMS and one matching for
each IoU threshold, done at the lowest confidence, serve every confidence; and the overlaps are computed once for all.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.evaluation.ground_truth import GroundTruth
from traffic_yolo.evaluation.matching import (
    CORRECT,
    MATCH_IOU,
    WRONG,
    match_picture,
    outcomes_of,
    truth_overlaps,
)
from traffic_yolo.evaluation.nms import Candidates, NmsOptions, check_floor, pairwise_overlap
from traffic_yolo.evaluation.operating_point import OperatingPoint, point_of_counts
from traffic_yolo.evaluation.raw_detections import RawDetections
from traffic_yolo.progress import progress
from traffic_yolo.storage import atomic_file

DEFAULT_CONFIDENCES = tuple(round(0.01 * step, 2) for step in range(1, 100))
DEFAULT_IOU_THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(5, 18))


@dataclass(frozen=True)
class Sweep:
    """Counts on a grid of P confidences x Q IoU thresholds, for C classes.

    `confidences` and `iou_thresholds` rise. `true_positives`, `false_positives`: (P, Q, C) int64. `num_truths` (C,).
    """

    classes: tuple[str, ...]
    confidences: tuple[float, ...]
    iou_thresholds: tuple[float, ...]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    num_truths: NDArray[np.int64]
    num_pictures: int

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1 over all classes together, (P, Q)."""
        correct = self.true_positives.sum(axis=2)
        whole = correct + self.false_positives.sum(axis=2) + self.num_truths.sum()
        f1: NDArray[np.float64] = np.divide(2 * correct, whole, out=np.zeros(correct.shape), where=whole > 0)
        return f1

    def point(self, confidence_index: int, iou_index: int) -> OperatingPoint:
        """One cell of the grid."""
        correct = self.true_positives[confidence_index, iou_index]
        return point_of_counts(
            correct,
            self.false_positives[confidence_index, iou_index],
            self.num_truths - correct,
            self.classes,
            confidence_threshold=self.confidences[confidence_index],
            iou_threshold=self.iou_thresholds[iou_index],
            num_pictures=self.num_pictures,
        )

    def points(self) -> Iterator[OperatingPoint]:
        """Every cell, confidence by confidence."""
        for confidence_index in range(len(self.confidences)):
            for iou_index in range(len(self.iou_thresholds)):
                yield self.point(confidence_index, iou_index)

    def write_csv(self, path: Path) -> None:
        """One line for each cell: the thresholds, precision, recall, F1, counts, false positives for each picture."""
        names = ("confidence_threshold", "iou_threshold", "precision", "recall", "f1")
        counts = ("true_positives", "false_positives", "false_negatives")
        with atomic_file(path, "w") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*names, *counts, "false_positives_per_picture"])
            for point in self.points():
                ratios = [f"{getattr(point, name):.6g}" for name in names]
                found = [getattr(point, name) for name in counts]
                writer.writerow([*ratios, *found, f"{point.false_positives_per_picture:.6g}"])


def sweep(
    raw: RawDetections,
    truth: GroundTruth,
    *,
    confidences: Sequence[float] = DEFAULT_CONFIDENCES,
    iou_thresholds: Sequence[float] = DEFAULT_IOU_THRESHOLDS,
    nms: NmsOptions | None = None,
) -> Sweep:
    """Every cell equals NMS and matching done for that cell alone. Of `nms`, kind, beta and max_detections count.

    Raises `OptionsError` for a grid that is empty or does not rise, `EvaluationError` for a confidence below the floor
    of `raw` or for detections that are not of the truth's pictures and classes.
    """
    nms = nms or NmsOptions()
    _check_grid("confidences", confidences)
    _check_grid("iou_thresholds", iou_thresholds)
    for value in confidences:
        NmsOptions(confidence_threshold=value)
    for value in iou_thresholds:
        NmsOptions(iou_threshold=value)
    check_floor(raw, confidences[0])
    if raw.classes != truth.classes:
        raise EvaluationError(f"detections of classes {raw.classes}, but truth of {truth.classes}")
    steps = np.array(confidences, np.float32)
    shape = (len(steps) + 1, len(iou_thresholds), len(truth.classes))
    counts = {CORRECT: np.zeros(shape, np.int64), WRONG: np.zeros(shape, np.int64)}
    places, offsets = truth.picture_indices(raw.image_ids), truth.offsets()
    for picture in progress(range(len(raw)), description="sweeping", unit="picture"):
        candidates = Candidates.above(raw.class_scores[raw.boxes_of(picture)], confidences[0])
        if not len(candidates.scores):
            continue
        rows = slice(offsets[places[picture]], offsets[places[picture] + 1])
        bins = np.searchsorted(steps, candidates.scores, side="left")  # how many confidences a score is above
        for index, (kept, outcomes) in enumerate(
            _outcomes(raw, picture, candidates, truth, rows, iou_thresholds=iou_thresholds, nms=nms)
        ):
            for outcome, count in counts.items():
                chosen = kept[outcomes == outcome]
                np.add.at(count, (bins[chosen], index, candidates.class_ids[chosen]), 1)
    return Sweep(
        classes=truth.classes,
        confidences=tuple(confidences),
        iou_thresholds=tuple(iou_thresholds),
        true_positives=_above(counts[CORRECT]),
        false_positives=_above(counts[WRONG]),
        num_truths=truth.num_truths,
        num_pictures=len(truth.image_ids),
    )


def best_by_f1(result: Sweep) -> OperatingPoint:
    """The cell with the highest F1; of equals the one with the higher confidence, then the lower IoU threshold."""
    f1 = result.f1
    # Equal F1 from equal counts is the same float; the last row with it has the highest confidence.
    confidence_index = int(np.flatnonzero((f1 == f1.max()).any(axis=1))[-1])
    iou_index = int(np.flatnonzero(f1[confidence_index] == f1.max())[0])
    return result.point(confidence_index, iou_index)


def _outcomes(
    raw: RawDetections,
    picture: int,
    candidates: Candidates,
    truth: GroundTruth,
    rows: slice,
    *,
    iou_thresholds: Sequence[float],
    nms: NmsOptions,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.int8]]]:
    """For each IoU threshold, the candidates of one picture that NMS keeps, and the outcome of each.

    `rows` are the picture's true boxes.
    """
    overlaps = pairwise_overlap(raw.boxes_xyxy[raw.boxes_of(picture)], kind=nms.kind, beta=nms.beta)
    detections = candidates.detections(raw, picture)
    with_truth = truth_overlaps(detections.boxes_xyxy, detections.class_ids, truth, rows)
    for iou_threshold in iou_thresholds:
        kept = candidates.survivors(overlaps, iou_threshold)[: nms.max_detections]
        yield kept, outcomes_of(match_picture(with_truth[kept], truth.ignore[rows], iou=MATCH_IOU), truth.ignore[rows])


def _above(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P + 1, Q, C) counts by how many confidences the score is above -> (P, Q, C) counts above each confidence."""
    at_least = counts[::-1].cumsum(axis=0)[::-1]
    return at_least[1:]


def _check_grid(name: str, values: Sequence[float]) -> None:
    if not len(values):
        raise OptionsError(f"{name}: the grid is empty")
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise OptionsError(f"{name}: the grid must rise, found {', '.join(f'{value:g}' for value in values)}")
