"""Finds the thresholds that make an objective best on one split, with intervals: the core of `sweep` and `tune`."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.metrics.bootstrap import (
    Groups,
    Interval,
    ap_of_resamples,
    interval,
    picture_counts,
    resample_weights,
)
from traffic_yolo.metrics.coco import ap_and_ap50, settings_up_to
from traffic_yolo.metrics.coco_settings import COCO_MAX_DETECTIONS
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.match_table import match_table
from traffic_yolo.metrics.matching import Matching, match
from traffic_yolo.metrics.objective import OF_RANKING, Objective
from traffic_yolo.metrics.operating_point import OperatingPoint, operating_point
from traffic_yolo.metrics.thresholds import best_class_thresholds, best_threshold
from traffic_yolo.tuning.sweep import Sweep, sweep_limits
from traffic_yolo.tuning.sweep_options import FINEST_IOU_STEP, SweepOptions


@dataclass(frozen=True)
class Found:
    """What a search found.

    `sweeps`: one for each NMS kind and limit; `best`: index of the best of them. `nms`: the chosen thresholds, kind and
    limit. `point`: what they give on the pictures of the search, with the thresholds of each class if asked for;
    `shared_point`: what one threshold for all gives.
    """

    options: SweepOptions
    sweeps: tuple[Sweep, ...]
    best: int
    nms: NmsOptions
    point: OperatingPoint
    shared_point: OperatingPoint


@dataclass(frozen=True)
class Part:
    """What a choice gives on one split, with the 95 % intervals of its numbers over `groups`."""

    split: str
    point: OperatingPoint
    intervals: Mapping[str, Interval]
    groups: Groups


class ApRow(NamedTuple):
    """AP, AP50 and F1 of the detections above one confidence."""

    confidence: float
    ap: float
    ap50: float
    f1: float


def search(raw: RawDetections, truth: GroundTruth, options: SweepOptions, nms: NmsOptions) -> Found:
    """Looks through the space of `options`; kind, beta and limit that it leaves open are those of `nms`.

    Of equally good cells the first kind and limit is taken, then the highest confidence, then the lowest IoU threshold.
    Raises `EvaluationError` where no cell is a choice (too many false positives everywhere), and what `sweep` raises.
    """
    check_covers(raw, truth)
    objective, sweeps = options.objective, []
    for kind in options.kinds or (nms.kind,):
        of_kind = dataclasses.replace(nms, kind=kind)
        sweeps += _sweeps(raw, truth, options, of_kind)
    values = [objective_values(each, objective) for each in sweeps]
    tops = [_top(each, objective) for each in values]
    if np.isnan(tops).all():
        raise EvaluationError(
            f"no threshold keeps to {objective.false_positives_per_picture:g} false positives a picture; the highest "
            f"confidence looked at was {options.confidences[-1]:g}: raise it, or bear more"
        )
    best = int(np.nanargmax(tops))
    row, column = best_cell(values[best], objective)
    chosen = dataclasses.replace(
        sweeps[best].nms,
        confidence_threshold=sweeps[best].confidences[row],
        iou_threshold=sweeps[best].iou_thresholds[column],
    )
    _, matching = matched(raw, truth, chosen)
    floor = raw.protocol.confidence_floor
    if options.method == "adaptive" and objective.objective not in OF_RANKING:
        threshold = best_threshold(matching, objective, truth.classes, floor=floor)
        chosen = dataclasses.replace(chosen, confidence_threshold=threshold)
    shared_point = point = point_of(matching, truth.classes, chosen)
    if options.per_class:
        thresholds = best_class_thresholds(
            matching,
            objective,
            truth.classes,
            shared=chosen.confidence_threshold,
            floor=floor,
            least_truths=options.least_truths,
        )
        point = point_of(matching, truth.classes, chosen, class_thresholds=thresholds.tolist())
    return Found(options, tuple(sweeps), best, chosen, point, shared_point)


def check_covers(raw: RawDetections, truth: GroundTruth) -> None:
    """Raises `EvaluationError` unless the detections are of all pictures of the truth: others would count as missed."""
    truth.picture_indices(raw.image_ids)
    if len(raw) < len(truth.image_ids):
        raise EvaluationError(
            f"detections of {len(raw)} pictures, but the ground truth has {len(truth.image_ids)}; detect on all of "
            f"them, or merge the shards"
        )


def objective_values(result: Sweep, objective: Objective) -> NDArray[np.float64]:
    """The objective at each cell (P, Q); NaN for a cell that is no choice."""
    if objective.objective in OF_RANKING:
        return {"map": result.ap, "map50": result.ap50}[objective.objective]
    return objective.of_counts(
        result.true_positives,
        result.false_positives,
        result.num_truths,
        classes=result.classes,
        num_pictures=result.num_pictures,
    )


def best_cell(values: NDArray[np.float64], objective: Objective) -> tuple[int, int]:
    """Row and column of the best cell; of equals the one with the higher confidence, then the lower IoU threshold."""
    best = np.nanmax(values) if objective.is_maximised else np.nanmin(values)
    # Equal values from equal counts are the same float; the last row with one has the highest confidence.
    row = int(np.flatnonzero((values == best).any(axis=1))[-1])
    return row, int(np.flatnonzero(values[row] == best)[0])


def matched(raw: RawDetections, truth: GroundTruth, nms: NmsOptions) -> tuple[Detections, Matching]:
    """Detections down to the floor under the NMS of `nms`, and their matching."""
    floor = dataclasses.replace(nms, confidence_threshold=raw.protocol.confidence_floor)
    found = non_maximum_suppression(raw, floor)
    return found, match(found, truth)


def point_of(
    matching: Matching, classes: tuple[str, ...], nms: NmsOptions, *, class_thresholds: Sequence[float] = ()
) -> OperatingPoint:
    """The operating point at the thresholds of `nms`, or of each class."""
    return operating_point(
        matching,
        classes,
        confidence_threshold=nms.confidence_threshold,
        iou_threshold=nms.iou_threshold,
        class_thresholds=class_thresholds,
    )


def intervals_of(
    raw: RawDetections, truth: GroundTruth, nms: NmsOptions, point: OperatingPoint, groups: Groups
) -> Mapping[str, Interval]:
    """95 % intervals of precision, recall and F1 at `point`, and of AP and AP50, over resampled `groups`.

    AP is of all detections above the floor. Without any truth there is no AP.
    """
    found, matching = matched(raw, truth, nms)
    weights = resample_weights(groups)
    true = np.bincount(truth.truth_pictures[~truth.ignore], minlength=len(truth.image_ids)).astype(np.int64)
    thresholds = np.array(point.class_thresholds or [nms.confidence_threshold] * len(truth.classes))
    counts = picture_counts(matching, truth.picture_indices(found.image_ids), true, thresholds)
    samples = counts.ratios(weights)
    intervals = {name: interval(getattr(point, name), values, groups=groups.count) for name, values in samples.items()}
    table = match_table(found, truth, settings_up_to(COCO_MAX_DETECTIONS))
    for name, value, values in zip(("ap", "ap50"), ap_and_ap50(table), ap_of_resamples(table, weights), strict=True):
        if value is not None:
            intervals[name] = interval(value, values, groups=groups.count)
    return intervals


def _sweeps(raw: RawDetections, truth: GroundTruth, options: SweepOptions, nms: NmsOptions) -> list[Sweep]:
    limits = options.limits or (nms.max_detections,)

    def at(iou_thresholds: Sequence[float]) -> list[Sweep]:
        return sweep_limits(
            raw, truth, confidences=options.confidences, iou_thresholds=iou_thresholds, nms=nms, limits=limits
        )

    sweeps = at(options.iou_thresholds)
    while options.method == "adaptive":
        wanted = sorted({value for each in sweeps for value in _between_neighbours(each, options.objective)})
        if not wanted:
            break
        sweeps = [each.with_columns_of(finer) for each, finer in zip(sweeps, at(wanted), strict=True)]
    return sweeps


def _between_neighbours(result: Sweep, objective: Objective) -> list[float]:
    """IoU thresholds halfway between the best one and its neighbours, while these are not near enough."""
    values = objective_values(result, objective)
    if np.isnan(values).all():
        return []
    _, column = best_cell(values, objective)
    grid = result.iou_thresholds
    gaps = [(grid[low], grid[low + 1]) for low in (column - 1, column) if 0 <= low < len(grid) - 1]
    return [round((low + high) / 2, 6) for low, high in gaps if high - low > FINEST_IOU_STEP * 1.001]


def _top(values: NDArray[np.float64], objective: Objective) -> float:
    """The best value as a number that is higher when better; NaN where no cell is a choice."""
    if np.isnan(values).all():
        return float("nan")
    return float(np.nanmax(values)) if objective.is_maximised else -float(np.nanmin(values))
