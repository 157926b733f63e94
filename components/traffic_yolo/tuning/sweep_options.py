"""What a sweep looks through and what for: grids of thresholds, kinds of NMS, limits, and the objective."""

from dataclasses import dataclass, field

import numpy as np

from traffic_yolo.detection.nms_options import NMS_KINDS, NmsOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.metrics.objective import LEAST_TRUTHS, Objective

METHODS = ("grid", "adaptive")
DEFAULT_CONFIDENCES = tuple(round(0.01 * step, 2) for step in range(1, 100))
DEFAULT_IOU_THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(5, 18))
FINEST_IOU_STEP = 0.0125  # the adaptive search halves the step between IoU thresholds until it is this small


@dataclass(frozen=True)
class SweepOptions:
    """The space and the aim of a search for thresholds. Raises `OptionsError` for what makes no sense.

    `kinds`, `limits`: NMS kinds and most detections of a picture to try; empty: those of the evaluation's record.
    `method`: "grid" looks at every cell; "adaptive" refines the IoU thresholds around the best one, and then takes the
    best of all confidences. `per_class`: also choose a confidence threshold for each class that has `least_truths` true
    boxes or more.
    """

    objective: Objective = field(default_factory=Objective)
    confidences: tuple[float, ...] = DEFAULT_CONFIDENCES
    iou_thresholds: tuple[float, ...] = DEFAULT_IOU_THRESHOLDS
    kinds: tuple[str, ...] = ()
    limits: tuple[int, ...] = ()
    method: str = "grid"
    per_class: bool = False
    least_truths: int = LEAST_TRUTHS

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise OptionsError(f"method {self.method!r} is unknown; expected one of {', '.join(METHODS)}")
        for kind in self.kinds:
            NmsOptions(kind=kind)
        for limit in self.limits:
            NmsOptions(max_detections=limit)
        for name in ("kinds", "limits"):
            if len(set(getattr(self, name))) != len(getattr(self, name)):
                raise OptionsError(f"{name}: one stands twice")


MOST_VALUES = 10_000  # of a grid


def parse_grid(text: str, *, name: str) -> tuple[float, ...]:
    """Reads "0.1,0.2,0.5", or "0.01:0.99:50": from, to, how many. Raises `OptionsError` for another form."""
    try:
        if ":" not in text:
            return tuple(float(part) for part in text.split(","))
        first, last, count = text.split(":")
        if int(count) > MOST_VALUES:
            raise OptionsError(f"{name}: expected at most {MOST_VALUES} values; found {shown(text)}")
        values = np.linspace(float(first), float(last), int(count))
    except OptionsError:
        raise
    except ValueError as error:
        raise OptionsError(f"{name}: expected numbers with commas, or FROM:TO:COUNT, found {shown(text)}") from error
    return tuple(round(value, 6) for value in values.tolist())


def parse_kinds(text: str) -> tuple[str, ...]:
    """Reads "default,diounms", or "all"."""
    return NMS_KINDS if text == "all" else tuple(filter(None, text.split(",")))


def parse_limits(text: str) -> tuple[int, ...]:
    """Reads "100,300". Raises `OptionsError` for another form."""
    try:
        return tuple(int(part) for part in filter(None, text.split(",")))
    except ValueError as error:
        raise OptionsError(f"topk: expected whole numbers with commas, found {shown(text)}") from error
