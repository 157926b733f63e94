"""`traffic-yolo pipeline`: the pipelines of this package, and their compiled files for a cluster."""

import importlib
from pathlib import Path
from typing import Any

import click

from traffic_yolo.cluster.settings import ClusterSettings
from traffic_yolo.commands.location_types import READ, WRITE

PIPELINES = "traffic_yolo_pipelines"


@click.group()
def command() -> None:
    """The pipelines for a cluster: list them, compile them with its settings."""


@command.command("list")
def list_command() -> None:
    """List the pipelines, each with a line on what it does."""
    catalogue: Any = importlib.import_module(f"{PIPELINES}.catalogue")
    for name in catalogue.pipeline_names():
        about = (catalogue.pipeline_named(name).description or "").strip().partition("\n")[0]
        click.echo(f"{name:<10}  {about}")


@command.command("compile")
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]...")
@click.option("--cluster", "cluster_file", default="", type=READ, help="Settings of the cluster, a YAML file.")
@click.option("--out", required=True, type=WRITE, help="Folder of the compiled files, <pipeline>_pipeline.yaml.")
def compile_command(pipelines: tuple[str, ...], cluster_file: str, out: Path) -> None:
    """Write pipelines as the YAML that Kubeflow takes; all of them, or those that are named."""
    settings = ClusterSettings.read(cluster_file) if cluster_file else None
    package: Any = importlib.import_module(f"{PIPELINES}.cluster_package")
    for one in package.compile_all(pipelines, out, settings):
        click.echo(f"{one.path}  (Kubeflow Pipelines {one.needs} or newer)")
    if settings and settings.service_account:
        click.echo(
            f"service account {settings.service_account}: no part of the files; choose it where the run is started "
            "(`traffic-yolo run --submit --cluster` does)"
        )
