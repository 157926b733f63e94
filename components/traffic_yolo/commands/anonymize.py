"""`traffic-yolo anonymize`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.dataset.anonymize_options import AnonymizeOptions


@click.command()
@step_options(AnonymizeOptions)
@click.option("--out", required=True, type=WRITE, help="Data set folder to write.")
def command(out: Path, **options: Any) -> None:
    """Copy a data set with number plates and heads blurred, to be handed on.

    What no box marks is not blurred: look at the pictures before you hand them on.
    """
    from traffic_yolo.dataset.anonymize import anonymize

    click.echo(anonymize(AnonymizeOptions(**options), out).text)
    click.echo(f"report {out / 'report.html'}")
