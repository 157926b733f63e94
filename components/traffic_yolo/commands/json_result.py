"""The result of a command as JSON: one object on stdout and nothing else there, the first key naming the command."""

import json
from collections.abc import Mapping
from typing import Any

import click

from traffic_yolo.commands.interrupted import command_path

JSON_HELP = "Print the result as one JSON object; all else goes to stderr."


def json_option(command: Any) -> Any:
    """Adds `--json`; the command is handed `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help=JSON_HELP)(command)


def print_json(values: Mapping[str, Any]) -> None:
    """Prints `{"command": …, **values}`; what is no value of JSON (a path) as its text, no NaN ever."""
    named = {"command": command_path(click.get_current_context()), **values}
    click.echo(json.dumps(named, indent=1, ensure_ascii=False, allow_nan=False, default=str))


def print_result(text: str, values: Mapping[str, Any], *, as_json: bool) -> None:
    """Prints a result for people, or for programs."""
    if as_json:
        print_json(values)
    else:
        click.echo(text)
