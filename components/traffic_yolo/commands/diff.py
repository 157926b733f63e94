"""`traffic-yolo diff`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.dataset.diff.options import DiffOptions
from traffic_yolo.dataset.options import SourceChoice

DIFFERENT_EXIT_CODE = 1


@click.command()
@click.argument("first", type=READ)
@click.argument("second", type=READ)
@options_of(DiffOptions)
@json_option
@click.option("--exit-code", is_flag=True, help="End with exit code 1 where they differ.")
@click.option("--out", type=WRITE, help="Folder for diff.json and report.html.")
def command(first: str, second: str, as_json: bool, exit_code: bool, out: Path | None, **options: Any) -> None:
    """Say what changed from one data set to another: pictures, splits, classes, boxes.

    FIRST, SECOND: data sets, or whatever convert reads. Where one needs options, give a list of sources.
    """
    from traffic_yolo.dataset.diff.data_set_diff import data_set_diff
    from traffic_yolo.dataset.diff.diff_page import diff_text, write_diff

    diff = data_set_diff(SourceChoice(source=first), SourceChoice(source=second), DiffOptions(**options))
    print_result(diff_text(diff), diff.as_dict(), as_json=as_json)
    if out is not None:
        write_diff(out, diff)
        click.echo(f"report {out / 'report.html'}", err=as_json)
    if exit_code and not diff.is_empty:
        raise SystemExit(DIFFERENT_EXIT_CODE)
