"""`traffic-yolo import-model`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.pretrained.options import ModelChoice


@click.command()
@step_options(ModelChoice)
@json_option
@click.option("--dataset", type=READ, help="Data set folder: its classes are those that the model is to be judged on.")
@click.option("--out", required=True, type=WRITE, help="Model folder to write.")
def command(dataset: str | None, out: Path, as_json: bool, **flags: Any) -> None:
    """Make a model folder of Darknet's files, or of a version of a zoo."""
    from traffic_yolo.pretrained.import_model import import_model

    made = import_model(values_of(ModelChoice, flags), out, dataset=dataset)
    print_result(made.text, {"out": out, "text": made.text}, as_json=as_json)
