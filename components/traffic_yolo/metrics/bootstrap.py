"""How far a number may be off: resampling of groups of pictures that belong together, such as recordings or sites.

Neighbouring frames of a recording are nearly the same picture. Resampling single pictures would take them for so many
independent proofs, and give intervals far too narrow.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import OptionsError
from traffic_yolo.jit import in_chunks
from traffic_yolo.metrics.coco import ap_and_ap50
from traffic_yolo.metrics.label_attributes import LabelAttributes
from traffic_yolo.metrics.match_table import MatchTable
from traffic_yolo.metrics.matching import CORRECT, WRONG, Matching

LEAST_GROUPS = 5  # of fewer, a resample misses one of them too often for its percentiles to mean anything
RESAMPLES = 2000
SEED = 0
CONFIDENCE = 0.95

Result = TypeVar("Result")


@dataclass(frozen=True)
class Groups:
    """The group of each of M pictures: `places` (M,) int64 into the `count` groups of kind `of` ("recording", say).

    `note`: what a reader must know of the intervals; "" where all is well.
    """

    of: str
    places: NDArray[np.int64]
    count: int
    note: str = ""


@dataclass(frozen=True)
class Interval:
    """`value` of the pictures as they are; `low` to `high` covers the true one in 95 of 100 cases."""

    value: float
    low: float
    high: float


def groups_of(names: Sequence[str], *, of: str, least: int = LEAST_GROUPS) -> Groups:
    """Groups of pictures (M,) by name; every picture for itself, with a note, where there are fewer than `least`.

    A picture without a name ("") is a group of its own.
    """
    if least < 2:
        raise OptionsError(f"groups: expected at least 2, found {least}")
    own = [name or f"\0{index}" for index, name in enumerate(names)]
    unique, places = np.unique(np.array(own, dtype=object).astype(str), return_inverse=True)
    if len(unique) >= least:
        return Groups(of, places.astype(np.int64), len(unique))
    note = (
        f"only {len(unique)} {of}{'' if len(unique) == 1 else 's'} where at least {least} are needed: pictures were "
        f"resampled one by one, as if frames of a {of} were independent. The intervals are too narrow."
    )
    return Groups("picture", np.arange(len(names)), len(names), note)


def coarsest_groups(labels: LabelAttributes, *, least: int = LEAST_GROUPS) -> Groups:
    """Sites, where there are `least` of them; else recordings; else pictures one by one, with a note."""
    sites = groups_of([picture.site for picture in labels.pictures], of="site", least=least)
    if not sites.note and any(picture.site for picture in labels.pictures):
        return sites
    recordings = groups_of([picture.recording for picture in labels.pictures], of="recording", least=least)
    if not any(picture.recording for picture in labels.pictures):
        note = "the labels name no sites or recordings: pictures were resampled one by one, as if all were independent."
        return dataclasses.replace(recordings, of="picture", note=note)
    if not recordings.note:
        return dataclasses.replace(recordings, note=f"fewer than {least} sites: recordings were resampled.")
    return recordings


def resample_weights(groups: Groups, *, resamples: int = RESAMPLES, seed: int = SEED) -> NDArray[np.int64]:
    """(B, M): how often each picture counts in each of `resamples` draws of as many groups as there are."""
    rng = np.random.default_rng(seed)
    chances = np.full(groups.count, 1 / max(groups.count, 1))
    draws = rng.multinomial(groups.count, chances, size=resamples) if groups.count else np.zeros((resamples, 0))
    return draws.astype(np.int64)[:, groups.places]


def ap_of_resamples(table: MatchTable, weights: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """AP and AP50 of each resample (B, M): (B,) each; NaN for one in which there is no truth."""
    found = _of_each(lambda counted: ap_and_ap50(table, counted), weights)
    pairs = np.array([[np.nan if value is None else value for value in pair] for pair in found]).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def class_ap_of_resamples(table: MatchTable, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """AP of each class at each IoU threshold of the table, on resamples (B, M): (B, T, C); NaN without truth."""

    def of_one(counted: NDArray[np.int64]) -> NDArray[np.float64]:
        curves = table.accumulate(counted, only_ap=True).precision[..., 0, 0]  # (T, R, C)
        # A class without truth has -1 at every recall, and no other has it at any
        means: NDArray[np.float64] = np.where(curves[:, 0] > -1, curves.mean(axis=1), np.nan)  # (T, C)
        return means

    shape = (len(weights), len(table.settings.iou_thresholds), len(table.classes))
    return np.array(_of_each(of_one, weights), np.float64).reshape(shape)


def _of_each(work: Callable[[NDArray[np.int64]], Result], weights: NDArray[np.int64]) -> list[Result]:
    """`work(counted)` of each resample (B, M), in order; once for those that count every picture alike.

    Few groups have few draws: five have 126. A thread takes many resamples at a time, since handing over one takes
    longer than most tables do.
    """
    distinct, places = np.unique(weights, axis=0, return_inverse=True)
    parts = in_chunks(lambda first, last: [work(counted) for counted in distinct[first:last]], len(distinct))
    found = [result for part in parts for result in part]
    return [found[place] for place in places.reshape(-1)]


@dataclass(frozen=True)
class PictureCounts:
    """Right and wrong detections and true boxes of each picture, all classes together: (M,) int64 each."""

    right: NDArray[np.int64]
    wrong: NDArray[np.int64]
    true: NDArray[np.int64]

    def ratios(self, weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Precision, recall and F1 of each resample (B, M): (B,) each; 0 without anything to divide by."""
        right, wrong, true = (weights @ each for each in (self.right, self.wrong, self.true))
        parts = {"precision": (right, right + wrong), "recall": (right, true), "f1": (2 * right, right + wrong + true)}
        return {
            name: np.divide(part, whole, out=np.zeros(len(weights)), where=whole > 0)
            for name, (part, whole) in parts.items()
        }


def picture_counts(
    matching: Matching, pictures: NDArray[np.int64], true: NDArray[np.int64], thresholds: NDArray[np.floating]
) -> PictureCounts:
    """Counts of the detections above the `thresholds` of their classes (C,).

    `pictures`: index of the picture of each detection as they were matched (K,); `true` (M,): boxes that count.
    """
    reported = matching.scores > thresholds.astype(np.float32)[matching.class_ids]
    shown = pictures[matching.order]
    right, wrong = (
        np.bincount(shown[reported & (matching.outcomes == outcome)], minlength=len(true)).astype(np.int64)
        for outcome in (CORRECT, WRONG)
    )
    return PictureCounts(right, wrong, true)


def interval(value: float, samples: NDArray[np.float64], *, groups: int, confidence: float = CONFIDENCE) -> Interval:
    """The expanded percentile interval of resamples (B,), NaN among them left out.

    Plain percentiles are too narrow for few groups, as a normal interval is where Student's t is due: the percentiles
    are widened by the same factor (Hesterberg 2015, "What teachers should know about the bootstrap", section 4.3).
    The value lies inside in any case.
    """
    defined = samples[np.isfinite(samples)]
    if not len(defined) or groups < 2:
        return Interval(value, value, value)
    widened = math.sqrt(groups / (groups - 1)) * student_t_quantile((1 + confidence) / 2, groups - 1)
    tail = NormalDist().cdf(-widened)
    low, high = np.quantile(defined, [tail, 1 - tail]).tolist()
    return Interval(value, min(low, value), max(high, value))


@functools.cache
def student_t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t for a probability above one half, to 1e-6, by summing its density."""
    # P(T < t) = 1/2 + the integral of cos(x) ** (n - 1) from 0 to atan(t / sqrt(n)), over twice that to pi / 2.
    angles = np.linspace(0, np.pi / 2, 200_001)
    density = np.cos(angles) ** (degrees - 1)
    area = np.append(0.0, np.cumsum((density[1:] + density[:-1]) / 2))
    angle = np.interp((probability - 0.5) * 2 * area[-1], area, angles)
    return float(math.sqrt(degrees) * math.tan(angle))
