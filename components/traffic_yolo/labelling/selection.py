"""What a selection took: the pictures that humans are to label next, and what was left out."""

from collections.abc import Mapping
from dataclasses import dataclass

from traffic_yolo.labelling.choice import Chosen


@dataclass(frozen=True)
class Selection:
    """What was taken, the best first. `left_out`: reason -> pictures; `labelled`: boxes by class before it."""

    chosen: tuple[Chosen, ...]
    candidates: int
    left_out: Mapping[str, int]
    labelled: Mapping[str, float]
    notes: tuple[str, ...]
