"""`traffic-yolo schedule`: retrainings that start by themselves, on Kubeflow Pipelines or as a CronJob."""

import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import click

from traffic_yolo.commands.location_types import WRITE
from traffic_yolo.commands.pipeline_door import pod_options, ready_pipeline, server_options
from traffic_yolo.commands.run import OWN_NAMES, PIPELINES, RETRAIN_STEPS, STEP_OPTIONS, flags_of_steps
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
@partial(flags_of_steps, steps=RETRAIN_STEPS)
def create(
    name: str,
    cron: str,
    timezone: str,
    host: str,
    namespace: str,
    experiment: str,
    replace: bool,
    nas_claim: str,
    s3_secret: str,
    gpus: int,
    **flags: Any,
) -> None:
    """Make the schedule NAME of the retraining, whose options are those of `traffic-yolo retrain`."""
    schedule, zone = _schedule(cron), _zone(timezone)
    _check_name(name)
    _check_host(host)
    ready = ready_pipeline(
        "retrain_pipeline", RETRAIN_STEPS, flags, where="submit", nas_claim=nas_claim, s3_secret=s3_secret, gpus=gpus
    )
    made = _schedules(host, namespace).create(
        name, schedule, ready.pipeline, ready.parameters, experiment=experiment, replace=replace
    )
    click.echo(f"schedule {name} ({made.schedule_id}): {schedule.words}")
    _echo_times(schedule, zone, timezone)
    state = "uploaded" if made.is_uploaded else "which was there"
    click.echo(f"version {made.version} of the pipeline, {state}; images {', '.join(made.images)}")
    for old in made.replaced:
        click.echo(f"removed {old}, which had the name")
    click.echo(made.link)


@command.command("list")
@server_options
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def list_command(host: str, namespace: str, as_json: bool) -> None:
    """List the schedules of a namespace, with when each starts next as far as the server counts in UTC."""
    import dataclasses
    import json

    _check_host(host)
    found = _schedules(host, namespace).list()
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(one) for one in found], indent=1, ensure_ascii=False))
        return
    for one in found:
        state = "active" if one.is_active else "paused"
        click.echo(f"{one.name}  {state}  {_when(one.cron, one.interval_s)}  {one.schedule_id}")
    if not found:
        click.echo("no schedules")


@command.command()
@click.argument("name")
@server_options
def pause(name: str, host: str, namespace: str) -> None:
    """Have schedule NAME start no further runs."""
    _check_host(host)
    found = _schedules(host, namespace).pause(name)
    click.echo(f"{found.name} ({found.schedule_id}): paused")


@command.command()
@click.argument("name")
@server_options
def resume(name: str, host: str, namespace: str) -> None:
    """Have schedule NAME start runs again; what it missed is not made up for."""
    _check_host(host)
    found = _schedules(host, namespace).resume(name)
    click.echo(f"{found.name} ({found.schedule_id}): active, {_when(found.cron, found.interval_s)}")


@command.command()
@click.argument("name")
@server_options
def remove(name: str, host: str, namespace: str) -> None:
    """Take schedule NAME away; the runs that it started stay."""
    _check_host(host)
    found = _schedules(host, namespace).remove(name)
    click.echo(f"{found.name} ({found.schedule_id}): removed")


@command.command("emit-cronjob")
@click.argument("name")
@_time_options
@click.option("--namespace", default="", help="Kubernetes namespace.")
@click.option("--out", type=WRITE, help="File to write; without, it is printed.")
@pod_options
@partial(flags_of_steps, steps=RETRAIN_STEPS)
def emit_cronjob(
    name: str,
    cron: str,
    timezone: str,
    namespace: str,
    out: Path | None,
    nas_claim: str,
    s3_secret: str,
    gpus: int,
    **flags: Any,
) -> None:
    """Write a CronJob NAME that runs the retraining in one pod, for clusters without Kubeflow Pipelines."""
    from traffic_yolo.cluster.cron_job import WORK, CronJob
    from traffic_yolo.container_images import image
    from traffic_yolo.storage import write_text

    schedule, zone = _schedule(cron), _zone(timezone)
    ready = ready_pipeline(
        "retrain_pipeline", RETRAIN_STEPS, flags, where="submit", nas_claim=nas_claim, s3_secret=s3_secret, gpus=gpus
    )
    arguments = ["traffic-yolo", "retrain", "--local", "--out", f"{WORK}/runs", *arguments_of(ready.parameters)]
    job = CronJob(
        name,
        schedule,
        image("train"),
        arguments,
        time_zone=timezone,
        namespace=namespace,
        nas_claim=nas_claim,
        s3_secret=s3_secret,
        gpus=gpus,
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


def _schedules(host: str, namespace: str) -> Any:
    return importlib.import_module(f"{PIPELINES}.schedule").Schedules(host, namespace)


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


def _check_host(host: str) -> None:
    if not host:
        raise OptionsError("--host: expected the address of the Kubeflow Pipelines API, found nothing")


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
