"""`traffic-yolo sweep`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.tuning.tune_options import TuneOptions


@click.command()
@click.option("--detections", required=True, type=READ, help="Raw detections (`detect`).")
@click.option("--truth", required=True, type=READ, help="COCO file of the true boxes.")
@click.option("--out", required=True, type=WRITE, help="Folder to write.")
@step_options(TuneOptions)
@json_option
def command(detections: str, truth: str, out: Path, as_json: bool, **flags: Any) -> None:
    """Evaluate every cell of a grid of thresholds from one inference, and choose the best."""
    from traffic_yolo.tuning.tune import sweep_file

    summary = sweep_file(detections, truth, out, TuneOptions(**flags).sweep())
    values = {"out": out, **summary.scalars, "report": out / "report.html"}
    print_result(f"{summary.text}\nreport {out / 'report.html'}", values, as_json=as_json)
