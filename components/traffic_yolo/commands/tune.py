"""`traffic-yolo tune`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.tuning.tune_options import TuneOptions


@click.command()
@click.option("--evaluation", required=True, type=READ, help="Folder of `evaluate`.")
@click.option("--dataset", required=True, type=READ, help="Data set folder, for the true boxes.")
@click.option("--out", required=True, type=WRITE, help="Tuning folder to write.")
@step_options(TuneOptions)
def command(evaluation: str, dataset: str, out: Path, **flags: Any) -> None:
    """Choose confidence and IoU threshold from raw detections."""
    from traffic_yolo.tuning.tune import tune

    click.echo(tune(evaluation, dataset, out, TuneOptions(**flags).sweep()).text)
    click.echo(f"report {out / 'report.html'}")
