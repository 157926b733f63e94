"""The experiment that makes a model smaller: how much is pruned, in which way, and which layers are trained on."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.compression.options import CHANNELS, REGULAR, START_FILES, PruneOptions
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import changed, check_plain, fields_of
from traffic_yolo.training.options import FINE_TUNE_WORDS, TrainingOptions
from traffic_yolo.tuning.experiment import (
    PodOptions,
    SearchOptions,
    SearchParameter,
    experiment_document,
    real_parameter,
)
from traffic_yolo.tuning.fine_tuning_experiment import WORK_FOLDER
from traffic_yolo.tuning.latency_limit import LatencyLimit
from traffic_yolo.tuning.metrics import COMPRESSION_METRICS


def compression_search(**changes: Any) -> SearchOptions:
    """How Katib searches by default here; `changes` are fields of `SearchOptions`."""
    given = {"name": "compression", "objective": "map_at_latency", "metrics": COMPRESSION_METRICS, **changes}
    return SearchOptions(**given)


@dataclass(frozen=True)
class CompressionOptions:
    """One experiment of prunings. Paths are those inside the trial's pod, where the NAS claim lies at /nas.

    `model`: the folder of the model to prune. `pruning` and `training` are what all trials share; `prune_ratio`,
    `prune_kind` and `fine_tune_layers` are parameters of the experiment. `prune_ratios`: (least, most), by steps of
    `ratio_step`; a ratio of 0 is the whole model, trained as long. Raises `OptionsError` for what Katib would refuse,
    or would accept and then fail on.
    """

    model: str
    dataset: str
    store: str
    pruning: PruneOptions
    training: TrainingOptions
    limit: LatencyLimit
    search: SearchOptions = field(default_factory=compression_search)
    pod: PodOptions = field(default_factory=lambda: PodOptions(gpus=1))
    prune_ratios: tuple[float, float] = (0.0, 0.8)
    ratio_step: float = 0.1
    prune_kinds: tuple[str, ...] = (CHANNELS, REGULAR)
    fine_tune_layers: tuple[str, ...] = FINE_TUNE_WORDS

    def __post_init__(self) -> None:
        least, most = self.prune_ratios
        if not 0 <= least < most < 1 or self.ratio_step < 0:
            raise OptionsError(f"prune_ratios: expected 0 <= least < most < 1, found {least:g} to {most:g}")
        start: dict[str, Any] = {name: f"{self.model}/{file}" for name, file in START_FILES.items()}
        given = next((name for name in START_FILES if getattr(self.training, name)), "")
        if given:
            raise OptionsError(f"{given}: the training starts from the pruned model; leave it out")
        self._check_words("prune_kinds", self.pruning, "prune_kind")
        self._check_words("fine_tune_layers", dataclasses.replace(self.training, **start), "fine_tune_layers")
        goal = next((name for name in ("bflops_ratio", "latency_ms") if getattr(self.pruning, name) is not None), "")
        if goal:
            raise OptionsError(f"{goal}: the experiment varies prune_ratio, in whose place it is; leave it out")

    def _check_words(self, name: str, options: PruneOptions | TrainingOptions, option_name: str) -> None:
        """Raises `OptionsError` unless the field `name` has different words, each one of the option's."""
        words = getattr(self, name)
        if not words or len(set(words)) != len(words):
            raise OptionsError(f"{name}: expected different words, found {words}")
        for word in words:
            check_plain(fields_of(type(options))[option_name], word, taker="a value of Katib")
            changes: dict[str, Any] = {option_name: word}
            dataclasses.replace(options, **changes)

    def parameters(self) -> list[SearchParameter]:
        """What Katib varies, under the names of our options."""
        text = "Share of the channels (or blocks) that may go which goes"
        return [
            real_parameter("prune_ratio", text, self.prune_ratios, step=self.ratio_step),
            SearchParameter("prune_kind", "What goes", choices=self.prune_kinds),
            SearchParameter("fine_tune_layers", "Layers that the training may change", choices=self.fine_tune_layers),
        ]

    def arguments(self) -> dict[str, str | int | float]:
        """What every trial is given alike: flags of `traffic-yolo trial compression`, without those that vary."""
        varied = {parameter.name for parameter in self.parameters()}
        fixed = {
            name: value
            for options in (self.pruning, self.training, self.limit)
            for name, value in changed(options).items()
            if name not in varied
        }
        places: dict[str, str | int | float] = {"model": self.model, "dataset": self.dataset, "store": self.store}
        return places | {"work": WORK_FOLDER} | fixed


def compression_document(options: CompressionOptions) -> dict[str, Any]:
    """The Experiment as a plain document."""
    return experiment_document(options.search, options.pod, options.parameters(), "compression", options.arguments())
