"""A picture that might be labelled next, as the choice sees it, and the figures that speak for it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from traffic_yolo.dataset.checks.observation import Observation
from traffic_yolo.dataset.records import Annotation, Frame

TOP_BOXES = 5  # so many of a picture's most uncertain boxes count: one doubt is little, and a crowd is not all


@dataclass(frozen=True)
class Candidate:
    """One picture. `hour` of its day, 0 to 23, None where nothing says it. `look`: its hash, None for a flat one.

    `uncertainty` and `radar` in [0, 1]; `doubts`: (class, score) of its most uncertain boxes; `tracks` without a box
    and `boxes` without a track. By class: `presence`, the probability in [0, 1] that at least one is there, and
    `expected`, how many are to be expected. `drift` in [0, 1]: of its camera and hour, 0 where it did not drift.
    """

    name: str
    site: str
    camera: str
    hour: int | None
    uncertainty: float
    doubts: tuple[tuple[str, float], ...] = ()
    presence: Mapping[str, float] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    radar: float = 0.0
    tracks: int = 0
    boxes: int = 0
    look: int | None = None
    drift: float = 0.0

    @property
    def place(self) -> str:
        """Site and camera, as far as they are known; else the recording."""
        return "/".join(filter(None, (self.site, self.camera))) or self.name.rpartition("/")[0]

    @property
    def group(self) -> str:
        """Camera and hour: pictures of one group are alike in scene and light."""
        return self.place if self.hour is None else f"{self.place} {self.hour:02d}h"


def doubt(score: float, threshold: float) -> float:
    """How little it takes for a box to change sides of the threshold: 1 at it, falling straight to 0 at 0 and at 1."""
    return score / threshold if score < threshold else (1 - score) / (1 - threshold)


def uncertainty_of(scores: Iterable[float], threshold: float) -> float:
    """Mean doubt in [0, 1] of a picture's `TOP_BOXES` most uncertain boxes; boxes that are not there count as 0."""
    doubts = sorted((doubt(score, threshold) for score in scores), reverse=True)
    return sum(doubts[:TOP_BOXES]) / TOP_BOXES


def presence_of(annotations: Iterable[Annotation]) -> tuple[dict[str, float], dict[str, float]]:
    """By class: the probability that at least one box is an object, and how many are to be expected.

    Scores are taken for probabilities that do not depend on each other.
    """
    missing: dict[str, float] = {}
    expected: dict[str, float] = {}
    for annotation in annotations:
        name, score = annotation.class_name, annotation.confidence or 0.0
        missing[name] = missing.get(name, 1.0) * (1 - score)
        expected[name] = expected.get(name, 0.0) + score
    return {name: 1 - share for name, share in missing.items()}, expected


def any_of(scores: Sequence[float]) -> float:
    """1 - the product of (1 - score): the probability that at least one of them is right; 0 of none."""
    left = 1.0
    for score in scores:
        left *= 1 - min(max(score, 0.0), 1.0)
    return 1 - left


def hour_of(frame: Frame, observation: Observation) -> int | None:
    """Hour of the day by the name of the recording, else by the time of the frame (UTC); None where neither says it."""
    scan = frame.recorded
    if scan is not None and scan.layout is not None:
        stem = frame.recording.rpartition("/")[2]
        time = scan.layout.describe_name(Path(f"{stem}.h5")).time
        if len(time) >= 4 and time[:2].isdecimal() and int(time[:2]) < 24:
            return int(time[:2])
    if observation.time_s is None:
        return None
    return int(observation.time_s // 3600 % 24)
