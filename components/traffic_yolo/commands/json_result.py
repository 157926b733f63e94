"""The result of a command as JSON: one object on stdout and nothing else there, the first key naming the command."""

import contextlib
import json
import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click

from traffic_yolo.commands.interrupted import command_path

JSON_HELP = "Print the result as one JSON object; all else goes to stderr."


def json_option(command: Any) -> Any:
    """Adds `--json`; the command is handed `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=JSON_HELP)(command)


def print_json(values: Mapping[str, Any]) -> None:
    """Prints `{"command": …, **values}`; what is no value of JSON as its text or null."""
    named = {"command": command_path(click.get_current_context()), **values}
    click.echo(json.dumps(_plain(named), indent=1, ensure_ascii=False, allow_nan=False))


@contextlib.contextmanager
def all_else_on_stderr(*, as_json: bool) -> Iterator[None]:
    """What is printed inside goes to stderr where the result is JSON: a pipeline's tasks print as they like."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def _plain(value: Any) -> Any:
    """A value of JSON: numbers that are not finite become null, and what JSON does not know its text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def print_result(text: str, values: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints a result for people, or for programs."""
    if as_json:
        print_json(values)
    else:
        click.echo(text)
