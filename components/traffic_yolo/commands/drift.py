"""`traffic-yolo drift`."""

from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import step_options
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.labelling.options import DriftOptions

DRIFTED_EXIT_CODE = 1


@click.command()
@step_options(DriftOptions)
@click.option("--out", type=WRITE, help="Folder for drift.json, which select reads, and report.html.")
@json_option
def command(out: Path | None, as_json: bool, **options: Any) -> None:
    """Compare deployed detections with validation's, by camera and hour; the exit code is 1 where some drifted."""
    from traffic_yolo.labelling.drift import drift_values, measure_drift
    from traffic_yolo.labelling.drift_page import drift_text, write_drift

    how = DriftOptions(**options)
    drift = measure_drift(how)
    print_result(drift_text(drift), drift_values(drift), as_json=as_json)
    if out is not None:
        write_drift(out, drift, how)
        click.echo(f"report {out / 'report.html'}", err=as_json)
    if drift.drifted:
        raise SystemExit(DRIFTED_EXIT_CODE)
