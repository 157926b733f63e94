"""`traffic-yolo anonymize`."""

import dataclasses
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.dataset.anonymize_options import AnonymizeOptions


@click.command()
@step_options(AnonymizeOptions)
@json_option
@click.option("--out", required=True, type=WRITE, help="Data set folder to write.")
def command(out: Path, as_json: bool, **options: Any) -> None:
    """Copy a data set with number plates and heads blurred, to be handed on.

    What no box marks is not blurred: look at the pictures before you hand them on.
    """
    from traffic_yolo.dataset.anonymize import anonymize

    made = anonymize(AnonymizeOptions(**options), out)
    values = {"out": out, **dataclasses.asdict(made), "report": out / "report.html"}
    print_result(f"{made.text}\nreport {out / 'report.html'}", values, as_json=as_json)
