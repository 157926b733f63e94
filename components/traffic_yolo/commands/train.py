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
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in --out.")
@click.option("--out", required=True, type=WRITE, help="Training run folder to write.")
def command(dataset: str, out: Path, resume: bool, **options: Any) -> None:
    """Train a Darknet network, from Darknet weights or from nothing."""
    from traffic_yolo.training.trainer import train

    training = TrainingOptions(**options)
    click.echo(training.describe())
    summary = train(dataset, out, training, resume=resume)
    best = f"best AP50 on val {summary.best_ap50:.4f}"
    click.echo(f"{best} after {summary.iteration} iterations, {summary.seconds:.0f} s")
