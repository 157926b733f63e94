"""`traffic-yolo export-labels`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.dataset.options import ExportOptions


@click.command()
@step_options(ExportOptions)
@click.option("--out", required=True, type=WRITE, help="Folder to write.")
def command(out: Path, **options: Any) -> None:
    """Write the labels of recordings or of a data set in another label format.

    For instance the device's detections as CVAT pre-labels, to be corrected by hand:

        traffic-yolo export-labels --source recordings --frames unlabelled --to cvat --copy-pictures --out for-cvat
    """
    from traffic_yolo.dataset.export_labels import export_labels

    click.echo(export_labels(ExportOptions(**options), out).text)
    click.echo(f"labels {out}")
