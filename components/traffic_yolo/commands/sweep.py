"""`traffic-yolo sweep`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.tuning.tune_options import TuneOptions


@click.command()
@click.option("--detections", required=True, type=READ, help="Raw detections (`detect`).")
@click.option("--truth", required=True, type=READ, help="COCO file of the true boxes.")
@click.option("--out", required=True, type=WRITE, help="Folder to write.")
@step_options(TuneOptions)
def command(detections: str, truth: str, out: Path, **flags: Any) -> None:
    """Evaluate every cell of a grid of thresholds from one inference, and choose the best."""
    from traffic_yolo.tuning.tune import sweep_file

    click.echo(sweep_file(detections, truth, out, TuneOptions(**flags).sweep()).text)
    click.echo(f"report {out / 'report.html'}")
