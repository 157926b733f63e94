"""`traffic-yolo check`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.dataset.checks.check_options import CheckOptions
from traffic_yolo.dataset.options import SourceChoice
from traffic_yolo.errors import OptionsError

FOUND_EXIT_CODE = 1


@click.command()
@click.argument("source", type=READ)
@options_of(SourceChoice, skip=("source",))
@options_of(CheckOptions)
@json_option
@click.option("--out", type=WRITE, help="Folder for findings.json, report.html, to_label.csv and a task.")
def command(source: str, out: Path | None, as_json: bool, **options: Any) -> None:
    """Check recordings or a data set; the exit code is 1 where something as bad as --fail-on was found.

    SOURCE: a folder of recordings, a data set, or its label file.
    """
    how = CheckOptions(**{name: options.pop(name) for name in CheckOptions.__dataclass_fields__})
    choice = SourceChoice(source=source, **options)
    from traffic_yolo.dataset.checks.check_page import check_text, write_check
    from traffic_yolo.dataset.checks.check_source import check_source
    from traffic_yolo.labelling.radar_task import RADAR_FOLDER, check_radar_task, write_radar_task

    if how.cvat_pictures and out is None:
        raise OptionsError("cvat_pictures: the task needs a folder: give --out")
    if how.cvat_pictures and out is not None:
        check_radar_task(choice, out)
    check = check_source(choice, how)
    print_result(check_text(check), check.as_dict(), as_json=as_json)
    if out is not None:
        write_check(out, check, pictures=how.pictures)
        click.echo(f"report {out / 'report.html'}", err=as_json)
    if how.cvat_pictures and out is not None:
        task = write_radar_task(choice, how, check.radar.verdicts if check.radar is not None else {}, out)
        click.echo(task.text, err=as_json)
        if task.pictures:
            click.echo(f"task {out / RADAR_FOLDER}", err=as_json)
    if check.findings.fails(how.fail_on):
        raise SystemExit(FOUND_EXIT_CODE)
