"""`traffic-yolo trial`: what Katib starts in every trial's pod."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.compression.options import START_FILES, PruneOptions
from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.metrics.objective import MetricOptions
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.tuning.latency_limit import LatencyLimit
from traffic_yolo.tuning.metrics import metric_lines

STORE = click.option("--store", type=WRITE, help="Shared folder where trials keep finished trainings.")
WORK = click.option("--work", required=True, type=WRITE, help="Folder of this trial's files.")
LEASE = click.option(
    "--lease-seconds",
    default=60.0,
    show_default=True,
    help="A trial that trains for all and has not been heard of for so long is replaced.",
)


@click.group()
def command() -> None:
    """One Katib trial: prints its metrics as name=value."""


@command.command("fine-tuning")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@step_options(TrainingOptions, NmsOptions, MetricOptions)
@STORE
@WORK
@LEASE
def fine_tuning(dataset: str, store: Path | None, work: Path, lease_seconds: float, **flags: Any) -> None:
    """Train (or find the training in the store), detect, measure at two thresholds."""
    from traffic_yolo.storage.lease import LeaseTiming
    from traffic_yolo.tuning.trial import run_trial

    training, nms, metrics = (values_of(kind, flags) for kind in (TrainingOptions, NmsOptions, MetricOptions))
    timing = LeaseTiming.of_expiry(lease_seconds)
    _print(run_trial(dataset, work, training, nms, options=metrics, store=store, timing=timing))


@command.command("compression")
@click.option("--model", required=True, type=READ, help="Model folder to prune, as train or import-model writes it.")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@step_options(PruneOptions, TrainingOptions, LatencyLimit, skip=tuple(START_FILES))
@STORE
@WORK
@LEASE
def compression(model: str, dataset: str, store: Path | None, work: Path, lease_seconds: float, **flags: Any) -> None:
    """Prune (or find the pruning in the store), train on, measure AP on the split val and what the network costs."""
    from traffic_yolo.storage.lease import LeaseTiming
    from traffic_yolo.tuning.compression_trial import run_compression_trial

    start = {name: f"{model}/{file}" for name, file in START_FILES.items()}  # until it is pruned
    pruning, limit = values_of(PruneOptions, flags), values_of(LatencyLimit, flags)
    training = values_of(TrainingOptions, {**flags, **start})
    timing = LeaseTiming.of_expiry(lease_seconds)
    _print(run_compression_trial(model, dataset, work, pruning, training, limit, store=store, timing=timing))


@command.command()
@click.option("--evaluation", required=True, type=READ, help="Folder of the step evaluate, with raw detections.")
@click.option("--dataset", required=True, type=READ, help="Data set folder that it was made on.")
@step_options(NmsOptions, MetricOptions)
def thresholds(evaluation: str, dataset: str, **flags: Any) -> None:
    """Measure raw detections that lie there at two thresholds: seconds, no training, no GPU."""
    from traffic_yolo.tuning.trial_metrics import thresholds_trial

    nms, metrics = values_of(NmsOptions, flags), values_of(MetricOptions, flags)
    _print(thresholds_trial(evaluation, dataset, nms, metrics))


@command.command()
@click.option("--store", required=True, type=READ, help="Folder where trials keep finished trainings.")
@json_option
def store(store: str, as_json: bool) -> None:
    """Count what happened in a store: trainings, inferences, and trials that were spared them."""
    from traffic_yolo.errors import NotFoundError
    from traffic_yolo.storage import existing_path
    from traffic_yolo.tuning.shared_store import LOG_NAME, count_events

    folder = existing_path(store, what="store of trainings")
    if not (folder / LOG_NAME).is_dir():
        raise NotFoundError(f"{store}: no store of trainings; give the folder that the trials have as --store")
    counts = count_events(folder)
    print_result("\n".join(f"{name}: {count}" for name, count in counts.items()), counts, as_json=as_json)


def _print(metrics: dict[str, float]) -> None:
    for line in metric_lines(metrics):
        click.echo(line)
