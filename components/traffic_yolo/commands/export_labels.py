"""`traffic-yolo export-labels`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.dataset.options import ExportOptions


@click.command()
@step_options(ExportOptions)
@click.option("--out", required=True, type=WRITE, help="Folder to write.")
@json_option
def command(out: Path, as_json: bool, **options: Any) -> None:
    """Write the labels of recordings or of a data set in another label format.

    For instance the device's detections as CVAT pre-labels, to be corrected by hand:

        traffic-yolo export-labels --source recordings --frames unlabelled --to cvat --copy-pictures --out for-cvat
    """
    from traffic_yolo.dataset.export_labels import export_labels

    summary = export_labels(ExportOptions(**options), out)
    values = {"out": out, "pictures": summary.num_pictures, "boxes": summary.num_boxes, "notes": summary.notes}
    print_result(f"{summary.text}\nlabels {out}", values, as_json=as_json)
