"""`traffic-yolo select`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.labelling.options import SelectOptions


@click.command()
@step_options(SelectOptions)
@click.option("--out", required=True, type=WRITE, help="Folder to write.")
@json_option
def command(out: Path, as_json: bool, **options: Any) -> None:
    """Choose the pictures that humans are to label next, as a CVAT task with pre-labels; says why each was taken.

    For instance by what the model in use found on new recordings:

        traffic-yolo select --source recordings --keep-splits dataset --detections detections.jsonl --out to-label
    """
    from traffic_yolo.labelling.cvat_task import TASK_FOLDER
    from traffic_yolo.labelling.select import select
    from traffic_yolo.labelling.select_page import selection_text, selection_values

    selection = select(SelectOptions(**options), out)
    text = f"{selection_text(selection)}\ntask {out / TASK_FOLDER}\nreport {out / 'report.html'}"
    print_result(text, {"out": out, **selection_values(selection)}, as_json=as_json)
