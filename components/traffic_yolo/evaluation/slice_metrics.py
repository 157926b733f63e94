"""The metrics of each slice: AP and recall by COCO's rules, counts at the threshold in use, and an interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.evaluation.slices import Slice
from traffic_yolo.metrics.coco import coco_metrics
from traffic_yolo.metrics.coco_kernels import MATCHED, UNMATCHED
from traffic_yolo.metrics.coco_settings import ALL_AREAS, EVERY_AREA, CocoSettings
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.match_table import MatchTable, match_table
from traffic_yolo.metrics.operating_point import Counts

NO_LIMIT = (
    1 << 30
)  # of detections of a class in a picture: what is counted at a threshold has none, as `match` has none
RESAMPLES = 1000
SEED = 0
INTERVAL = (2.5, 97.5)  # percentiles: 95 %
LEAST_GROUPS = 5  # of fewer, a resample misses one of them too often for its percentiles to mean anything


@dataclass(frozen=True)
class SliceMetrics:
    """Of one slice; None where undefined (no true box), never NaN.

    `of`: "pictures" or "boxes" (`Slice`). `pictures`, `truths`: how many count. `ap`, `ap50`, `ar100`: COCO's, on what
    the slice holds. `recall`: at the confidence threshold in use; `recall_interval`: its 95 % interval over resampled
    groups, None for fewer than `LEAST_GROUPS` of them. `precision`, `f1`: None for slices by distance, lane and
    occlusion: nobody can say where a detection belongs that matches nothing.
    """

    dimension: str
    value: str
    of: str
    pictures: int
    truths: int
    ap: float | None
    ap50: float | None
    ar100: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    recall_interval: tuple[float, float] | None
    groups: int


def slice_metrics(
    slices: Sequence[Slice],
    detections: Detections,
    truth: GroundTruth,
    *,
    confidence_threshold: float,
    groups: Sequence[str],
    max_detections: int = 100,
) -> list[SliceMetrics]:
    """Metrics of every slice. `detections`: all above the floor, NMS done. `groups` (M,): what is resampled together.

    `max_detections`: at most that many of a class in a picture count for AP and AR.
    """
    whole: MatchTable | None = None
    measured = []
    for part in slices:
        if part.of == "pictures":
            whole = whole or _table(detections, truth, None, max_detections)
            table = whole
        else:
            table = _table(detections, truth, part, max_detections)
        measured.append(_metrics(part, table, confidence_threshold, groups, max_detections))
    return measured


def _table(detections: Detections, truth: GroundTruth, part: Slice | None, max_detections: int) -> MatchTable:
    settings = CocoSettings(
        max_detections=(max_detections, NO_LIMIT),
        areas={ALL_AREAS: part.area_range if part and part.area_range else EVERY_AREA},
        pixels="network" if part and part.area_scale is not None else "picture",
    )
    return match_table(
        detections,
        truth,
        settings,
        area_scale=part.area_scale if part else None,
        counted_truths=part.truths if part else None,
    )


def _metrics(
    part: Slice, table: MatchTable, confidence_threshold: float, groups: Sequence[str], max_detections: int
) -> SliceMetrics:
    accumulated = table.accumulate(part.pictures)
    limited = type(accumulated)(accumulated.precision[..., :1], accumulated.recall[..., :1], accumulated.num_truths)
    coco = coco_metrics(
        limited, table.classes, CocoSettings(max_detections=(max_detections,), areas=table.settings.areas)
    )
    found, wrong, true = _counts(table, confidence_threshold)
    chosen = np.flatnonzero(part.pictures)
    found, wrong, true = found[chosen], wrong[chosen], true[chosen]
    counts = Counts(int(found.sum()), int(wrong.sum()), int((true - found).sum()))
    truths = int(true.sum())
    has_precision = part.of == "pictures" or part.area_range is not None
    names = [groups[index] for index in chosen.tolist()]
    return SliceMetrics(
        dimension=part.dimension,
        value=part.value,
        of=part.of,
        pictures=len(chosen),
        truths=truths,
        ap=coco.ap,
        ap50=coco.ap50,
        ar100=coco.ar100,
        precision=counts.precision if truths and has_precision else None,
        recall=counts.recall if truths else None,
        f1=counts.f1 if truths and has_precision else None,
        recall_interval=ratio_interval(found, true, names),
        groups=len(set(names)),
    )


def _counts(
    table: MatchTable, confidence_threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Right detections, wrong ones and true boxes that count, of each picture (M,), at IoU 0.50."""
    outcomes = table.outcomes[0, :, table.settings.iou_index(0.5)]
    reported = table.scores > np.float32(confidence_threshold)
    found, wrong = (
        np.bincount(table.pictures[reported & (outcomes == outcome)], minlength=table.num_pictures)
        for outcome in (MATCHED, UNMATCHED)
    )
    true = np.bincount(table.truth_pictures[table.counted_truths[0]], minlength=table.num_pictures)
    return found, wrong, true


def ratio_interval(
    part: NDArray[np.int64], whole: NDArray[np.int64], groups: Sequence[str]
) -> tuple[float, float] | None:
    """The 95 % percentile interval of `part.sum() / whole.sum()` over resampled groups of the pictures (M,).

    None for fewer than `LEAST_GROUPS` groups with something to divide by.
    """
    names, places = np.unique(np.array(groups, dtype=str), return_inverse=True)
    parts = np.bincount(places, weights=part, minlength=len(names))
    wholes = np.bincount(places, weights=whole, minlength=len(names))
    if (wholes > 0).sum() < LEAST_GROUPS:
        return None
    draws = np.random.default_rng(SEED).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    resampled = draws @ wholes
    ratios = (draws @ parts)[resampled > 0] / resampled[resampled > 0]
    low, high = np.percentile(ratios, INTERVAL).tolist()
    return low, high
