"""Makes command-line flags out of options dataclasses, so that names, defaults and help are said once."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import click

from traffic_yolo.commands.location_types import KEEP, PIPELINE, READ, SETTINGS_TYPE, WRITE_TEXT, LocationType
from traffic_yolo.errors import OptionsError, ProblemsError, StorageError
from traffic_yolo.option_settings import read_settings
from traffic_yolo.options import SETTINGS, check_plain, fields_of, flag_of, type_of

Command = TypeVar("Command", bound=Callable[..., Any])
CHECKS = "__checks_of_flags__"  # of a command's function: what `check_flags` calls


def step_options(*options_types: type[Any], skip: tuple[str, ...] = ()) -> Callable[[Command], Command]:
    """`options_of` for each dataclass of a step, and `--settings`: a file, or YAML text, that gives options too.

    A flag wins over the settings; what neither gives has its default.
    """

    def decorate(command: Command) -> Command:
        def take(context: click.Context, _: click.Parameter, value: str) -> None:
            try:
                found = read_settings(value, *options_types)
            except OptionsError as error:
                raise OptionsError(f"--{error}") from error
            except StorageError as error:
                raise OptionsError(f"--{SETTINGS}: {error}") from error
            context.default_map = {**(context.default_map or {}), **found}

        command = click.option(
            f"--{SETTINGS}", default="", type=SETTINGS_TYPE, is_eager=True, expose_value=False, callback=take,
            help="YAML file, or text `name: value`, with options of this command; a flag wins.",
        )(command)  # fmt: skip
        for options_type in reversed(options_types):
            command = options_of(options_type, skip=skip)(command)
        return command

    return decorate


def options_of(
    options_type: type[Any], *, skip: tuple[str, ...] = (), for_pipeline: bool = False
) -> Callable[[Command], Command]:
    """A decorator that adds one flag for each field of `options_type`: `max_batches` becomes `--max-batches`.

    The field's annotation must be str, int, float or bool, or one of them `| None`; its default becomes the flag's (a
    field without one is required); `metadata["help"]` becomes the help text, `metadata["choices"]` the allowed words,
    `metadata["alias"]` a second flag of the same meaning, `metadata["location"]` a value that must be a location, whose
    text is kept. With `for_pipeline`, locations may be those of a cluster. An `OptionsError` about a field names the
    flag.
    """
    fields = {field.name: field for field in dataclasses.fields(options_type) if field.name not in skip}
    return flags_of(fields, for_pipeline=for_pipeline, made_of=None if skip or for_pipeline else options_type)


def flags_of(
    fields: Mapping[str, "dataclasses.Field[Any]"],
    *,
    for_pipeline: bool = False,
    made_of: type[Any] | None = None,
) -> Callable[[Command], Command]:
    """A decorator that adds one flag for each field, as of `options_of`, and hands the command its value by the key.

    A key is the field's name, unless that is another flag's. `made_of`: the dataclass whose fields they all are, which
    `check_flags` makes, and so checks, before a command is called: that loads what is slow.
    """
    locations: dict[str, LocationType] = {"read": READ, "write": WRITE_TEXT, "keep": KEEP}
    if for_pipeline:
        locations = dict.fromkeys(locations, PIPELINE)

    def decorate(command: Command) -> Command:
        flags = {field.name: flag_of(name, field) for name, field in fields.items()}
        wrapped = _names_flags(command, flags)
        for name, field in reversed(list(fields.items())):
            wrapped = _option(name, field, locations)(wrapped)
        earlier = getattr(command, CHECKS, ())
        setattr(wrapped, CHECKS, (*earlier, _names_flags(partial(_make, made_of), flags)) if made_of else earlier)
        return wrapped

    return decorate


def values_of(options_type: type[Any], flags: Mapping[str, Any]) -> Any:
    """The options that the flags of a command give; those of other dataclasses are left alone."""
    return options_type(**{name: flags[name] for name in fields_of(options_type) if name in flags})


def check_flags(command: Callable[..., Any], flags: Mapping[str, Any]) -> None:
    """Raises `OptionsError`, in the words of the flags, for those of a command that make no sense together."""
    for check in getattr(command, CHECKS, ()):
        check(**flags)


def _make(made_of: type[Any], **flags: Any) -> None:
    values_of(made_of, flags)


def _names_flags(command: Command, flags: Mapping[str, str]) -> Command:
    """`command` whose `OptionsError`s name flags as the user typed them.

    A name with an underscore is no word of a sentence; one without is a name only where it stands before a colon or an
    equals sign, or in backquotes.
    """
    patterns = []
    for name in sorted(flags, key=len, reverse=True):
        if "_" in name:
            patterns.append(rf"(?<![\w-]){name}(?!\w)")
        else:
            patterns.append(rf"^{name}(?=:)|`{name}`|(?<![\w-]){name}(?==)")
    pattern = re.compile("|".join(patterns))

    @functools.wraps(command)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except OptionsError as error:
            if not flags:
                raise
            lines = error.lines if isinstance(error, ProblemsError) else (str(error),)
            named = [pattern.sub(lambda match: flags[match[0].strip("`")], line) for line in lines]
            raise ProblemsError(named) from error

    return call  # type: ignore[return-value]


def _option(
    name: str, field: "dataclasses.Field[Any]", locations: Mapping[str, LocationType]
) -> Callable[[Command], Command]:
    flag = flag_of(name, field)
    required = field.default is dataclasses.MISSING
    help_text = field.metadata.get("help")
    kind, _ = type_of(field)
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=field.default, show_default=True, help=help_text)
    choices = field.metadata.get("choices")
    location = field.metadata.get("location")
    taken: Any = locations[location] if location else click.Choice(choices) if choices else kind
    if kind is tuple:
        text, taken = f"{help_text} Repeatable.", taken if location else str
        return click.option(flag, name, multiple=True, default=field.default, type=taken, help=text)
    flags = [flag, *([field.metadata["alias"]] if "alias" in field.metadata else [])]
    if required:  # click takes default=None for a default, and would let the flag be left out
        return click.option(*flags, name, type=taken, required=True, help=help_text)
    shown = field.default not in ("", None)
    callback = _plain(field, flag) if "settings_only" in field.metadata else None
    return click.option(
        *flags, name, type=taken, default=field.default, show_default=shown, help=help_text, callback=callback
    )


def _plain(field: "dataclasses.Field[Any]", flag: str) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that refuses what only settings may give, where it came as a flag."""

    def take(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE:
            check_plain(field, value, name=flag, taker="a flag")
        return value

    return take
