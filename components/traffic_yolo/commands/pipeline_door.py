"""What commands that start a pipeline, or have it started on a schedule, have in common: flags, checks, parameters."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from traffic_yolo.commands.run import PIPELINES, STEP_OPTIONS, form_of, places_in, resolved_options
from traffic_yolo.options import fields_of
from traffic_yolo.storage.in_pods import NO_SECRET

Command = TypeVar("Command", bound=Callable[..., Any])
Where = Literal["local", "submit"]


@dataclass(frozen=True)
class ReadyPipeline:
    """A pipeline and the parameters of a run of it, checked; `form`: the names that it takes."""

    pipeline: Any
    parameters: dict[str, Any]


def server_options(command: Command) -> Command:
    """Adds where the server of Kubeflow Pipelines is, and whose namespace is meant."""
    for decorate in (
        click.option("--namespace", default="", help="Kubeflow namespace."),
        click.option("--host", default="", help="Address of the Kubeflow Pipelines API."),
    ):
        command = decorate(command)
    return command


def pod_options(command: Command) -> Command:
    """Adds what a pod is given on a cluster."""
    for decorate in (
        click.option("--gpus", default=0, show_default=True, help="GPUs of the training; it fails where it sees none."),
        click.option(
            "--s3-secret",
            default=NO_SECRET,
            show_default=True,
            help="Kubernetes secret with address and credentials of the object storage (cluster).",
        ),
        click.option("--nas-claim", default="nas-data", show_default=True, help="PersistentVolumeClaim of the NAS."),
    ):
        command = decorate(command)
    return command


def ready_pipeline(
    name: str,
    steps: Sequence[str],
    flags: Mapping[str, Any],
    *,
    where: Where,
    nas_claim: str,
    s3_secret: str,
    gpus: int,
    out: Path | None = None,
) -> ReadyPipeline:
    """The pipeline `name` with the parameters that the flags of its `steps` come to.

    Checked here as well as in the tasks, for a wrong value should not cost a started pod; raises `TrafficYoloError`.
    `out`: the folder of local runs.
    """
    from traffic_yolo.commands import run_checks

    if where == "local":
        run_checks.check_locations(flags, [one for step in steps for one in fields_of(*STEP_OPTIONS[step]).values()])
    made = resolved_options(flags, steps)
    run_checks.check_gpus(gpus, made["train"][0], here=where == "local")
    if where == "submit":
        run_checks.check_cluster_names({"--nas-claim": nas_claim, "--s3-secret": s3_secret})
        model_name = made["publish"][0].model_name
        run_checks.check_cluster_run(places_in(made), model_name=model_name, has_secret=s3_secret != NO_SECRET)
    else:
        assert out is not None
        run_checks.check_local_run(made, out)
    pipeline = getattr(importlib.import_module(f"{PIPELINES}.{name}"), name)
    form = set(inspect.signature(pipeline.pipeline_func).parameters)
    parameters = form_of(flags, form, absolute=where == "local", steps=steps)
    parameters |= {"gpus": str(gpus), "nas_claim": nas_claim, "s3_secret": s3_secret}
    return ReadyPipeline(pipeline, parameters)
