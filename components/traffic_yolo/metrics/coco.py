"""COCO's twelve numbers, per-class AP and the precision/recall curves, by one of two engines that agree bit for bit."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import OptionsError
from traffic_yolo.metrics.coco_settings import ALL_AREAS, COCO_MAX_DETECTIONS, ENGINES, CocoSettings
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.match_table import Accumulated, MatchTable, match_table


@dataclass(frozen=True)
class ClassMetrics:
    """AP and recall of one class, [0, 1]; None for a class without truth.

    `ap` and `ar` at IoU 0.50:0.95, `ap50` and `ap75` at one. `ap_by_area`, `ar_by_area`: the same for each area but
    "all". `num_truths`: true boxes that count, of all areas.
    """

    class_name: str
    ap: float | None
    ap50: float | None
    num_truths: int
    ap75: float | None = None
    ar: float | None = None
    ap_by_area: Mapping[str, float | None] = field(default_factory=dict)
    ar_by_area: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class CocoMetrics:
    """COCO's twelve numbers in [0, 1], None where undefined (no truth of that size); never NaN.

    `ap` is the mean over IoU 0.50, 0.55 … 0.95 and the classes with truth; `ap50`, `ap75` at one IoU; small, medium,
    large by true area (below 32², below 96², above, in picture pixels unless the settings say otherwise). `ar1`,
    `ar10`, `ar100`: recall with at most that many detections of a class in a picture (`ar100`: the largest limit).
    `ap_by_area`, `ar_by_area`: for every area of the settings but "all". `precision` (T, R, C) float64: at T IoUs, R
    recalls, C classes; -1 where a class has no truth.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    per_class: tuple[ClassMetrics, ...]
    precision: NDArray[np.float64]
    ap_by_area: Mapping[str, float | None] = field(default_factory=dict)
    ar_by_area: Mapping[str, float | None] = field(default_factory=dict)

    def twelve(self) -> dict[str, float | None]:
        """The twelve numbers by name, in pycocotools' order."""
        return {name: getattr(self, name) for name in NUMBER_NAMES}


NUMBER_NAMES = (
    *("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"),
    *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
)


def evaluate_coco(
    ground_truth: Path | GroundTruth,
    detections: Detections,
    *,
    classes: Sequence[str] = (),
    category_ids: Sequence[int] | None = None,
    image_ids: Sequence[int] | None = None,
    max_detections: int = COCO_MAX_DETECTIONS,
    settings: CocoSettings | None = None,
    area_scale: NDArray[np.float64] | None = None,
    engine: str = "fast",
) -> CocoMetrics:
    """Evaluates as the COCO API does.

    `ground_truth`: a COCO file, read with `classes` and `category_ids` (`read_ground_truth`), or one that was read
    already. `image_ids`: the pictures that count, all by default. `max_detections`: at most that many of a class in
    a picture; `settings` say more, and then it does not count. `area_scale`: see `match_table`. `engine`: "fast", or
    "pycocotools", which takes fifty times as long and gives the same numbers to the last bit.

    Raises `EvaluationError` for detections of pictures or classes that the truth does not have, and for `image_ids`
    that it does not have.
    """
    if isinstance(ground_truth, Path):
        ground_truth = read_ground_truth(ground_truth, classes, category_ids=category_ids)
    settings = settings or settings_up_to(max_detections)
    mask = None if image_ids is None else ground_truth.picture_mask(image_ids)
    if engine == "pycocotools":
        from traffic_yolo.metrics.pycocotools_engine import accumulate_with_pycocotools

        accumulated = accumulate_with_pycocotools(ground_truth, detections, settings, mask=mask, area_scale=area_scale)
    elif engine == "fast":
        accumulated = match_table(detections, ground_truth, settings, area_scale=area_scale).accumulate(mask)
    else:
        raise OptionsError(f"engine {engine!r} is unknown; expected one of {', '.join(ENGINES)}")
    return coco_metrics(accumulated, ground_truth.classes, settings)


def settings_up_to(max_detections: int) -> CocoSettings:
    """COCO's settings with recalls at 1, 10 and `max_detections`; limits beyond `max_detections` are left out."""
    return CocoSettings(max_detections=tuple(sorted({min(limit, max_detections) for limit in (1, 10, max_detections)})))


def coco_metrics(accumulated: Accumulated, classes: Sequence[str], settings: CocoSettings) -> CocoMetrics:
    """The numbers of what an engine accumulated under `settings` with all areas and limits."""
    precision, recall = accumulated.precision[..., -1], accumulated.recall  # (T, R, C, A), (T, C, A, L)
    ap = {area: _mean(precision[..., index]) for index, area in enumerate(settings.areas)}
    ar = {area: _mean(recall[:, :, index, -1]) for index, area in enumerate(settings.areas)}
    curves = precision[..., 0]  # (T, R, C)
    ar1, ar10 = (_mean(recall[:, :, 0, _limit_index(settings, most)]) for most in (1, 10))
    return CocoMetrics(
        ap=ap[ALL_AREAS],
        ap50=_at_iou(curves, settings, 0.5),
        ap75=_at_iou(curves, settings, 0.75),
        ap_small=ap.get("small"),
        ap_medium=ap.get("medium"),
        ap_large=ap.get("large"),
        ar1=ar1,
        ar10=ar10,
        ar100=ar[ALL_AREAS],
        ar_small=ar.get("small"),
        ar_medium=ar.get("medium"),
        ar_large=ar.get("large"),
        per_class=tuple(_class_metrics(accumulated, index, name, settings) for index, name in enumerate(classes)),
        precision=curves,
        ap_by_area={area: value for area, value in ap.items() if area != ALL_AREAS},
        ar_by_area={area: value for area, value in ar.items() if area != ALL_AREAS},
    )


def ap_and_ap50(
    table: MatchTable, weights: NDArray[np.integer] | NDArray[np.bool_] | None = None
) -> tuple[float | None, float | None]:
    """AP and AP50 alone, in a tenth of the time: of the pictures counted `weights` times (`MatchTable.accumulate`)."""
    curves = table.accumulate(weights, only_ap=True).precision[..., 0, 0]
    return _mean(curves), _at_iou(curves, table.settings, 0.5)


def _class_metrics(accumulated: Accumulated, index: int, name: str, settings: CocoSettings) -> ClassMetrics:
    precision = accumulated.precision[:, :, index, :, -1]  # (T, R, A)
    recall = accumulated.recall[:, index, :, -1]  # (T, A)
    sizes = [(place, area) for place, area in enumerate(settings.areas) if area != ALL_AREAS]
    return ClassMetrics(
        class_name=name,
        ap=_mean(precision[..., 0]),
        ap50=_at_iou(precision[..., 0], settings, 0.5),
        num_truths=int(accumulated.num_truths[0, index]),
        ap75=_at_iou(precision[..., 0], settings, 0.75),
        ar=_mean(recall[:, 0]),
        ap_by_area={area: _mean(precision[..., place]) for place, area in sizes},
        ar_by_area={area: _mean(recall[:, place]) for place, area in sizes},
    )


def _limit_index(settings: CocoSettings, most: int) -> int:
    """Where the largest limit of detections up to `most` stands; the first where all are larger."""
    return max(bisect.bisect_right(settings.max_detections, most) - 1, 0)


def _at_iou(curves: NDArray[np.float64], settings: CocoSettings, iou: float) -> float | None:
    index = settings.iou_index(iou)
    return None if index is None else _mean(curves[index])


def _mean(values: NDArray[np.float64]) -> float | None:
    """Mean of the values that are defined (pycocotools marks the others -1), None when there are none."""
    defined = values[values > -1]
    return float(np.mean(defined)) if defined.size else None
