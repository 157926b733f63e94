"""What a choice of thresholds is for: the numbers that can be made best, and what misses and false alarms cost."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.options import check_options, option

# name -> what it is; all but the cost are better when higher
OBJECTIVES = {
    "f1": "F1 of all classes together",
    "map": "COCO AP of the detections above the confidence threshold",
    "map50": "AP at IoU 0.50 of the detections above the confidence threshold",
    "recall_at_fppi": "recall with at most so many false positives a picture",
    "cost": "cost of missed and of false boxes, for each picture",
}
OF_RANKING = ("map", "map50")  # never fall when confidence falls: they cannot choose it
LOWER_IS_BETTER = ("cost",)
LEAST_TRUTHS = 20  # of fewer true boxes, a class's own threshold would be chosen by chance (its F1 moves by 1/20 a box)


def _borne() -> Any:
    return option(0.1, "recall_at_fppi: so many false positives a picture are borne.", least=0, headline=True)


def _miss_cost() -> Any:
    return option(1.0, "cost: of a true box that is missed.", least=0, headline=True)


def _false_alarm_cost() -> Any:
    return option(1.0, "cost: of a box where nothing is.", least=0, headline=True)


@dataclass(frozen=True)
class MetricOptions:
    """What the metrics `recall_at_fppi` and `cost` are asked for. Raises `OptionsError` for numbers without sense."""

    false_positives_per_picture: float = _borne()
    miss_cost: float = _miss_cost()
    false_alarm_cost: float = _false_alarm_cost()

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class ObjectiveOptions:
    """One of `OBJECTIVES` with the numbers that it needs. Raises `OptionsError` for what makes no sense."""

    objective: str = option("f1", "What is made best.", choices=tuple(OBJECTIVES), headline=True)
    false_positives_per_picture: float = _borne()
    miss_cost: float = _miss_cost()
    false_alarm_cost: float = _false_alarm_cost()

    def __post_init__(self) -> None:
        check_options(self, ObjectiveOptions)


@dataclass(frozen=True)
class Objective(ObjectiveOptions):
    """The aim of a choice of thresholds. Raises `OptionsError` for what makes no sense.

    `class_costs`: class name -> (cost of a miss, cost of a false alarm), in place of the shared two.
    """

    class_costs: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for class_name, (miss, false_alarm) in self.class_costs.items():
            for kind, value in (("missed", miss), ("false", false_alarm)):
                if not (math.isfinite(value) and value >= 0):
                    what = f"cost of a {kind} {class_name}"
                    raise OptionsError(f"{what}: expected a number of at least 0, found {value:g}")

    @property
    def is_maximised(self) -> bool:
        """Whether higher is better."""
        return self.objective not in LOWER_IS_BETTER

    def costs(self, classes: tuple[str, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cost of a miss and of a false alarm of each class, (C,) each; `OptionsError` for a name that is no class."""
        if unknown := sorted(set(self.class_costs) - set(classes)):
            raise OptionsError(f"cost of {unknown[0]!r}: no class of that name; expected one of {', '.join(classes)}")
        pairs = [self.class_costs.get(name, (self.miss_cost, self.false_alarm_cost)) for name in classes]
        table = np.array(pairs, np.float64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def of_counts(
        self,
        right: NDArray[np.int64],
        wrong: NDArray[np.int64],
        num_truths: NDArray[np.int64],
        *,
        classes: tuple[str, ...],
        num_pictures: int,
    ) -> NDArray[np.float64]:
        """The number of true positives and false positives (…, C), with true boxes (C,): (…).

        NaN for a recall with more false positives than are borne: that is no choice. Not for objectives `OF_RANKING`.
        """
        miss, false_alarm = self.costs(classes)
        cost = (num_truths - right) @ miss + wrong @ false_alarm
        totals = (right.sum(axis=-1), wrong.sum(axis=-1), int(num_truths.sum()))
        return self.of_totals(*totals, cost=cost, num_pictures=num_pictures)

    def of_totals(
        self,
        right: NDArray[np.int64],
        wrong: NDArray[np.int64],
        true: int,
        *,
        cost: NDArray[np.float64],
        num_pictures: int,
    ) -> NDArray[np.float64]:
        """`of_counts` from what all classes come to together; `cost` is that of all pictures."""
        assert self.objective not in OF_RANKING, self.objective
        if self.objective == "f1":
            whole = right + wrong + true
            f1: NDArray[np.float64] = np.divide(2 * right, whole, out=np.zeros(right.shape), where=whole > 0)
            return f1
        if self.objective == "recall_at_fppi":
            borne = wrong <= self.false_positives_per_picture * num_pictures
            return np.where(borne, right / max(true, 1), np.nan)
        return cost / max(num_pictures, 1)


def parse_class_costs(text: str) -> dict[str, tuple[float, float]]:
    """Reads "BUS=5:1,CAR=1:0.5": class, cost of a miss, of a false alarm. Raises `OptionsError` for another form."""
    costs = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, pair = part.rpartition("=")
        try:
            miss, false_alarm = (float(number) for number in pair.split(":"))
        except ValueError as error:
            raise OptionsError(f"class costs: expected CLASS=MISS:FALSE_ALARM, found {shown(part)}") from error
        if not name:
            raise OptionsError(f"class costs: expected CLASS=MISS:FALSE_ALARM, found {shown(part)}")
        costs[name] = (miss, false_alarm)
    return costs
