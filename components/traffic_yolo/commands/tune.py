"""`traffic-yolo tune`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.commands.sweep_flags import options_from, sweep_flags


@click.command()
@click.option("--evaluation", required=True, type=READ, help="Folder of `evaluate`.")
@click.option("--dataset", required=True, type=READ, help="Data set folder, for the true boxes.")
@click.option("--out", required=True, type=WRITE, help="Tuning folder to write.")
@sweep_flags
def command(evaluation: str, dataset: str, out: Path, **flags: Any) -> None:
    """Choose confidence and IoU threshold from raw detections."""
    from traffic_yolo.tuning.tune import tune

    click.echo(tune(evaluation, dataset, out, options_from(flags)).text)
    click.echo(f"report {out / 'report.html'}")
