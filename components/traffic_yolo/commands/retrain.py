"""`traffic-yolo retrain`: train on from the version in use where there is enough that is new, here or on a cluster."""

import importlib
from functools import partial
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.json_result import all_else_on_stderr, print_result
from traffic_yolo.commands.pipeline_door import ReadyPipeline, Where, begin, run_options
from traffic_yolo.commands.step_flags import PIPELINES, RETRAIN_STEPS, flags_of_steps
from traffic_yolo.errors import TrafficYoloError

REJECTED_EXIT_CODE = 1


@click.command()
@run_options
@partial(flags_of_steps, steps=RETRAIN_STEPS)
@click.pass_context
def command(context: click.Context, /, where: Where, out: Path, experiment: str, **flags: Any) -> None:
    """Train on from the version in use, where humans labelled enough since the last attempt; publish what is better.

    --cfg, --weights and --weights-names are for the first attempt, while no version is in use. Exit code 0: published,
    or nothing to do; 1: rejected by a gate; 2: failed. With --submit: 0: started, or succeeded where it is waited for.
    """
    ready = begin(context, "retrain", RETRAIN_STEPS, flags, where=where, out=out, experiment=experiment)
    if ready is not None:
        _run_here(ready, out)


def _run_here(ready: ReadyPipeline, out: Path) -> None:
    """Runs the pipeline on this machine, says what came of it, and ends with the exit code for that."""
    from traffic_yolo.commands.run_summary import print_run
    from traffic_yolo.process_identity import identity
    from traffic_yolo.registry.homes import open_home
    from traffic_yolo.retraining.attempts import Attempts
    from traffic_yolo.retraining.closing import outcome_text

    zoo, name = ready.parameters["zoo"], ready.parameters["model_name"]
    before = {attempt.number for attempt in Attempts.read(open_home(zoo, name).location).attempts}
    failure: TrafficYoloError | None = None
    finished = None
    local_run = importlib.import_module(f"{PIPELINES}.local_run")
    try:
        with all_else_on_stderr(as_json=ready.as_json):
            finished = local_run.run_locally(ready.pipeline, ready.parameters, out)
    except TrafficYoloError as error:
        failure = error
    mine = [
        attempt
        for attempt in Attempts.read(open_home(zoo, name).location).attempts
        if attempt.number not in before and attempt.begun.owner == identity()
    ]
    outcome = mine[-1].ended.outcome if mine and mine[-1].ended is not None else ""
    folder = finished.folder if finished is not None else getattr(failure, "folder", None)  # of `StoppedByGates`
    if failure is not None and outcome != "rejected":
        if folder is not None:  # stopped before it came to publish: its numbers are there all the same
            print_run(folder, zoo, as_json=ready.as_json)
        raise failure
    if not mine:
        assert finished is not None
        why = finished.artifact("new-data", "verdict").read_text()
        print_result(f"nothing was trained: {why}", {"outcome": "nothing", "reasons": [why]}, as_json=ready.as_json)
        return
    text, reasons = outcome_text(mine[-1]), mine[-1].ended.reasons if mine[-1].ended is not None else []
    values = {"attempt": mine[-1].number, "outcome": outcome, "reasons": reasons}
    if folder is None:
        print_result(text, values, as_json=ready.as_json)
    else:
        print_run(folder, zoo, as_json=ready.as_json, outcome=text, more=values)
    if failure is not None:
        raise SystemExit(REJECTED_EXIT_CODE)
