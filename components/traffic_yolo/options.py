"""The one definition of an option: a field of a frozen dataclass, with all that the doors to a step need to know of it.

The command line makes flags of the fields, the KFP components and pipelines make parameters, Katib's trials take them
as arguments; none of them states a default, a word or a range again. A step has one options dataclass or several with
no name in common.
"""

import dataclasses
import math
import types
import typing
from typing import Any, Literal

import yaml

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown as shown_value

LocationUse = Literal["", "read", "write", "keep"]
SETTINGS = "settings"  # the parameter through which the options without a field of their own in a form are given
WORD_OF_TYPE = {
    bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts",
}  # fmt: skip


def option(
    default: Any,
    help_text: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    headline: bool = False,
    location: LocationUse = "",
    alias: str = "",
    flag: str = "",
    settings_only: str = "",
) -> Any:
    """A field of an options dataclass; its annotation is bool, int, float, str, one of them `| None`, or
    `tuple[str, ...]`, which a flag gives by being repeated, a form with commas between, and settings as a list.

    `default`: None means that the option is left to the cfg or the recipe, never -1 or 0; `dataclasses.MISSING` makes
    it required. `choices`: the allowed words. `least` and `most`: the closed range of a number. `headline`: a parameter
    of its own in the forms of Kubeflow; the others are reached there through the step's `settings`. `location`: a path,
    nas:// or s3:// that is read, written, or both (keep). `alias`: a second flag of the same meaning ("--format").
    `flag`: its flag where another option's flag has its name ("--rate-policy"); files and forms have the field's name.
    `settings_only`: a text that begins so is for settings files and Python, see `check_plain`.
    """
    metadata: dict[str, Any] = {"help": help_text}
    metadata |= {"choices": choices} if choices else {}
    metadata |= {"least": least} if least is not None else {}
    metadata |= {"most": most} if most is not None else {}
    metadata |= {"headline": True} if headline else {}
    metadata |= {"location": location} if location else {}
    metadata |= {"alias": alias} if alias else {}
    metadata |= {"flag": flag} if flag else {}
    metadata |= {"settings_only": settings_only} if settings_only else {}
    return dataclasses.field(default=default, metadata=metadata)


def flag_of(name: str, field: "dataclasses.Field[Any]") -> str:
    """The flag of an option that a command is handed as `name`."""
    return str(field.metadata.get("flag") or f"--{name.replace('_', '-')}")


def type_of(field: "dataclasses.Field[Any]") -> tuple[type, bool]:
    """(bool, int, float, str or tuple, whether None is allowed) of a field; `TypeError` for another annotation."""
    annotation: Any = field.type
    if annotation == tuple[str, ...]:
        return tuple, False
    allowed = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    kinds = [kind for kind in allowed if kind is not type(None)]
    if len(kinds) != 1 or kinds[0] not in WORD_OF_TYPE:
        raise TypeError(f"option {field.name}: {annotation} is no type of an option")
    return kinds[0], len(allowed) > 1


def fields_of(*options_types: type[Any]) -> dict[str, "dataclasses.Field[Any]"]:
    """Name -> field of the dataclasses of a step, in order; `TypeError` where two share a name."""
    found: dict[str, dataclasses.Field[Any]] = {}
    for options_type in options_types:
        for field in dataclasses.fields(options_type):
            if field.name in found or field.name == SETTINGS:
                raise TypeError(f"option {field.name} stands in two dataclasses of one step")
            found[field.name] = field
    return found


def headlines(*options_types: type[Any]) -> dict[str, "dataclasses.Field[Any]"]:
    """The fields that are parameters of their own in a form."""
    return {name: field for name, field in fields_of(*options_types).items() if field.metadata.get("headline")}


def check_options(options: Any, options_type: type[Any] | None = None) -> None:
    """Raises `OptionsError` unless every field of `options` has its type, is one of its words and in its range.

    What concerns several fields is left to the dataclass, whose `__post_init__` calls this first. `options_type`: the
    base whose fields are looked at; by default all are.
    """
    for field in dataclasses.fields(options_type or options):
        check_value(field, getattr(options, field.name))


def check_value(field: "dataclasses.Field[Any]", value: Any) -> None:
    """Raises `OptionsError` unless a value has its field's type, is one of its words and in its range."""
    kind, optional = type_of(field)
    if value is None and optional:
        return
    if kind is tuple and isinstance(value, tuple) and not all(isinstance(text, str) for text in value):
        raise OptionsError(f"{field.name}: expected {WORD_OF_TYPE[kind]}, found {shown_value(value)}")
    taken = (int, float) if kind is float else (kind,)
    if not isinstance(value, taken) or (isinstance(value, bool) and kind is not bool):
        raise OptionsError(f"{field.name}: expected {WORD_OF_TYPE[kind]}, found {shown_value(value)}")
    if isinstance(value, int | float) and kind is not bool:
        _check_range(field, value)
    words = field.metadata.get("choices", ())
    if words and value not in words:
        raise OptionsError(f"{field.name}: expected one of {', '.join(words)}, found {shown_value(value)}")


def _check_range(field: "dataclasses.Field[Any]", value: float) -> None:
    if not math.isfinite(value):
        raise OptionsError(f"{field.name}: expected a finite number, found {value}")
    least, most = (field.metadata.get(name) for name in ("least", "most"))
    if (least is not None and value < least) or (most is not None and value > most):
        if most is None:
            expected = f"at least {least:g}"
        elif least is None:
            expected = f"at most {most:g}"
        else:
            expected = f"a number from {least:g} to {most:g}"
        raise OptionsError(f"{field.name}: expected {expected}, found {value:g}")


def is_plain(field: "dataclasses.Field[Any]", value: Any) -> bool:
    """Whether a flag, a field of a form or a value of Katib may give `value`; the others need a settings file."""
    beginning = field.metadata.get("settings_only", "")
    return not (beginning and isinstance(value, str) and value.lstrip().startswith(beginning))


def check_plain(
    field: "dataclasses.Field[Any]",
    value: Any,
    *,
    taker: str,
    name: str = "",
    instead: str = "in a settings file (--settings FILE; in a pipeline, the step's settings) or in Python",
) -> None:
    """Raises `OptionsError` unless `is_plain`: Katib hands values to a shell and loses their quotes.

    `taker`: what was to take the value, such as "a flag"; `name`: what the user calls the option, by default as its
    field; `instead`: where it may be given.
    """
    if not is_plain(field, value):
        raise OptionsError(
            f"{name or field.name}: {taker} takes no text that begins with {field.metadata['settings_only']}, found "
            f"{shown_value(value)}; give it {instead}"
        )


def form_value(field: "dataclasses.Field[Any]", value: Any) -> Any:
    """`value` as a form of Kubeflow has it: an option that may be None is a text there, and empty where it is None.

    kfp.local 2.17 cannot leave out a parameter of a pipeline, and a blank number would reach the task as 0.
    """
    kind, optional = type_of(field)
    if kind is tuple:
        return ",".join(value)
    return ("" if value is None else str(value)) if optional else value


def described(*options: Any) -> str:
    """The options as YAML text, one a line in the order of the fields: it can be given as `settings` again."""
    values = {name: value for one in options for name, value in dataclasses.asdict(one).items()}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def changed(options: Any) -> dict[str, Any]:
    """Name -> value of the fields that are not at their defaults."""
    return {
        field.name: value
        for field in dataclasses.fields(options)
        if (value := getattr(options, field.name)) != field.default
    }
