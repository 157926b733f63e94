"""What gates measure of one model: AP, AP50 of each class and F1, on the pictures as they are and on resamples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.bootstrap import PictureCounts, class_ap_of_resamples, picture_counts
from traffic_yolo.metrics.coco import evaluate_coco, settings_up_to
from traffic_yolo.metrics.coco_settings import ALL_AREAS, COCO_AREAS, COCO_MAX_DETECTIONS, CocoSettings
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.match_table import match_table
from traffic_yolo.metrics.matching import match
from traffic_yolo.registry.gates.rules import METRICS


@dataclass(frozen=True)
class ModelNumbers:
    """`values`: `METRICS` -> the number, where it is defined; `class_ap50` the same by class.

    `samples` (B,): the metric that was asked for, on each resample; `class_samples`: AP50 of classes. NaN in a resample
    without truth.
    """

    values: Mapping[str, float]
    class_ap50: Mapping[str, float]
    samples: NDArray[np.float64]
    class_samples: Mapping[str, NDArray[np.float64]]


def numbers_of(
    found: Detections,
    reported: Detections,
    truth: GroundTruth,
    *,
    metric: str,
    thresholds: Sequence[float],
    weights: NDArray[np.int64],
) -> ModelNumbers:
    """The numbers of one model on resamples (B, M) of the M pictures.

    `found`: what went through NMS down to the floor, for AP; `reported`: the same with the NMS that the model is
    deployed with, for F1 at the `thresholds` (C,) of its classes. `metric`: one of `METRICS`.
    """
    coco = evaluate_coco(truth, found, max_detections=COCO_MAX_DETECTIONS)
    counts = _counts(reported, truth, thresholds)
    whole = np.ones((1, len(truth.image_ids)), np.int64)
    stated = {"map50": coco.ap50, "map": coco.ap, "f1": float(counts.ratios(whole)["f1"][0])}
    # AP50 alone takes a tenth of the time of AP at ten IoU thresholds
    settings = settings_up_to(COCO_MAX_DETECTIONS) if metric == "map" else AT_50
    by_class = class_ap_of_resamples(match_table(found, truth, settings), weights)  # (B, T, C)
    samples = counts.ratios(weights)["f1"] if metric == "f1" else mean_of_defined(by_class, (1, 2))
    return ModelNumbers(
        values={name: value for name, value in stated.items() if value is not None},
        class_ap50={each.class_name: each.ap50 for each in coco.per_class if each.ap50 is not None},
        samples=samples,
        class_samples={name: by_class[:, 0, index] for index, name in enumerate(truth.classes)},
    )


# The first IoU threshold of COCO's is 0.5 too, so that AP50 stands first in both
AT_50 = CocoSettings(
    max_detections=(COCO_MAX_DETECTIONS,), areas={ALL_AREAS: COCO_AREAS[ALL_AREAS]}, iou_thresholds=(0.5,)
)
assert set(METRICS) == {"map50", "map", "f1"}


def mean_of_defined(values: NDArray[np.float64], axes: tuple[int, ...]) -> NDArray[np.float64]:
    """The mean along axes of what is no NaN; NaN where nothing is."""
    defined = np.isfinite(values)
    count = defined.sum(axis=axes)
    total = np.where(defined, values, 0.0).sum(axis=axes)
    mean: NDArray[np.float64] = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return mean


def _counts(reported: Detections, truth: GroundTruth, thresholds: Sequence[float]) -> PictureCounts:
    true = np.bincount(truth.truth_pictures[~truth.ignore], minlength=len(truth.image_ids)).astype(np.int64)
    pictures = truth.picture_indices(reported.image_ids)
    return picture_counts(match(reported, truth), pictures, true, np.array(thresholds, np.float64))
