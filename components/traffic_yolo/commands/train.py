"""`traffic-yolo train`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.training.options import TrainingOptions


@click.command()
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@step_options(TrainingOptions)
@click.option(
    "--resume",
    type=click.Choice(["yes", "auto", "no"]),
    is_flag=False,
    flag_value="yes",
    default="no",
    help="Go on from the last checkpoint in --out; auto: where there is one, and start where there is none.",
)
@click.option("--out", required=True, type=WRITE, help="Training run folder to write.")
def command(dataset: str, out: Path, resume: str, **options: Any) -> None:
    """Train a Darknet network, from Darknet weights or from nothing."""
    from traffic_yolo.training.distributed import requested
    from traffic_yolo.training.trainer import train

    training = TrainingOptions(**options)
    speaks = requested().is_first  # of the processes that torchrun starts, one
    if speaks:
        click.echo(training.describe())
    summary = train(dataset, out, training, resume=resume)
    if speaks:
        click.echo(summary.text)
    if training.require_improvement and not summary.is_improvement:
        raise SystemExit(1)
