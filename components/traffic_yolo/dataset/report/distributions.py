"""Histograms of a data set's boxes, of one size however many boxes there are."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

HEAT_BINS_WH = (32, 18)
SIZE_EDGES = np.geomspace(0.003, 1, 30)  # shares of the picture
ASPECT_EDGES = np.geomspace(0.1, 10, 31)  # width over height

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Distributions:
    """Histograms of boxes: widths, heights and aspects (classes, bins); heat (columns, rows) and crowding by split."""

    widths: IntArray
    heights: IntArray
    aspects: IntArray
    heat: Mapping[str, IntArray]
    crowding: Mapping[str, "Counter[int]"]

    @classmethod
    def empty(cls, num_classes: int, splits: Sequence[str]) -> "Distributions":
        """Nothing counted yet."""
        return cls(
            widths=np.zeros((num_classes, len(SIZE_EDGES) - 1), np.int64),
            heights=np.zeros((num_classes, len(SIZE_EDGES) - 1), np.int64),
            aspects=np.zeros((num_classes, len(ASPECT_EDGES) - 1), np.int64),
            heat={split: np.zeros(HEAT_BINS_WH, np.int64) for split in splits},
            crowding={split: Counter() for split in splits},
        )

    def add_aspects(self, class_ids: IntArray, aspects: NDArray[np.float64]) -> None:
        """Counts widths over heights (n,); what is beyond the ends is counted at the ends."""
        bins = np.clip(np.searchsorted(ASPECT_EDGES, aspects, side="right") - 1, 0, len(ASPECT_EDGES) - 2)
        np.add.at(self.aspects, (class_ids, bins), 1)
