"""`traffic-yolo reports`."""

from pathlib import Path

import click

from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import WRITE


@click.command()
@click.argument("folder", type=WRITE)
@json_option
def command(folder: Path, as_json: bool) -> None:
    """Write FOLDER/index.html: a page with a link to every report in FOLDER and below it."""
    from traffic_yolo.report_index import find_reports, write_index

    index = write_index(folder)
    found = find_reports(index.parent)
    lines = [f"{one.date[:16].replace('T', ' ')}  {one.title}: {one.path.relative_to(index.parent)}" for one in found]
    values = [{"title": one.title, "path": one.path, "date": one.date, "about": one.about} for one in found]
    print_result("\n".join([*lines, f"index {index}"]), {"index": index, "reports": values}, as_json=as_json)
