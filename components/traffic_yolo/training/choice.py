"""Which weights of a training are the best, and a fair set of detections to judge the choice by.

Weights that were chosen on some pictures look better on them than they are. So each half of the validation pictures
chooses for the other: `fair_detections` are, for every picture, those of the weights that the other half would have
chosen. They judge the training as a whole without one picture less to choose by.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.bootstrap import coarsest_groups
from traffic_yolo.metrics.class_subset import detections_of_classes, of_classes
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.label_attributes import LabelAttributes
from traffic_yolo.metrics.paired import sampled
from traffic_yolo.training.verdict import NUMBER_OF

LEAST_BOXES = 50  # of a class on val: from so many on its AP says more of the weights than of the few boxes
UNDEFINED = -1.0  # of a half without truth: any weights are as good


@dataclass(frozen=True)
class Candidate:
    """The best so far of one electorate: its value there, when, and what was detected in all pictures."""

    value: float
    iteration: int
    detections: Detections


class Choice:
    """Follows the validations of a training, the start's included where it may be delivered."""

    def __init__(
        self, truth: GroundTruth, labels: LabelAttributes, *, metric: str, confidence_threshold: float
    ) -> None:
        """`metric`: map, map50 or f1. `first_half` (M,) bool: whole sites or recordings, where there are two.

        A mean over classes would be led by those with few boxes; they are left out where others have enough.
        """
        self._all, self._name, self._threshold = truth, NUMBER_OF[metric], confidence_threshold
        counts = {name: int(((truth.class_ids == n) & ~truth.ignore).sum()) for n, name in enumerate(truth.classes)}
        self.classes = tuple(name for name, count in counts.items() if count >= LEAST_BOXES) or truth.classes
        self.few = {name: count for name, count in counts.items() if name not in self.classes and count}
        self._truth = of_classes(truth, self.classes)
        groups = coarsest_groups(labels, least=2)
        self.first_half: NDArray[np.bool_] = groups.places % 2 == 0
        self.start: Detections | None = None
        self.best_value: float | None = None
        self.best_iteration = 0
        self.validations_without_gain = 0
        self._halves: list[Candidate | None] = [None, None]  # chosen by the first half, and by the second

    @property
    def text(self) -> str:
        """What chooses, for the user; "" where all classes do."""
        if not self.few:
            return ""
        few = ", ".join(f"{name} {count}" for name, count in self.few.items())
        return f"the best weights are chosen by {', '.join(self.classes)}; fewer than {LEAST_BOXES} boxes on val: {few}"

    def add(self, iteration: int, found: Detections, *, is_start: bool = False) -> bool:
        """Takes in a validation; whether its weights are the best so far. Of equals, the earlier ones stay."""
        first = self.first_half
        weights = np.stack([first, ~first]).astype(np.int64)
        known = detections_of_classes(found, self._all.classes, self.classes)
        numbers = sampled(known, self._truth, self._threshold, weights)
        if is_start:
            self.start = found
        halves = numbers.samples.get(self._name, np.full(2, np.nan))
        for place, number in enumerate(np.nan_to_num(halves, nan=UNDEFINED).tolist()):
            held = self._halves[place]
            if held is None or number > held.value:
                self._halves[place] = Candidate(number, iteration, found)
        value = numbers.values.get(self._name, 0.0)
        if self.best_value is None or value > self.best_value:
            self.best_value, self.best_iteration, self.validations_without_gain = value, iteration, 0
            return True
        self.validations_without_gain += 1
        return False

    def fair_detections(self) -> Detections:
        """Detections in all pictures, each half's by the weights that the other half chose."""
        by_first, by_second = self._halves
        assert by_first is not None
        assert by_second is not None
        first_ids = self._truth.image_ids[self.first_half]
        return Detections.concatenate(
            [
                by_second.detections.select(np.isin(by_second.detections.image_ids, first_ids)),
                by_first.detections.select(~np.isin(by_first.detections.image_ids, first_ids)),
            ]
        )

    def state(self) -> dict[str, Any]:
        """Numbers, texts, tensors and dicts of them, for a checkpoint."""
        return {
            "best_value": self.best_value,
            "best_iteration": self.best_iteration,
            "validations_without_gain": self.validations_without_gain,
            "start": None if self.start is None else _tensors(self.start),
            "halves": [
                None
                if held is None
                else {"value": held.value, "iteration": held.iteration, **_tensors(held.detections)}
                for held in self._halves
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state` gave, in place."""
        self.best_value, self.best_iteration = state["best_value"], state["best_iteration"]
        self.validations_without_gain = state["validations_without_gain"]
        self.start = None if state["start"] is None else _detections(state["start"])
        self._halves = [
            None if held is None else Candidate(held["value"], held["iteration"], _detections(held))
            for held in state["halves"]
        ]


def _tensors(found: Detections) -> dict[str, Any]:
    return {
        field.name: torch.from_numpy(np.ascontiguousarray(getattr(found, field.name)))
        for field in dataclasses.fields(found)
    }


def _detections(tensors: dict[str, Any]) -> Detections:
    return Detections(**{field.name: tensors[field.name].numpy() for field in dataclasses.fields(Detections)})
