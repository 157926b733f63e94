"""`traffic-yolo train`."""

import functools
import importlib.util
from pathlib import Path
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import options_of, step_options, values_of
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE, of_other_machines
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.options import RESUME, TrainingOptions
from traffic_yolo.training.trainjob_options import TrainJobOptions


def _emit(context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    if value:
        of_other_machines(context)
    return value


@click.command()
@click.option("--dataset", required=True, type=READ, help="Data set folder.")
@step_options(TrainingOptions)
@json_option
@click.option(
    "--resume",
    type=click.Choice(RESUME),
    is_flag=False,
    flag_value="yes",
    default="no",
    help="Go on from the last checkpoint in --out; auto: where there is one, and start where there is none.",
)
@click.option("--out", required=True, type=WRITE, help="Training run folder to write.")
@click.option(
    "--emit",
    type=click.Choice(["trainjob"]),
    is_eager=True,
    callback=_emit,
    help="Train nothing: print a manifest of this training, with the locations that the pods have.",
)
@options_of(TrainJobOptions)
def command(dataset: str, out: Path | str, resume: str, emit: str | None, as_json: bool, **options: Any) -> None:
    """Train a Darknet network, from Darknet weights or from nothing."""
    training, job = values_of(TrainingOptions, options), values_of(TrainJobOptions, options)
    if emit:
        click.echo(_trainjob(dataset, str(out), training, job), nl=False)
        return
    from traffic_yolo.training.distributed import requested
    from traffic_yolo.training.trainer import train

    summary = train(dataset, out, training, resume=resume, tell=functools.partial(click.echo, err=as_json))
    if requested().is_first:  # of the processes that torchrun starts, one speaks
        values = {"out": out, "is_improvement": summary.is_improvement, "stopped": summary.stopped}
        print_result(summary.text, {**values, "numbers": summary.numbers()}, as_json=as_json)
    if training.require_improvement and not summary.is_improvement:
        raise SystemExit(1)


def _trainjob(dataset: str, out: str, training: TrainingOptions, job: TrainJobOptions) -> str:
    if importlib.util.find_spec("kubeflow_trainer_api") is None:
        raise OptionsError('--emit: kubeflow-trainer-api is not installed; pip install "traffic-yolo[kubeflow]"')
    from traffic_yolo.training.trainjob import trainjob_document, trainjob_yaml

    try:
        return trainjob_yaml(trainjob_document(dataset, out, training, job))
    except OptionsError as error:
        if str(error).startswith(("dataset:", "out:")):  # those of the dataclasses get their flags' names elsewhere
            raise OptionsError(f"--{error}") from error
        raise
