"""What is done around the work of every command: its inputs are looked for before, an interrupt is told after.

Loads nothing heavy: a path that is not there is refused before a command loads what it needs to read it.
"""

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import click

from traffic_yolo.commands.dataclass_options import check_flags
from traffic_yolo.commands.interrupted import command_path, kept_text
from traffic_yolo.commands.location_types import LocationType, are_of_other_machines, flag_of
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.heartbeat import heartbeat
from traffic_yolo.storage import is_s3
from traffic_yolo.terminations import Terminated

INTERRUPTED_EXIT_CODE, TERMINATED_EXIT_CODE = 130, 143


def surrounded(command: click.Command) -> click.Command:
    """`command` itself, in place: it and all commands below it first look for what they are to read.

    Groups that make their commands when asked for them (`pipeline submit`) are left alone: theirs run elsewhere.
    """
    if isinstance(command, click.Group):
        for one in command.commands.values():
            surrounded(one)
    elif command.callback is not None and not hasattr(command.callback, "__surrounded__"):
        command.callback = _around(command.callback)
    return command


def _around(work: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(work)
    def call(*args: Any, **kwargs: Any) -> Any:
        context = click.get_current_context()
        try:
            check_flags(work, context.params)
            check_inputs(context)
            with heartbeat(command_path(context)):
                return work(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            click.echo(f"interrupted: {kept_text(context)}", err=True)
            terminated = isinstance(interrupt, Terminated)
            raise SystemExit(TERMINATED_EXIT_CODE if terminated else INTERRUPTED_EXIT_CODE) from None

    call.__surrounded__ = True  # type: ignore[attr-defined]
    return call


def check_inputs(context: click.Context) -> None:
    """Raises `OptionsError`, by its flag, for a location to read where nothing lies; object storage is not asked."""
    if are_of_other_machines(context):
        return
    for parameter in context.command.params:
        if isinstance(parameter.type, LocationType) and parameter.type.use == "read":
            for value in _values(context.params.get(str(parameter.name))):
                if parameter.type.may_lack(value) or is_s3(value):
                    continue
                try:
                    _check_there(str(parameter.name), value)
                except StorageError as error:
                    raise OptionsError(f"{flag_of(parameter)}: {error}") from error


def _values(given: Any) -> Iterator[str]:
    for value in given if isinstance(given, tuple) else (given,):
        if isinstance(value, str) and value:
            yield value


def _check_there(name: str, value: str) -> None:
    from traffic_yolo.storage import exists

    if exists(value):
        return
    checks = importlib.import_module("traffic_yolo.preflight.checks")  # which knows what is a name and no place
    if not checks.is_name(name, value):
        checks.check_there(value)
