"""`traffic-yolo retrain`: train on from the version in use where there is enough that is new, here or on a cluster."""

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.commands.pipeline_door import ReadyPipeline, Where, pod_options, ready_pipeline, server_options
from traffic_yolo.commands.run import PIPELINES, RETRAIN_STEPS, flags_of_steps
from traffic_yolo.errors import OptionsError, TrafficYoloError

REJECTED_EXIT_CODE = 1


@click.command()
@click.option("--local", "where", flag_value="local", default=True, help="Run here, under kfp.local (default).")
@click.option("--submit", "where", flag_value="submit", help="Start a run on the server named by --host.")
@click.option("--out", default="runs", show_default=True, type=WRITE, help="Folder of local runs.")
@server_options
@click.option("--experiment", default="traffic-yolo", show_default=True, help="KFP experiment (with --submit).")
@pod_options
@partial(flags_of_steps, steps=RETRAIN_STEPS)
def command(
    where: Where,
    out: Path,
    host: str,
    namespace: str,
    experiment: str,
    nas_claim: str,
    s3_secret: str,
    gpus: int,
    **flags: Any,
) -> None:
    """Train on from the version in use, where humans labelled enough since the last attempt; publish what is better.

    --cfg, --weights and --weights-names are for the first attempt, while no version is in use. Exit code 0: published,
    or nothing to do; 1: rejected by a gate; 2: failed.
    """
    if where == "submit" and not host:
        raise OptionsError("--submit needs --host: the address of the Kubeflow Pipelines API")
    ready = ready_pipeline(
        "retrain_pipeline", RETRAIN_STEPS, flags,
        where=where, nas_claim=nas_claim, s3_secret=s3_secret, gpus=gpus, out=out,
    )  # fmt: skip
    if where == "submit":
        submit = importlib.import_module(f"{PIPELINES}.submit").submit
        run = submit(ready.pipeline, ready.parameters, host=host, namespace=namespace, experiment=experiment)
        click.echo(f"submitted run {run.run_id}, with the images {', '.join(run.images)}\n{run.link}")
        return
    _run_here(ready, out)


def _run_here(ready: ReadyPipeline, out: Path) -> None:
    """Runs the pipeline on this machine, says what came of it, and ends with the exit code for that."""
    from traffic_yolo.commands.run_summary import run_summary
    from traffic_yolo.process_identity import identity
    from traffic_yolo.registry.model_home import open_home
    from traffic_yolo.retraining.attempts import Attempts
    from traffic_yolo.retraining.closing import outcome_text

    zoo, name = ready.parameters["zoo"], ready.parameters["model_name"]
    before = {attempt.number for attempt in Attempts.read(open_home(zoo, name).location).attempts}
    failure: TrafficYoloError | None = None
    finished = None
    local_run = importlib.import_module(f"{PIPELINES}.local_run")
    try:
        finished = local_run.run_locally(ready.pipeline, ready.parameters, out)
    except TrafficYoloError as error:
        failure = error
    mine = [
        attempt
        for attempt in Attempts.read(open_home(zoo, name).location).attempts
        if attempt.number not in before and attempt.begun.owner == identity()
    ]
    outcome = mine[-1].ended.outcome if mine and mine[-1].ended is not None else ""
    if failure is not None and outcome != "rejected":
        raise failure
    if not mine:
        assert finished is not None
        click.echo(f"nothing was trained: {finished.artifact('new-data', 'verdict').read_text()}")
        return
    if finished is not None:
        click.echo(run_summary(finished.folder, zoo))
    elif isinstance(failure, local_run.StoppedByGates):
        click.echo(run_summary(failure.folder, zoo))
    click.echo(outcome_text(mine[-1]))
    if failure is not None:
        raise SystemExit(REJECTED_EXIT_CODE)
