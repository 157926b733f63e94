"""The experiment that trains nothing: the two thresholds alone, on raw detections that lie there; seconds a trial."""

from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.metrics.objective import MetricOptions
from traffic_yolo.options import changed
from traffic_yolo.tuning.experiment import (
    PodOptions,
    SearchOptions,
    SearchParameter,
    experiment_document,
    real_parameter,
)

# AP never falls when confidence falls, so with AP as the objective there is nothing to choose
BLIND_TO_CONFIDENCE = ("map", "map50")
FLOOR = 0.001


@dataclass(frozen=True)
class Ranges:
    """(least, most) of the two thresholds, and the steps between (0: none; grid needs them)."""

    confidence: tuple[float, float] = (0.05, 0.75)
    iou: tuple[float, float] = (0.3, 0.75)
    confidence_step: float = 0
    iou_step: float = 0

    def __post_init__(self) -> None:
        for name in ("confidence", "iou"):
            least, most = getattr(self, name)
            if not 0 < least < most < 1:
                raise OptionsError(f"{name} range: expected 0 < least < most < 1, found {least:g} to {most:g}")


@dataclass(frozen=True)
class ThresholdsOptions:
    """One experiment on the raw detections of an evaluation. Paths are those inside the trial's pod.

    `evaluation`: folder of the step evaluate; `dataset`: the data set that it was made on.
    """

    evaluation: str
    dataset: str
    search: SearchOptions = field(default_factory=lambda: SearchOptions("thresholds", max_trials=60, parallel_trials=4))
    pod: PodOptions = field(default_factory=lambda: PodOptions(requests={"cpu": "1", "memory": "2Gi"}))
    metrics: MetricOptions = field(default_factory=MetricOptions)
    ranges: Ranges = field(default_factory=Ranges)

    def parameters(self) -> list[SearchParameter]:
        """What Katib varies, under the names of our options."""
        return threshold_parameters(self.search, self.ranges)

    def arguments(self) -> dict[str, str | int | float]:
        """What every trial is given alike: flags of `traffic-yolo trial thresholds`."""
        places: dict[str, str | int | float] = {"evaluation": self.evaluation, "dataset": self.dataset}
        return places | metric_arguments(self.search, self.metrics)


def thresholds_document(options: ThresholdsOptions) -> dict[str, Any]:
    """The Experiment as a plain document."""
    return experiment_document(options.search, options.pod, options.parameters(), "thresholds", options.arguments())


def threshold_parameters(search: SearchOptions, ranges: Ranges) -> list[SearchParameter]:
    """The thresholds that the objective can choose: with AP, the confidence threshold is none of them."""
    confidence = real_parameter(
        "confidence_threshold",
        "Detections with a score not above this do not count",
        ranges.confidence,
        step=ranges.confidence_step,
    )
    iou = real_parameter(
        "iou_threshold",
        "NMS: overlap above which the weaker box of a class goes",
        ranges.iou,
        step=ranges.iou_step,
    )
    return [iou] if search.objective in BLIND_TO_CONFIDENCE else [confidence, iou]


def metric_arguments(search: SearchOptions, metrics: MetricOptions) -> dict[str, str | int | float]:
    """Flags of the metrics that are not at their defaults, and the confidence floor where it is not varied."""
    given: dict[str, str | int | float] = changed(metrics)
    if search.objective in BLIND_TO_CONFIDENCE:
        given["confidence_threshold"] = FLOOR
    return given
