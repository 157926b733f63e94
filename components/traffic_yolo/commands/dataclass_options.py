"""Makes command-line flags out of an options dataclass, so that names, defaults and help are said once."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

import click

from traffic_yolo.commands.location_types import PIPELINE, READ, WRITE_TEXT, LocationType

Command = TypeVar("Command", bound=Callable[..., Any])


def options_of(
    options_type: type[Any], *, skip: tuple[str, ...] = (), for_pipeline: bool = False
) -> Callable[[Command], Command]:
    """A decorator that adds one flag for each field of `options_type`: `max_batches` becomes `--max-batches`.

    The field's annotation must be str, int, float or bool; its default becomes the flag's (a field without one is
    required); `metadata["help"]` becomes the help text, `metadata["choices"]` the allowed words, `metadata["alias"]` a
    second flag of the same meaning, `metadata["location"]` ("read" or "write") a value that must be a location, whose
    text is kept. With `for_pipeline`, locations may be those of a cluster.
    """
    locations: dict[str, LocationType] = {"read": READ, "write": WRITE_TEXT}
    if for_pipeline:
        locations = {"read": PIPELINE, "write": PIPELINE}

    def decorate(command: Command) -> Command:
        for field in reversed([f for f in dataclasses.fields(options_type) if f.name not in skip]):
            command = _option(field, locations)(command)
        return command

    return decorate


def _option(field: "dataclasses.Field[Any]", locations: dict[str, LocationType]) -> Callable[[Command], Command]:
    flag = f"--{field.name.replace('_', '-')}"
    required = field.default is dataclasses.MISSING
    help_text = field.metadata.get("help")
    if field.type in (bool, "bool"):
        return click.option(f"{flag}/--no-{flag[2:]}", default=field.default, show_default=True, help=help_text)
    kinds: dict[Any, type] = {str: str, int: int, float: float, "str": str, "int": int, "float": float}
    choices = field.metadata.get("choices")
    location = field.metadata.get("location")
    kind = locations[location] if location else click.Choice(choices) if choices else kinds[field.type]
    flags = [flag, *([field.metadata["alias"]] if "alias" in field.metadata else [])]
    if required:  # click takes default=None for a default, and would let the flag be left out
        return click.option(*flags, field.name, type=kind, required=True, help=help_text)
    shown = field.default != ""
    return click.option(*flags, field.name, type=kind, default=field.default, show_default=shown, help=help_text)
