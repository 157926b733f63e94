"""`traffic-yolo trial`: what Katib starts in every trial's pod."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.training.options import PIPELINE_FIELDS, TrainingOptions

NOT_IN_PIPELINE = tuple(name for name in TrainingOptions.__dataclass_fields__ if name not in PIPELINE_FIELDS)


@click.command()
@click.option("--dataset", required=True, type=click.Path(path_type=Path), help="Data set folder.")
@options_of(TrainingOptions, skip=NOT_IN_PIPELINE)
@click.option("--confidence-threshold", default=0.25, show_default=True, help="Detections below do not count.")
@click.option("--iou-threshold", default=0.45, show_default=True, help="NMS: overlap above which the weaker box goes.")
@click.option("--store", type=click.Path(path_type=Path), help="Shared folder where trials keep finished trainings.")
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder of this trial's files.")
def command(
    dataset: Path,
    confidence_threshold: float,
    iou_threshold: float,
    store: Path | None,
    work: Path,
    **options: Any,
) -> None:
    """One Katib trial: train, detect, print metrics as name=value."""
    from traffic_yolo.evaluation.nms import NmsOptions
    from traffic_yolo.tuning.trial import metric_lines, run_trial

    nms = NmsOptions(confidence_threshold=confidence_threshold, iou_threshold=iou_threshold)
    metrics = run_trial(dataset, work, TrainingOptions(**options), nms, store=store)
    for line in metric_lines(metrics):
        click.echo(line)
