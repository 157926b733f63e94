"""Which candidates are taken, one after another: the most worth first, spread over cameras and hours, none twice.

Greedy, for what one picture is worth depends on those that were taken before it: their classes are rarer no more, their
camera and hour has had its turn, and what looks like one of them says nothing new. Nothing is left to chance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.splits.near_duplicates import popcount
from traffic_yolo.labelling.candidate import Candidate
from traffic_yolo.labelling.options import SelectOptions

LEAST_WORTH = 0.05  # of a picture that nothing speaks for: an empty one may be one that the model is blind to

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Chosen:
    """A candidate that was taken, and why. `rank` from 1; the parts in [0, 1], as they were when it was taken.

    `rare_class`: the class that the part `rare` is of, "" for none; `before`: how many of its camera and hour were
    taken before it.
    """

    rank: int
    candidate: Candidate
    worth: float
    uncertainty: float
    rare: float
    rare_class: str
    radar: float
    before: int

    @property
    def reason(self) -> str:
        """In words, the strongest part first."""
        one = self.candidate
        doubts = ", ".join(f"{name} {score:.2f}" for name, score in one.doubts)
        lonely = ((one.tracks, "track", "box"), (one.boxes, "box", "track"))
        radar = ", ".join(f"{_counted(count, what)} without a {other}" for count, what, other in lonely if count)
        parts = [
            (self.uncertainty, f"uncertain: {doubts}"),
            (self.rare, f"rare class: {self.rare_class}"),
            (self.radar, f"radar: {radar}"),
            (one.drift, f"drift of its camera and hour: {one.drift:.2f}"),
        ]
        said = [text for value, text in sorted(parts, key=lambda part: -part[0]) if value > 0]
        said.append(f"number {self.before + 1} of {one.group}")
        return "; ".join(said)


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}{'es' if what == 'box' else 's'}"


def rarity(labelled: Floats) -> Floats:
    """(C,) how rare each class is, by its labelled boxes (C,): 1 for none, 0 from an even share of all on.

    An even share is the total over the number of classes. Where nothing is labelled at all, every class is rare.
    """
    total = labelled.sum()
    if not total:
        return np.ones(len(labelled))
    return np.asarray(np.maximum(0.0, 1 - labelled * len(labelled) / total), np.float64)


def choose(
    candidates: Sequence[Candidate], labelled: Mapping[str, float], options: SelectOptions
) -> tuple[list[Chosen], int]:
    """(those that are taken, how many were passed over because they look like one of those).

    `labelled`: boxes by class that humans have labelled. The worth of a picture is the weighted mean of its parts, or
    `LEAST_WORTH`, divided by 1 + the number of pictures that were taken of its camera and hour: pictures are shared out
    as d'Hondt's rule shares seats. Equal worth: the name decides.
    """
    ordered = sorted(candidates, key=lambda one: one.name)
    classes = sorted({*labelled, *(name for one in ordered for name in one.presence)})
    column = {name: index for index, name in enumerate(classes)}
    presence = np.zeros((len(ordered), len(classes)))
    for row, one in enumerate(ordered):
        for name, value in one.presence.items():
            presence[row, column[name]] = value
    counts = np.array([float(labelled.get(name, 0)) for name in classes])
    parts = np.array([[one.uncertainty, one.radar, one.drift] for one in ordered]).reshape(-1, 3)
    groups = {name: index for index, name in enumerate(dict.fromkeys(one.group for one in ordered))}
    group = np.array([groups[one.group] for one in ordered], np.int64)
    taken_of = np.zeros(len(groups), np.int64)
    alike = _Alike(ordered, options.near_distance)
    drift_weight = options.drift_weight if options.drift else 0.0
    weights = (options.uncertainty_weight, options.rare_weight, options.radar_weight, drift_weight)
    left = np.ones(len(ordered), bool)
    chosen: list[Chosen] = []
    while left.any() and len(chosen) < options.budget:
        rare = presence * rarity(counts)  # (N, C)
        most = rare.max(axis=1, initial=0.0)
        weighed = parts @ np.array([weights[0], weights[2], weights[3]])
        mean = (weighed + weights[1] * most) / sum(weights)
        worth = np.where(left, np.maximum(mean, LEAST_WORTH) / (1 + taken_of[group]), -1.0)
        row = int(worth.argmax())  # the first of equal ones, and they are in the order of their names
        one = ordered[row]
        rare_class = classes[int(rare[row].argmax())] if most[row] > 0 else ""
        before = int(taken_of[group[row]])
        chosen.append(
            Chosen(len(chosen) + 1, one, float(worth[row]), one.uncertainty, float(most[row]), rare_class, one.radar,
                   before)
        )  # fmt: skip
        taken_of[group[row]] += 1
        for name, value in one.expected.items():
            counts[column[name]] += value
        left[row] = False
        left &= ~alike.of(row, left)
    return chosen, alike.passed


class _Alike:
    """Which of the candidates look like one of them that was taken, of the same camera."""

    def __init__(self, candidates: Sequence[Candidate], distance: int) -> None:
        self._looks = np.array([one.look or 0 for one in candidates], np.uint64)
        self._known = np.array([one.look is not None for one in candidates], bool)
        places = {name: index for index, name in enumerate(dict.fromkeys(one.place for one in candidates))}
        self._place = np.array([places[one.place] for one in candidates], np.int64)
        self._distance = distance
        self.passed = 0

    def of(self, row: int, left: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(N,) those of `left` that look like the candidate `row`; counted in `passed`."""
        if not self._known[row]:
            return np.zeros(len(left), bool)
        near = popcount(self._looks ^ self._looks[row]) <= self._distance
        found: NDArray[np.bool_] = left & self._known & near & (self._place == self._place[row])
        self.passed += int(found.sum())
        return found
