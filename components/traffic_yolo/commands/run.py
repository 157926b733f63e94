"""`traffic-yolo run`: the whole pipeline, on this machine or on a cluster."""

import importlib
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.json_result import all_else_on_stderr, print_json
from traffic_yolo.commands.pipeline_door import ReadyPipeline, Where, begin, run_options
from traffic_yolo.commands.step_flags import PIPELINES, STEPS, flags_of_steps


@click.command()
@run_options
@flags_of_steps
@click.pass_context
def command(context: click.Context, /, where: Where, out: Path, experiment: str, **flags: Any) -> None:
    """Run the whole pipeline on this machine, or submit it to Kubeflow."""
    ready = begin(context, "finetune", STEPS, flags, where=where, out=out, experiment=experiment)
    if ready is not None:
        _run_here(ready, out)


def _run_here(ready: ReadyPipeline, out: Path) -> None:
    local_run = importlib.import_module(f"{PIPELINES}.local_run")
    try:
        with all_else_on_stderr(as_json=ready.as_json):
            folder = local_run.run_locally(ready.pipeline, ready.parameters, out).folder
    except local_run.StoppedByGates as error:
        _print_end(error.folder, ready)
        raise
    _print_end(folder, ready)


def _print_end(folder: Path, ready: ReadyPipeline) -> None:
    from traffic_yolo.commands.run_summary import run_summary, run_values

    if ready.as_json:
        print_json(run_values(folder))
    else:
        click.echo(run_summary(folder, ready.parameters["zoo"]))
