"""Whether one set of detections is better than another on the same pictures: paired resampling of their groups."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.bootstrap import (
    CONFIDENCE,
    Groups,
    Interval,
    ap_of_resamples,
    interval,
    picture_counts,
)
from traffic_yolo.metrics.coco import ap_and_ap50, settings_up_to
from traffic_yolo.metrics.coco_settings import COCO_MAX_DETECTIONS
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.match_table import match_table
from traffic_yolo.metrics.matching import match

NUMBERS = ("ap", "ap50", "f1", "precision", "recall")
BETTER, WORSE, NO_EVIDENCE = "improvement", "worse", "no evidence of improvement"


@dataclass(frozen=True)
class Difference:
    """The second model's number less the first's, in [-1, 1], with its 95 % interval."""

    name: str
    first: float
    second: float
    difference: Interval

    @property
    def verdict(self) -> str:
        """`BETTER` or `WORSE` where the whole interval lies on that side of 0, else `NO_EVIDENCE`."""
        if self.difference.low > 0:
            return BETTER
        return WORSE if self.difference.high < 0 else NO_EVIDENCE

    @property
    def label(self) -> str:
        """The name as people write it: AP50, F1, precision."""
        return self.name.upper() if self.name[0] in "af" else self.name

    @property
    def text(self) -> str:
        """One line in percentage points: "+0.4 AP, 95 % interval -0.2 to +1.0: no evidence of improvement"."""
        return f"{self._moved}: {self.verdict} ({100 * self.first:.1f} -> {100 * self.second:.1f})"

    @property
    def numbers(self) -> str:
        """The numbers alone: "39.1 -> 39.5 (+0.4 AP, 95 % interval -0.2 to +1.0)"."""
        return f"{100 * self.first:.1f} -> {100 * self.second:.1f} ({self._moved})"

    @property
    def _moved(self) -> str:
        value, low, high = (100 * number for number in dataclasses.astuple(self.difference))
        moved = f"{value:+.1f} {self.label}, {CONFIDENCE:.0%} interval {low:+.1f} to {high:+.1f}"
        return moved.replace("95%", "95 %")


@dataclass(frozen=True)
class Sampled:
    """The numbers of one model on the pictures as they are, and on each resample (B,)."""

    values: dict[str, float]
    samples: dict[str, NDArray[np.float64]]


def sampled(
    found: Detections,
    truth: GroundTruth,
    confidence_threshold: float | NDArray[np.floating],
    weights: NDArray[np.int64],
) -> Sampled:
    """The numbers of detections that went through NMS down to the floor, on resamples (B, M) of the M pictures.

    AP takes all of them; precision, recall and F1 those above the threshold, or above their class's (C,). AP is missing
    where there is no truth.
    """
    table = match_table(found, truth, settings_up_to(COCO_MAX_DETECTIONS))
    true = np.bincount(truth.truth_pictures[~truth.ignore], minlength=len(truth.image_ids)).astype(np.int64)
    thresholds = np.full(len(truth.classes), confidence_threshold)
    counts = picture_counts(match(found, truth), truth.picture_indices(found.image_ids), true, thresholds)
    whole = np.ones((1, len(truth.image_ids)), np.int64)
    values = {name: float(ratio[0]) for name, ratio in counts.ratios(whole).items()}
    samples = counts.ratios(weights)
    ap, ap50 = ap_and_ap50(table)
    if ap is not None and ap50 is not None:
        values |= {"ap": ap, "ap50": ap50}
        samples["ap"], samples["ap50"] = ap_of_resamples(table, weights)
    return Sampled(values, samples)


def differences_of(first: Sampled, second: Sampled, groups: Groups) -> tuple[Difference, ...]:
    """The second's numbers less the first's, those that both have, in the order of `NUMBERS`."""
    return tuple(
        _difference(name, first, second, groups) for name in NUMBERS if name in first.values and name in second.values
    )


def _difference(name: str, first: Sampled, second: Sampled, groups: Groups) -> Difference:
    value = second.values[name] - first.values[name]
    samples = second.samples[name] - first.samples[name]
    return Difference(name, first.values[name], second.values[name], interval(value, samples, groups=groups.count))
