"""`traffic-yolo schedule`: retrainings that start by themselves, on Kubeflow Pipelines or as a CronJob."""

import dataclasses
import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import click

from traffic_yolo.commands.json_result import json_option, print_json, print_result
from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.commands.pipeline_door import Pods, Server, pod_options, ready_pipeline, server_options
from traffic_yolo.commands.step_flags import OWN_NAMES, PIPELINES, RETRAIN_STEPS, STEP_OPTIONS, flags_of_steps
from traffic_yolo.errors import OptionsError
from traffic_yolo.options import SETTINGS, fields_of, form_value, type_of

if TYPE_CHECKING:
    from traffic_yolo.cluster.cron import Cron

Command = TypeVar("Command", bound=Callable[..., Any])
SHOWN_TIMES = 5
UTC_NAME = "Etc/UTC"


def _time_options(command: Command) -> Command:
    for decorate in (
        click.option(
            "--timezone",
            default=UTC_NAME,
            show_default=True,
            help="Time zone in which the times count: an IANA name. Kubeflow Pipelines has one for the whole server, "
            "CRON_SCHEDULE_TIMEZONE, which is UTC unless it was set; say here what it was set to.",
        ),
        click.option(
            "--cron", required=True, help='Six fields, seconds first: "0 0 3 * * mon" is 03:00 on Mondays; or @daily.'
        ),
    ):
        command = decorate(command)
    return command


@click.group()
def command() -> None:
    """Start retrainings on a schedule: docs/retraining.md.

    NAME is the schedule's name or its id.
    """


@command.command()
@click.argument("name")
@_time_options
@server_options
@click.option("--experiment", default="traffic-yolo", show_default=True, help="KFP experiment of the runs.")
@click.option("--replace", is_flag=True, help="Take the place of the schedule of this name.")
@pod_options
@json_option
@partial(flags_of_steps, steps=RETRAIN_STEPS)
@click.pass_context
def create(
    context: click.Context,
    /,
    name: str,
    cron: str,
    timezone: str,
    experiment: str,
    replace: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Make the schedule NAME of the retraining, whose options are those of `traffic-yolo retrain`."""
    schedule, zone = _schedule(cron), _zone(timezone)
    _check_name(name)
    server = Server.of(flags)
    pods = Pods.of(context, flags, server.cluster)
    ready = ready_pipeline("retrain", RETRAIN_STEPS, flags, pods, where="submit")
    made = _schedules(server).create(
        name,
        schedule,
        ready.pipeline,
        ready.parameters,
        experiment=experiment,
        replace=replace,
        cluster=server.cluster,
    )
    if as_json:
        times = [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in islice(schedule.times(datetime.now(UTC), zone), SHOWN_TIMES)]
        print_json({"name": name, "words": schedule.words, "next_times": times, **dataclasses.asdict(made)})
        return
    click.echo(f"schedule {name} ({made.schedule_id}): {schedule.words}")
    _echo_times(schedule, zone, timezone)
    state = "uploaded" if made.is_uploaded else "which was there"
    click.echo(f"version {made.version} of the pipeline, {state}; images {', '.join(made.images)}")
    for old in made.replaced:
        click.echo(f"removed {old}, which had the name")
    click.echo(made.link)


@command.command("list")
@server_options
@json_option
def list_command(as_json: bool, **flags: Any) -> None:
    """List the schedules of a namespace, with when each starts next as far as the server counts in UTC."""
    found = _schedules(Server.of(flags)).list()
    if as_json:
        print_json({"schedules": [dataclasses.asdict(one) for one in found]})
        return
    for one in found:
        state = "active" if one.is_active else "paused"
        click.echo(f"{one.name}  {state}  {_when(one.cron, one.interval_s)}  {one.schedule_id}")
    if not found:
        click.echo("no schedules")


@command.command()
@click.argument("name")
@server_options
@json_option
def pause(name: str, as_json: bool, **flags: Any) -> None:
    """Have schedule NAME start no further runs."""
    found = _schedules(Server.of(flags)).pause(name)
    _tell(found, "paused", as_json=as_json)


@command.command()
@click.argument("name")
@server_options
@json_option
def resume(name: str, as_json: bool, **flags: Any) -> None:
    """Have schedule NAME start runs again; what it missed is not made up for."""
    found = _schedules(Server.of(flags)).resume(name)
    _tell(found, "active", f", {_when(found.cron, found.interval_s)}", as_json=as_json)


@command.command()
@click.argument("name")
@server_options
@json_option
def remove(name: str, as_json: bool, **flags: Any) -> None:
    """Take schedule NAME away; the runs that it started stay."""
    found = _schedules(Server.of(flags)).remove(name)
    _tell(found, "removed", as_json=as_json)


@command.command("emit-cronjob")
@click.argument("name")
@_time_options
@click.option("--namespace", default="", help="Kubernetes namespace.")
@click.option("--out", type=WRITE, help="File to write; without, it is printed.")
@pod_options
@partial(flags_of_steps, steps=RETRAIN_STEPS)
@click.pass_context
def emit_cronjob(
    context: click.Context, /, name: str, cron: str, timezone: str, namespace: str, out: Path | None, **flags: Any
) -> None:
    """Write a CronJob NAME that runs the retraining in one pod, for clusters without Kubeflow Pipelines."""
    from traffic_yolo.cluster.cron_job import WORK, CronJob
    from traffic_yolo.container_images import image
    from traffic_yolo.storage import write_text

    schedule, zone = _schedule(cron), _zone(timezone)
    pods = Pods.of(context, flags)
    ready = ready_pipeline("retrain", RETRAIN_STEPS, flags, pods, where="submit")
    arguments = ["traffic-yolo", "retrain", "--local", "--out", f"{WORK}/runs", *arguments_of(ready.parameters)]
    job = CronJob(
        name,
        schedule,
        image("train", "cuda" if pods.gpus else "cpu"),
        arguments,
        time_zone=timezone,
        namespace=namespace,
        nas_claim=pods.nas_claim,
        s3_secret=pods.s3_secret,
        gpus=pods.gpus,
    )
    if out is None:
        click.echo(job.text(), nl=False)
        return
    write_text(out, job.text())
    click.echo(f"{out}: {schedule.words}")
    _echo_times(schedule, zone, timezone)


def arguments_of(parameters: dict[str, Any]) -> list[str]:
    """The flags of `traffic-yolo retrain` that come to these parameters of the pipeline, defaults left out."""
    found: list[str] = []
    for step in RETRAIN_STEPS:
        for name, field in fields_of(*STEP_OPTIONS[step]).items():
            if name not in parameters or name not in OWN_NAMES[step]:
                continue
            value = parameters[name]
            if value == form_value(field, field.default):
                continue
            flag = name.replace("_", "-")
            if type_of(field)[0] is bool:
                found.append(f"--{flag}" if value else f"--no-{flag}")
            elif type_of(field)[0] is tuple:
                found += [f"--{flag}={one}" for one in value.split(",")]
            else:
                found.append(f"--{flag}={value}")
        if settings := parameters.get(f"{step}_{SETTINGS}"):
            found.append(f"--{step.replace('_', '-')}-{SETTINGS}={settings}")
    if parameters.get("gpus", "0") != "0":
        found.append(f"--gpus={parameters['gpus']}")
    return list(dict.fromkeys(found))


def _tell(schedule: Any, state: str, more: str = "", *, as_json: bool) -> None:
    """Says what has become of a schedule."""
    text = f"{schedule.name} ({schedule.schedule_id}): {state}{more}"
    print_result(text, {"name": schedule.name, "schedule_id": schedule.schedule_id, "state": state}, as_json=as_json)


def _schedules(server: Server) -> Any:
    return importlib.import_module(f"{PIPELINES}.schedule").Schedules(server.connected())


def _schedule(cron: str) -> "Cron":
    from traffic_yolo.cluster.cron import Cron

    try:
        return Cron.parse(cron)
    except OptionsError as error:
        raise OptionsError(f"--{error}") from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:  # a folder of the database, a path, a name that it has not
        raise OptionsError(f"--timezone: expected an IANA name such as Europe/Berlin, found {name!r}") from error


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise OptionsError(f"NAME: expected a name of 1 to 100 characters, found {name!r:.60}")


def _when(cron: str, interval_s: int) -> str:
    """A schedule of the server in words, as far as it is one that this program would make."""
    from traffic_yolo.cluster.cron import Cron

    if not cron:
        return f"every {interval_s} s"
    try:
        schedule = Cron.parse(cron)
    except OptionsError:
        return f"{cron} (not made here)"
    following = schedule.next_after(datetime.now(UTC))
    return f"{schedule.words} ({cron}), next {following:%Y-%m-%d %H:%M:%S} UTC" if following else schedule.words


def _echo_times(schedule: "Cron", zone: ZoneInfo, name: str) -> None:
    click.echo(f"the next times, where the server counts in {name}:")
    for time in islice(schedule.times(datetime.now(UTC), zone), SHOWN_TIMES):
        there = f"   {time.astimezone(zone):%H:%M:%S %Z}" if name not in (UTC_NAME, "UTC") else ""
        click.echo(f"  {time:%a %Y-%m-%d %H:%M:%S} UTC{there}")
