"""`traffic-yolo trial`: what Katib starts in every trial's pod."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.training.options import PIPELINE_FIELDS, TrainingOptions
from traffic_yolo.tuning.metrics import MetricOptions, metric_lines

NOT_IN_PIPELINE = tuple(name for name in TrainingOptions.__dataclass_fields__ if name not in PIPELINE_FIELDS)
METRIC_FIELDS = tuple(MetricOptions.__dataclass_fields__)

_confidence = click.option(
    "--confidence-threshold", default=0.25, show_default=True, help="Detections with a score not above do not count."
)
_iou = click.option(
    "--iou-threshold", default=0.45, show_default=True, help="NMS: overlap above which the weaker box goes."
)


@click.group()
def command() -> None:
    """One Katib trial: prints its metrics as name=value."""


@command.command("fine-tuning")
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@options_of(TrainingOptions, skip=NOT_IN_PIPELINE)
@_confidence
@_iou
@options_of(MetricOptions)
@click.option("--store", type=WRITE, help="Shared folder where trials keep finished trainings.")
@click.option("--work", required=True, type=WRITE, help="Folder of this trial's files.")
@click.option(
    "--lease-seconds",
    default=60.0,
    show_default=True,
    help="A trial that trains for all and has not been heard of for so long is replaced.",
)
def fine_tuning(
    dataset: str,
    confidence_threshold: float,
    iou_threshold: float,
    store: Path | None,
    work: Path,
    lease_seconds: float,
    **options: Any,
) -> None:
    """Train (or find the training in the store), detect, measure at two thresholds."""
    from traffic_yolo.detection.nms import NmsOptions
    from traffic_yolo.tuning.lease import LeaseTiming
    from traffic_yolo.tuning.trial import run_trial

    nms = NmsOptions(confidence_threshold=confidence_threshold, iou_threshold=iou_threshold)
    metric_options = MetricOptions(**{name: options.pop(name) for name in METRIC_FIELDS})
    training, timing = TrainingOptions(**options), LeaseTiming.of_expiry(lease_seconds)
    _print(run_trial(dataset, work, training, nms, options=metric_options, store=store, timing=timing))


@command.command()
@click.option("--evaluation", required=True, type=READ, help="Folder of the step evaluate, with raw detections.")
@click.option("--dataset", required=True, type=READ, help="Data set folder that it was made on.")
@_confidence
@_iou
@options_of(MetricOptions)
def thresholds(
    evaluation: str, dataset: str, confidence_threshold: float, iou_threshold: float, **options: Any
) -> None:
    """Measure raw detections that lie there at two thresholds: seconds, no training, no GPU."""
    from traffic_yolo.detection.nms import NmsOptions
    from traffic_yolo.tuning.trial_metrics import thresholds_trial

    nms = NmsOptions(confidence_threshold=confidence_threshold, iou_threshold=iou_threshold)
    _print(thresholds_trial(evaluation, dataset, nms, MetricOptions(**options)))


@command.command()
@click.option("--store", required=True, type=READ, help="Folder where trials keep finished trainings.")
def store(store: str) -> None:
    """Count what happened in a store: trainings, inferences, and trials that were spared them."""
    from traffic_yolo.errors import NotFoundError
    from traffic_yolo.storage import existing_path
    from traffic_yolo.tuning.training_store import LOG_NAME, count_events

    folder = existing_path(store, what="store of trainings")
    if not (folder / LOG_NAME).is_dir():
        raise NotFoundError(f"{store}: no store of trainings; give the folder that the trials have as --store")
    for name, count in count_events(folder).items():
        click.echo(f"{name}: {count}")


def _print(metrics: dict[str, float]) -> None:
    for line in metric_lines(metrics):
        click.echo(line)
