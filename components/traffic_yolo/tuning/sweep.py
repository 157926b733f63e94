"""Every metric at every confidence and NMS IoU threshold of a grid, from raw detections made once.

A box below the confidence threshold never changes the fate of one above it: not in greedy NMS, where only stronger
boxes suppress, and not in COCO's matching, where stronger detections choose first. So one NMS and one matching for
each IoU threshold, done at the lowest confidence, serve every confidence; and the overlaps are computed once for all.
"""

import csv
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import NmsOptions, centre_exponent, check_floor
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.jit import in_chunks
from traffic_yolo.metrics.coco_settings import COCO_MAX_DETECTIONS, IOU_THRESHOLDS, RECALL_THRESHOLDS
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.matching import MATCH_IOU
from traffic_yolo.metrics.operating_point import OperatingPoint, point_of_counts
from traffic_yolo.storage import atomic_file
from traffic_yolo.tuning.sweep_kernels import count_variants, scatter_fates, sweep_pictures
from traffic_yolo.tuning.sweep_options import DEFAULT_CONFIDENCES, DEFAULT_IOU_THRESHOLDS

BLOCK_PICTURES = 256  # swept at a time: bounds the memory for candidates that no variant reports


@dataclass(frozen=True)
class Sweep:
    """Counts and AP on a grid of P confidences x Q IoU thresholds, for C classes, with one kind of NMS.

    `confidences` and `iou_thresholds` rise. `true_positives`, `false_positives`: (P, Q, C) int64, matched at IoU 0.5.
    `num_truths` (C,). `ap`, `ap50`: (P, Q) float64, COCO's numbers over the detections of a cell; 0 everywhere where
    there is no truth at all. Of `nms`, kind, beta and max_detections count.
    """

    classes: tuple[str, ...]
    confidences: tuple[float, ...]
    iou_thresholds: tuple[float, ...]
    true_positives: NDArray[np.int64]
    false_positives: NDArray[np.int64]
    num_truths: NDArray[np.int64]
    num_pictures: int
    ap: NDArray[np.float64]
    ap50: NDArray[np.float64]
    nms: NmsOptions = field(default_factory=NmsOptions)

    @property
    def precision(self) -> NDArray[np.float64]:
        """Precision over all classes together, (P, Q); 0 without detections."""
        correct = self.true_positives.sum(axis=2)
        return _ratio(correct, correct + self.false_positives.sum(axis=2))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Recall over all classes together, (P, Q); 0 without truth."""
        correct = self.true_positives.sum(axis=2)
        return _ratio(correct, np.full_like(correct, self.num_truths.sum()))

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1 over all classes together, (P, Q)."""
        correct = self.true_positives.sum(axis=2)
        return _ratio(2 * correct, correct + self.false_positives.sum(axis=2) + self.num_truths.sum())

    @property
    def false_positives_per_picture(self) -> NDArray[np.float64]:
        """False positives for each picture, (P, Q)."""
        wrong = self.false_positives.sum(axis=2)
        return _ratio(wrong, np.full_like(wrong, self.num_pictures))

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

    def with_columns_of(self, other: "Sweep") -> "Sweep":
        """The grid with the IoU thresholds of another one besides; both have the same confidences."""
        thresholds = np.array(self.iou_thresholds + other.iou_thresholds)
        _, order = np.unique(thresholds, return_index=True)
        joined: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), getattr(other, name)], axis=1)[:, order]
            for name in ("true_positives", "false_positives", "ap", "ap50")
        }
        return dataclasses.replace(self, iou_thresholds=tuple(thresholds[order].tolist()), **joined)


CSV_NUMBERS = ("precision", "recall", "f1", "ap", "ap50", "false_positives_per_picture")


def write_csv(sweeps: Sequence[Sweep], path: Path) -> None:
    """One line for each cell of each sweep: kind, limit, thresholds, ratios, counts."""
    counts = ("true_positives", "false_positives", "false_negatives")
    with atomic_file(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["nms_kind", "max_detections", "confidence_threshold", "iou_threshold", *CSV_NUMBERS, *counts])
        for result in sweeps:
            tables = [getattr(result, name).ravel() for name in CSV_NUMBERS]
            head = [result.nms.kind, result.nms.max_detections]
            for point, *numbers in zip(result.points(), *tables, strict=True):
                thresholds = [f"{value:.6g}" for value in (point.confidence_threshold, point.iou_threshold)]
                found = [getattr(point, name) for name in counts]
                writer.writerow([*head, *thresholds, *(f"{number:.6g}" for number in numbers), *found])


def sweep(
    raw: RawDetections,
    truth: GroundTruth,
    *,
    confidences: Sequence[float] = DEFAULT_CONFIDENCES,
    iou_thresholds: Sequence[float] = DEFAULT_IOU_THRESHOLDS,
    nms: NmsOptions | None = None,
) -> Sweep:
    """Every cell equals NMS, matching and pycocotools done for that cell alone.

    Of `nms`, kind, beta and max_detections count. Raises `OptionsError` for a grid that is empty or does not rise,
    `EvaluationError` for a confidence below the floor of `raw` or for detections that are not of the truth's pictures
    and classes.
    """
    nms = nms or NmsOptions()
    limits = (nms.max_detections,)
    return sweep_limits(raw, truth, confidences=confidences, iou_thresholds=iou_thresholds, nms=nms, limits=limits)[0]


def sweep_limits(
    raw: RawDetections,
    truth: GroundTruth,
    *,
    confidences: Sequence[float],
    iou_thresholds: Sequence[float],
    nms: NmsOptions,
    limits: Sequence[int],
) -> list[Sweep]:
    """`sweep` for each of the `limits` (detections of a picture), from the same overlaps."""
    check_grid(raw, truth, confidences, iou_thresholds)
    shape = (len(limits), len(iou_thresholds))
    swept = [dataclasses.replace(nms, max_detections=limit) for limit in limits]
    variants = (np.tile(np.array(iou_thresholds, np.float32), len(limits)), np.repeat(np.array(limits), shape[1]))
    class_starts, bins, fates = _fates(raw, truth, confidences, nms, variants)
    num_truths = truth.num_truths
    right = np.zeros((len(variants[0]), len(confidences), len(truth.classes)), np.int64)
    wrong = np.zeros_like(right)
    average = np.zeros((*right.shape, len(IOU_THRESHOLDS)))
    recalls = np.array(RECALL_THRESHOLDS)

    def count(first: int, last: int) -> None:
        steps = len(IOU_THRESHOLDS)
        count_variants(first, last, class_starts, bins, fates, num_truths, steps, recalls, right, wrong, average)

    in_chunks(count, len(right), least=1)
    shown = average[:, :, num_truths > 0]  # (V, P, classes with truth, T)
    ap, ap50 = (shown.mean(axis=(2, 3)), shown[..., 0].mean(axis=2)) if shown.size else (np.zeros(right.shape[:2]),) * 2
    return [
        Sweep(
            classes=truth.classes,
            confidences=tuple(confidences),
            iou_thresholds=tuple(iou_thresholds),
            true_positives=right[rows].transpose(1, 0, 2),
            false_positives=wrong[rows].transpose(1, 0, 2),
            num_truths=num_truths,
            num_pictures=len(truth.image_ids),
            ap=ap[rows].T,
            ap50=ap50[rows].T,
            nms=options,
        )
        for options, rows in zip(swept, np.arange(len(right)).reshape(shape), strict=True)
    ]


def check_grid(
    raw: RawDetections, truth: GroundTruth, confidences: Sequence[float], iou_thresholds: Sequence[float]
) -> None:
    """Raises `OptionsError` or `EvaluationError` for what cannot be swept (see `sweep`)."""
    for name, values in (("confidences", confidences), ("iou_thresholds", iou_thresholds)):
        if not len(values):
            raise OptionsError(f"{name}: the grid is empty")
        if any(later <= earlier for earlier, later in pairwise(values)):
            raise OptionsError(f"{name}: the grid must rise, found {', '.join(f'{value:g}' for value in values)}")
    for value in confidences:
        NmsOptions(confidence_threshold=value)
    for value in iou_thresholds:
        NmsOptions(iou_threshold=value)
    check_floor(raw, confidences[0])
    if raw.classes != truth.classes:
        raise EvaluationError(f"detections of classes {raw.classes}, but truth of {truth.classes}")


def _fates(
    raw: RawDetections,
    truth: GroundTruth,
    confidences: Sequence[float],
    nms: NmsOptions,
    variants: tuple[NDArray[np.float32], NDArray[np.int64]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    """Records of all candidates that a variant reports, by class and falling score.

    Class starts (C + 1,), how many confidences each is above (n,), and fates (V, n).
    """
    places, offsets = truth.picture_indices(raw.image_ids), truth.offsets()
    arrays = (raw.offsets, raw.boxes_xyxy, raw.image_hw, raw.score_offsets, raw.score_class_ids, raw.scores)
    of_raw = (*arrays, raw.scores.view(np.uint32))
    of_truth = (offsets[places], offsets[places + 1], truth.class_ids, truth.boxes_xywh, truth.ignore)
    exponent = centre_exponent(nms.kind, nms.beta)
    lowest, steps = np.float32(confidences[0]), np.array(IOU_THRESHOLDS)

    def work(first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
        classes = len(raw.classes)
        return sweep_pictures(
            first, last, of_raw, of_truth, classes, lowest, exponent, *variants, steps, COCO_MAX_DETECTIONS
        )

    assert IOU_THRESHOLDS[0] == MATCH_IOU, "precision and recall are counted at the first of COCO's IoU thresholds"
    parts = in_chunks(work, len(raw), most=BLOCK_PICTURES, description="sweeping")
    rows, pictures = (np.concatenate([part[index] for part in parts]) for index in (0, 1))
    class_ids, scores = raw.score_class_ids[rows], raw.scores[rows]
    # Equal scores by image id, then as NMS lists them: as pycocotools meets them.
    order = np.lexsort((truth.image_order()[places[pictures]], -scores, class_ids))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    fates = np.empty((len(variants[0]), len(order)), np.uint32)
    done = 0
    while parts:  # one by one, so that the two forms of the largest array need not lie side by side
        mine = parts.pop(0)[2]
        scatter_fates(mine, place[done : done + len(mine)], fates)
        done += len(mine)
    class_starts = np.searchsorted(class_ids[order], np.arange(len(raw.classes) + 1)).astype(np.int64)
    bins = np.searchsorted(np.array(confidences, np.float32), scores[order], side="left").astype(np.int64)
    return class_starts, bins, fates


def _ratio(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return ratio
