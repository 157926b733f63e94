"""`traffic-yolo import-model`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options, values_of
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.pretrained.options import ModelChoice


@click.command()
@step_options(ModelChoice)
@click.option("--dataset", type=READ, help="Data set folder: its classes are those that the model is to be judged on.")
@click.option("--out", required=True, type=WRITE, help="Model folder to write.")
def command(dataset: str | None, out: Path, **flags: Any) -> None:
    """Make a model folder of Darknet's files, or of a version of a zoo."""
    from traffic_yolo.pretrained.import_model import import_model

    click.echo(import_model(values_of(ModelChoice, flags), out, dataset=dataset).text)
