"""`traffic-yolo run`: the whole pipeline, on this machine or on a cluster."""

import importlib
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.commands.pipeline_door import (
    Pods,
    ReadyPipeline,
    Server,
    Watching,
    Where,
    pod_options,
    ready_pipeline,
    server_options,
    start,
    watch_options,
)
from traffic_yolo.commands.step_flags import PIPELINES, STEPS, flags_of_steps
from traffic_yolo.errors import OptionsError


@click.command()
@click.option("--local", "where", flag_value="local", default=True, help="Run here, under kfp.local (default).")
@click.option("--submit", "where", flag_value="submit", help="Start a run on the server named by --host.")
@click.option("--out", default="runs", show_default=True, type=WRITE, help="Folder of local runs.")
@server_options
@click.option("--experiment", default="traffic-yolo", show_default=True, help="KFP experiment (with --submit).")
@watch_options
@pod_options
@flags_of_steps
@click.pass_context
def command(context: click.Context, /, where: Where, out: Path, experiment: str, **flags: Any) -> None:
    """Run the whole pipeline on this machine, or submit it to Kubeflow."""
    watching = Watching.of(flags)
    if where == "submit":
        server = Server.of(flags, asked_by="--submit")
        pods = Pods.of(context, flags, server.cluster)
        start(ready_pipeline("finetune", STEPS, flags, pods, where=where), server, watching, experiment)
        return
    refuse_cluster_flags(flags, watching)
    _run_here(ready_pipeline("finetune", STEPS, flags, Pods.of(context, flags), where=where, out=out), out)


def refuse_cluster_flags(flags: dict[str, Any], watching: Watching) -> None:
    """Raises `OptionsError` for what a run on this machine would take no notice of."""
    watching.check_unused()
    if flags.pop("cluster_file"):
        raise OptionsError("--cluster is for --submit; a run on this machine uses no cluster")


def _run_here(ready: ReadyPipeline, out: Path) -> None:
    from traffic_yolo.commands.run_summary import run_summary

    local_run = importlib.import_module(f"{PIPELINES}.local_run")
    try:
        folder = local_run.run_locally(ready.pipeline, ready.parameters, out).folder
    except local_run.StoppedByGates as error:
        click.echo(run_summary(error.folder, ready.parameters["zoo"]))
        raise
    click.echo(run_summary(folder, ready.parameters["zoo"]))
