"""`traffic-yolo tune`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.tuning.tune_options import TuneOptions


@click.command()
@click.option("--evaluation", required=True, type=READ, help="Folder of `evaluate`.")
@click.option("--dataset", required=True, type=READ, help="Data set folder, for the true boxes.")
@click.option("--out", required=True, type=WRITE, help="Tuning folder to write.")
@step_options(TuneOptions)
@json_option
def command(evaluation: str, dataset: str, out: Path, as_json: bool, **flags: Any) -> None:
    """Choose confidence and IoU threshold from raw detections."""
    from traffic_yolo.tuning.tune import tune

    summary = tune(evaluation, dataset, out, TuneOptions(**flags).sweep())
    values = {"out": out, **summary.scalars, "report": out / "report.html"}
    print_result(f"{summary.text}\nreport {out / 'report.html'}", values, as_json=as_json)
