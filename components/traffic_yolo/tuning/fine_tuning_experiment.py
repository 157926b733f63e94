"""The experiment that trains: which layers, at which two thresholds, and optionally at which learning rate."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.metrics.objective import MetricOptions
from traffic_yolo.options import changed, check_plain, fields_of
from traffic_yolo.training.options import FINE_TUNE_WORDS, TrainingOptions
from traffic_yolo.tuning.experiment import (
    PodOptions,
    SearchOptions,
    SearchParameter,
    experiment_document,
    real_parameter,
)
from traffic_yolo.tuning.thresholds_experiment import Ranges, metric_arguments, threshold_parameters

WORK_FOLDER = "/tmp/trial"


@dataclass(frozen=True)
class FineTuningOptions:
    """One experiment of trainings. Paths are those inside the trial's pod, where the NAS claim lies at /nas.

    `training` is what all trials share; its `fine_tune_layers` is a parameter of the experiment. `ranges`: of the two
    thresholds. `learning_rate_range`: (least, most) on a logarithmic scale, None to leave the rate as it is: each
    different rate is a training of its own. Raises `OptionsError` for what Katib would refuse, or would accept and then
    fail on.
    """

    dataset: str
    store: str
    training: TrainingOptions
    search: SearchOptions = field(default_factory=lambda: SearchOptions("fine-tuning"))
    pod: PodOptions = field(default_factory=lambda: PodOptions(gpus=1))
    metrics: MetricOptions = field(default_factory=MetricOptions)
    ranges: Ranges = field(default_factory=Ranges)
    fine_tune_layers: tuple[str, ...] = FINE_TUNE_WORDS
    learning_rate_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if not self.fine_tune_layers or len(set(self.fine_tune_layers)) != len(self.fine_tune_layers):
            raise OptionsError(f"fine_tune_layers: expected different words, found {self.fine_tune_layers}")
        for words in self.fine_tune_layers:
            check_plain(fields_of(TrainingOptions)["fine_tune_layers"], words, taker="a value of Katib")
            dataclasses.replace(self.training, fine_tune_layers=words)
        if self.learning_rate_range is not None:
            least, most = self.learning_rate_range
            if not 0 < least < most:
                raise OptionsError(f"learning_rate_range: expected 0 < least < most, found {least:g} to {most:g}")

    def parameters(self) -> list[SearchParameter]:
        """What Katib varies, under the names of our options."""
        layers = SearchParameter(
            "fine_tune_layers", "Layers that the training may change", choices=self.fine_tune_layers
        )
        varied = [*threshold_parameters(self.search, self.ranges), layers]
        if self.learning_rate_range is not None:
            text = "Learning rate after the warm-up"
            varied.append(real_parameter("learning_rate", text, self.learning_rate_range, logarithmic=True))
        return varied

    def arguments(self) -> dict[str, str | int | float]:
        """What every trial is given alike: flags of `traffic-yolo trial fine-tuning`, without those that vary."""
        varied = {parameter.name for parameter in self.parameters()}
        fixed = {name: value for name, value in changed(self.training).items() if name not in varied}
        places: dict[str, str | int | float] = {"dataset": self.dataset, "store": self.store, "work": WORK_FOLDER}
        return places | fixed | metric_arguments(self.search, self.metrics)


def fine_tuning_document(options: FineTuningOptions) -> dict[str, Any]:
    """The Experiment as a plain document."""
    return experiment_document(options.search, options.pod, options.parameters(), "fine-tuning", options.arguments())
