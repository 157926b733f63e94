"""Whether deployed detections still look like those of validation, by camera and hour: their scores and their number.

The distance of two distributions is that of Kolmogorov and Smirnov: the greatest difference of their shares up to any
value, in [0, 1]. Two samples of one distribution of n and m values differ by 1.36 sqrt((n + m) / (n m)) or more in one
case of twenty (Smirnov 1948); a camera and hour has drifted where its distance is beyond that by more than a limit.
"""

import array
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.layouts import builtin_layouts
from traffic_yolo.atm.recording import RECORDING_SUFFIX
from traffic_yolo.dataset.checks.observation import time_of
from traffic_yolo.dataset.records import PictureLabels
from traffic_yolo.errors import DatasetError, LabelError
from traffic_yolo.labelling.found_boxes import found_pictures
from traffic_yolo.labelling.options import DriftOptions
from traffic_yolo.storage import existing_path, read_json

CHANCE = 1.36  # of the Kolmogorov-Smirnov test at 5 %
STREAM = re.compile(r"\d{2}_(?P<stream>\d{3})_\d{6}")  # a file of DeepStream's dumps: application, stream, frame
TIME = re.compile(r"(?<!\d)20\d{6}[_T-]?(?P<hour>[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?(?!\d)")
UNNAMED = "unnamed camera"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GroupDrift:
    """One camera and hour. Distances in [0, 1] from validation, with what chance gives; None where there are no values.

    `excess`: by how much the worse of the two is beyond chance, at least 0. `is_judged`: it has enough pictures.
    """

    group: str
    pictures: int
    boxes: int
    mean_score: float | None
    boxes_per_picture: float
    score_distance: float | None
    score_chance: float | None
    count_distance: float
    count_chance: float
    excess: float
    is_judged: bool
    has_drifted: bool


@dataclass(frozen=True)
class Drift:
    """All cameras and hours, the worst first; and what validation was."""

    groups: tuple[GroupDrift, ...]
    validation_pictures: int
    validation_boxes: int
    validation_mean_score: float | None
    limit: float

    @property
    def drifted(self) -> tuple[GroupDrift, ...]:
        """Those that drifted."""
        return tuple(one for one in self.groups if one.has_drifted)


class _Sample:
    """Scores of boxes and numbers of boxes of pictures."""

    def __init__(self) -> None:
        self._scores, self._counts = array.array("d"), array.array("d")

    def add(self, scores: list[float]) -> None:
        self._scores.extend(scores)
        self._counts.append(len(scores))

    @property
    def scores(self) -> Floats:
        return np.array(self._scores)

    @property
    def counts(self) -> Floats:
        return np.array(self._counts)


def measure_drift(options: DriftOptions) -> Drift:
    """Compares every camera and hour of `deployed` with the whole of `validation`.

    Raises `StorageError` and `LabelError` for what is no file of detections, `DatasetError` where no camera and hour
    has enough pictures to be judged, and where the two name no class in common.
    """
    expected, known = _read(options.validation)
    deployed, classes = _read(options.deployed)
    if known and classes and not known & classes:
        raise DatasetError(
            f"{options.deployed}: expected the classes of {options.validation} ({', '.join(sorted(known))}), found "
            f"{', '.join(sorted(classes))}; give what one model found"
        )
    whole = _Sample()
    for sample in expected.values():
        whole._scores.extend(sample._scores)
        whole._counts.extend(sample._counts)
    if len(whole.counts) < options.least_pictures:
        raise DatasetError(
            f"{options.validation}: expected {options.least_pictures} pictures or more (--least-pictures), found "
            f"{len(whole.counts)}"
        )
    groups = [_group(name, sample, whole, options) for name, sample in sorted(deployed.items())]
    if not any(one.is_judged for one in groups):
        most = max((one.pictures for one in groups), default=0)
        raise DatasetError(
            f"{options.deployed}: no camera and hour has {options.least_pictures} pictures (--least-pictures), the "
            f"most have {most}; give more"
        )
    groups.sort(key=lambda one: (not one.has_drifted, not one.is_judged, -one.excess))
    scores = whole.scores
    mean = float(scores.mean()) if len(scores) else None
    return Drift(tuple(groups), len(whole.counts), len(scores), mean, options.drift_limit)


def read_drift(location: str) -> dict[str, float]:
    """Camera and hour -> excess in [0, 1] of those that drifted, of a `drift.json`; `LabelError` for another file."""
    path = existing_path(location, what="drift")
    value = read_json(path, what="drift", error=LabelError)
    try:
        found = {str(one["group"]): float(one["excess"]) for one in value["groups"] if one["has_drifted"]}
    except (KeyError, TypeError, ValueError) as error:
        raise LabelError(
            f"{path}: expected a drift.json of traffic-yolo drift: {type(error).__name__} {error}"
        ) from error
    if not all(0 <= excess <= 1 for excess in found.values()):
        raise LabelError(f"{path}: excess: expected numbers in [0, 1]")
    return found


def distance(first: Floats, second: Floats) -> float:
    """Greatest difference of the shares of two samples (n,) and (m,), neither empty, that are up to any value."""
    values = np.concatenate([first, second])
    shares = [np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def chance(n: int, m: int) -> float:
    """What the distance of samples of n and m values of one distribution exceeds in one case of twenty; 1 at most."""
    return min(1.0, CHANCE * math.sqrt((n + m) / (n * m)))


def group_of(labels: PictureLabels) -> str:
    """Camera and hour of a picture, as a selection names them (`candidate.Candidate.group`)."""
    source = str(labels.attributes.get("source", ""))
    if source.endswith(RECORDING_SUFFIX):
        for layout in builtin_layouts().values():
            named = layout.describe_name(Path(source))
            if named.time:
                return _named("/".join(filter(None, (named.site, named.camera))), named.time[:2])
    folder, _, last = labels.name.rpartition("/")
    place = "/".join(filter(None, (labels.site, labels.camera))) or labels.recording or folder
    stream = STREAM.fullmatch(last)
    place = "/".join(filter(None, (place, f"stream {stream['stream']}" if stream else "")))
    time = TIME.search(labels.name)
    seconds = time_of(labels.attributes.get("time"))
    if time is None and seconds is not None:
        return _named(place, f"{int(seconds // 3600 % 24):02d}")
    return _named(place, time["hour"] if time else "")


def drift_values(drift: Drift) -> dict[str, Any]:
    """The comparison as JSON values, which `select --drift` reads."""
    return {
        "limit": drift.limit,
        "validation": {
            "pictures": drift.validation_pictures,
            "boxes": drift.validation_boxes,
            "mean_score": drift.validation_mean_score,
        },
        "groups": [dict(vars(one)) for one in drift.groups],
    }


def _named(place: str, hour: str) -> str:
    return f"{place or UNNAMED} {hour}h" if hour else place or UNNAMED


def _read(location: str) -> tuple[Mapping[str, _Sample], set[str]]:
    path = existing_path(location, what="detections")
    groups: dict[str, _Sample] = {}
    classes: set[str] = set()
    for labels in found_pictures(path):
        scores = []
        for box in labels.annotations:
            if box.confidence is None:
                raise LabelError(f"{labels.where}: a box without a score in [0, 1]; expected what a model found")
            classes.add(box.class_name)
            scores.append(box.confidence)
        groups.setdefault(group_of(labels), _Sample()).add(scores)
    return groups, classes


def _group(name: str, sample: _Sample, whole: _Sample, options: DriftOptions) -> GroupDrift:
    scores, counts = sample.scores, sample.counts
    both = len(scores) > 0 and len(whole.scores) > 0
    score_distance = distance(scores, whole.scores) if both else None
    score_chance = chance(len(scores), len(whole.scores)) if both else None
    count_distance, count_chance = distance(counts, whole.counts), chance(len(counts), len(whole.counts))
    beyond = [count_distance - count_chance]
    if score_distance is not None and score_chance is not None:
        beyond.append(score_distance - score_chance)
    excess = max(0.0, *beyond)
    judged = len(counts) >= options.least_pictures
    return GroupDrift(
        group=name,
        pictures=len(counts),
        boxes=len(scores),
        mean_score=float(scores.mean()) if len(scores) else None,
        boxes_per_picture=float(counts.mean()),
        score_distance=score_distance,
        score_chance=score_chance,
        count_distance=count_distance,
        count_chance=count_chance,
        excess=excess,
        is_judged=judged,
        has_drifted=judged and excess > options.drift_limit,
    )
