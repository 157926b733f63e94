"""The leak check: a group, or a picture that looks like another, must not be in two splits."""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from traffic_yolo.dataset.pictures.look import PictureLook
from traffic_yolo.dataset.records import ALL, SPLITS
from traffic_yolo.dataset.splits.near_duplicates import near_pairs
from traffic_yolo.errors import DatasetError

# Measured on 115 real pictures of five places: copies of one moment differ in 1 to 8 bits, two places in 10 or more
MAX_DISTANCE = 4
NAMED = 5  # pairs in a message; the report has more
KEPT = 200
NAMES = (*SPLITS, ALL)
ENOUGH = 100_000  # pairs; beyond, the number tells nothing more


@dataclass(frozen=True)
class Leak:
    """Two pictures, or one group, in two splits. For a group, `distance` is None and the names are the group's."""

    kind: str  # "group" or "near-duplicate"
    first: str
    first_split: str
    second: str
    second_split: str
    distance: int | None = None

    def __str__(self) -> str:
        if self.kind == "group":
            return f"{self.first} ({self.first_split} and {self.second_split})"
        bits = "the same hash" if self.distance == 0 else f"{self.distance} bits apart"
        return f"{self.first} ({self.first_split}) and {self.second} ({self.second_split}), {bits}"


@dataclass(frozen=True)
class LeakReport:
    """The outcome. `leaks` begins with the worst and holds at most 200 of the `num_leaks` that were found.

    Counting stops at 100,000 pairs: there are at least so many.
    """

    pictures: int
    flat: int
    max_distance: int
    num_leaks: int
    leaks: tuple[Leak, ...] = field(default=())

    def message(self) -> str:
        """One line that names the worst leaks and says what to do; "" where there is none."""
        if not self.num_leaks:
            return ""
        named = "; ".join(map(str, self.leaks[:NAMED]))
        more = f"; and {self.num_leaks - NAMED} more" if self.num_leaks > NAMED else ""
        advice = "put what belongs together into one split (val_sites, test_sites, split_level)"
        return f"the splits leak: {named}{more}; {advice}, or look at the pairs and use leak_check report"

    def check(self) -> None:
        """Raises `DatasetError` with the message."""
        if self.num_leaks:
            raise DatasetError(self.message())

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "pictures": self.pictures,
            "flat_pictures_not_compared": self.flat,
            "max_distance": self.max_distance,
            "num_leaks": self.num_leaks,
            "leaks": [
                {
                    "kind": leak.kind,
                    "first": leak.first,
                    "first_split": leak.first_split,
                    "second": leak.second,
                    "second_split": leak.second_split,
                    "distance": leak.distance,
                }
                for leak in self.leaks
            ],
        }


class LeakCheck:
    """Collects the hash, split and groups of every picture (about 100 bytes each), then finds what is in two splits.

    `max_distance`: bits in which two hashes may differ and still count as the same picture.
    """

    def __init__(self, *, max_distance: int = MAX_DISTANCE) -> None:
        self._max_distance = max_distance
        self._names: list[str] = []
        self._hashes = array("Q")
        self._splits = array("b")
        self._groups: dict[str, dict[str, None]] = {}
        self._pictures = self._flat = 0

    def add(self, name: str, split: str, look: PictureLook | None, groups: Sequence[str] = ()) -> None:
        """One picture; `groups` are those that a split must not cut, named so that no two are called alike."""
        self._pictures += 1
        for group in groups:
            self._groups.setdefault(group, {})[split] = None
        if look is None or look.is_flat:
            self._flat += 1
            return
        self._names.append(name)
        self._hashes.append(look.hash)
        self._splits.append(NAMES.index(split))

    def result(self) -> LeakReport:
        """Every leak: groups first, then pictures, the most alike first."""
        cut = [Leak("group", name, *_two(splits, name)) for name, splits in self._groups.items() if len(splits) > 1]
        splits = np.frombuffer(self._splits, np.int8).astype(np.int64)
        hashes = np.frombuffer(self._hashes, np.uint64)
        pairs = near_pairs(hashes, splits, self._max_distance, enough=ENOUGH)
        alike = [
            Leak(
                "near-duplicate",
                self._names[pair.first],
                NAMES[splits[pair.first]],
                self._names[pair.second],
                NAMES[splits[pair.second]],
                pair.distance,
            )
            for pair in pairs[:KEPT]
        ]
        leaks = tuple([*cut, *alike][:KEPT])
        return LeakReport(self._pictures, self._flat, self._max_distance, len(cut) + len(pairs), leaks)


def _two(splits: Mapping[str, None], name: str) -> tuple[str, str, str]:
    first, second, *_ = splits
    return first, name, second
