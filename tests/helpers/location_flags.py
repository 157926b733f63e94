"""Every parameter of every command of the command line, and those of them that are locations."""

from collections.abc import Iterator
from typing import NamedTuple

import click

from traffic_yolo.cli import traffic_yolo
from traffic_yolo.commands.location_types import LocationType


class Flag(NamedTuple):
    """A parameter of a command; `position`: how many arguments come before it; `needed`: the options without a default."""

    command: tuple[str, ...]
    parameter: click.Parameter
    position: int = 0
    needed: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join((*self.command, self.name))

    @property
    def name(self) -> str:
        """As a message names it."""
        if isinstance(self.parameter, click.Argument):
            return str(self.parameter.name).upper()
        return max(self.parameter.opts, key=len)

    @property
    def use(self) -> str:
        return self.parameter.type.use if isinstance(self.parameter.type, LocationType) else ""

    def arguments(self, value: str) -> list[str]:
        value = f"/in/pod={value}" if self.parameter.type.name == "path=location" else value
        given = [self.name, value]
        if isinstance(self.parameter, click.Argument):
            given = ["there"] * self.position + [value]
        if self.use == "pipeline":  # what else `run` needs, for it looks at locations when all are there
            given += [text for name in self.needed if name != self.name for text in (name, "there")]
        return [*self.command, *given]


def parameters(group: click.Group, names: tuple[str, ...] = ()) -> Iterator[Flag]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from parameters(command, (*names, name))
        elif command is not None:
            arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
            needed = tuple(max(one.opts, key=len) for one in command.params if one.required and one not in arguments)
            for parameter in command.params:
                position = arguments.index(parameter) if isinstance(parameter, click.Argument) else 0
                yield Flag((*names, name), parameter, position, needed)


EVERY = list(parameters(traffic_yolo))
LOCATIONS = [flag for flag in EVERY if flag.use]
