"""A pipeline that trains and publishes, run on this machine, and what is said at its end."""

import importlib
from pathlib import Path

import click

from traffic_yolo.commands.pipeline_door import ReadyPipeline
from traffic_yolo.commands.step_flags import PIPELINES


def run_here(ready: ReadyPipeline, out: Path) -> None:
    """Runs it below the folder `out`, and prints its summary, also where gates stopped it; raises as `run_locally`."""
    from traffic_yolo.commands.run_summary import run_summary

    local_run = importlib.import_module(f"{PIPELINES}.local_run")
    try:
        folder = local_run.run_locally(ready.pipeline, ready.parameters, out).folder
    except local_run.StoppedByGates as error:
        click.echo(run_summary(error.folder, ready.parameters["zoo"]))
        raise
    click.echo(run_summary(folder, ready.parameters["zoo"]))
