"""`traffic-yolo pipeline`: the pipelines of this package, their compiled files for a cluster, and runs there."""

import importlib
from pathlib import Path
from typing import Any

import click

from traffic_yolo.cluster.settings import ClusterSettings
from traffic_yolo.commands.json_result import json_option, print_result
from traffic_yolo.commands.location_types import READ, WRITE
from traffic_yolo.commands.pipeline_door import (
    STORAGE_OPTIONS,
    Pods,
    Server,
    Watching,
    finish,
    pod_options,
    server_options,
    start,
    watch_options,
)
from traffic_yolo.commands.step_flags import PIPELINES


@click.group()
def command() -> None:
    """The pipelines for a cluster: list them, compile them with its settings, run them there."""


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List the pipelines, each with a line on what it does."""
    catalogue: Any = importlib.import_module(f"{PIPELINES}.catalogue")
    found = {name: _about(catalogue.pipeline_named(name)) for name in catalogue.pipeline_names()}
    text = "\n".join(f"{name:<10}  {about}" for name, about in found.items())
    print_result(text, {"pipelines": found}, as_json=as_json)


@command.command("compile")
@click.argument("pipelines", nargs=-1, metavar="[PIPELINE]...")
@click.option("--cluster", "cluster_file", default="", type=READ, help="Settings of the cluster, a YAML file.")
@click.option("--out", required=True, type=WRITE, help="Folder of the compiled files, <pipeline>_pipeline.yaml.")
@json_option
def compile_command(pipelines: tuple[str, ...], cluster_file: str, out: Path, as_json: bool) -> None:
    """Write pipelines as the YAML that Kubeflow takes; all of them, or those that are named."""
    settings = ClusterSettings.read(cluster_file) if cluster_file else None
    package: Any = importlib.import_module(f"{PIPELINES}.cluster_package")
    made = package.compile_all(pipelines, out, settings)
    lines = [f"{one.path}  (Kubeflow Pipelines {one.needs} or newer)" for one in made]
    account = settings.service_account if settings else ""
    if account:
        lines.append(
            f"service account {account}: no part of the files; choose it where the run is started "
            "(`traffic-yolo run --submit --cluster` does)"
        )
    values = {"files": [{"path": one.path, "needs": one.needs} for one in made], "service_account": account}
    print_result("\n".join(lines), values, as_json=as_json)


class _Pipelines(click.Group):
    """A command for each pipeline, made of its form when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return list(importlib.import_module(f"{PIPELINES}.catalogue").pipeline_names())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _submit_command(cmd_name) if cmd_name in self.list_commands(ctx) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        catalogue: Any = importlib.import_module(f"{PIPELINES}.catalogue")
        with formatter.section("Pipelines"):
            formatter.write_dl([(name, _about(catalogue.pipeline_named(name))) for name in self.list_commands(ctx)])


@command.group("submit", cls=_Pipelines)
def submit_command() -> None:
    """Start a run of a pipeline on a server: any of them, with the fields of its form as flags.

    The last line on stdout is the run's id. Exit code 0: started, with --wait succeeded; 1: the run failed; 2: refused.
    """


def _submit_command(name: str) -> click.Command:
    """The command that starts the pipeline of a name."""
    from traffic_yolo.commands.form_flags import PipelineForm

    form = PipelineForm.of(name)

    def submit(context: click.Context, /, experiment: str, **flags: Any) -> None:
        watching = Watching.of(flags)
        server = Server.of(flags)
        pods = Pods.of(context, flags, server.cluster)
        start(form.ready(flags, pods), server, watching, experiment)

    made: Any = form.flags(submit)
    for decorate in (pod_options,) if "gpus" in form.parameters else STORAGE_OPTIONS:
        made = decorate(made)
    made = watch_options(made)
    made = click.option("--experiment", default="traffic-yolo", show_default=True, help="KFP experiment.")(made)
    made = server_options(made)
    return click.command(name, help=_about(form.pipeline))(click.pass_context(made))


@command.command("wait")
@click.argument("run_id", metavar="RUN_ID")
@server_options
@click.option("--follow", is_flag=True, help="Print what the tasks print.")
@json_option
def wait_command(run_id: str, **flags: Any) -> None:
    """Wait for the end of a run that was started before: exit code 0 where it succeeded, else 1."""
    watching = Watching.of({**flags, "wait": True})
    connection = Server.of(flags).connected()
    link = importlib.import_module(f"{PIPELINES}.submit").run_link(connection, run_id)
    watching.tell(link)
    finish(connection, run_id, watching, {"run_id": run_id, "link": link, "namespace": connection.namespace})


@command.command("terminate")
@click.argument("run_id", metavar="RUN_ID")
@server_options
@json_option
def terminate_command(run_id: str, as_json: bool, **flags: Any) -> None:
    """End a run; its tasks are stopped, what they left stays."""
    connection = Server.of(flags).connected()
    connection.ask(f"told to end the run {run_id}", lambda: connection.client.terminate_run(run_id))
    print_result(f"{run_id}: told to end", {"run_id": run_id, "state": "told to end"}, as_json=as_json)


def _about(pipeline: Any) -> str:
    """What a pipeline does, in a line."""
    return str(pipeline.description or "").strip().partition("\n")[0]
