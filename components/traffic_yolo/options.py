"""The one definition of an option: a field of a frozen dataclass, with all that the doors to a step need to know of it.

The command line makes flags of the fields, the KFP components and pipelines make parameters, Katib's trials take them
as arguments; none of them states a default, a word or a range again. A step has one options dataclass or several with
no name in common.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import yaml

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown as shown_value
from traffic_yolo.storage import existing_path, parse_yaml, shown

LocationUse = Literal["", "read", "write", "keep"]
SETTINGS = "settings"  # the parameter through which the options without a field of their own in a form are given
_WORD_OF_TYPE = {
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
) -> Any:
    """A field of an options dataclass; its annotation is bool, int, float, str, one of them `| None`, or
    `tuple[str, ...]`, which a flag gives by being repeated, a form with commas between, and settings as a list.

    `default`: None means that the option is left to the cfg or the recipe, never -1 or 0; `dataclasses.MISSING` makes
    it required. `choices`: the allowed words. `least` and `most`: the closed range of a number. `headline`: a parameter
    of its own in the forms of Kubeflow; the others are reached there through the step's `settings`. `location`: a path,
    nas:// or s3:// that is read, written, or both (keep). `alias`: a second flag of the same meaning ("--format").
    """
    metadata: dict[str, Any] = {"help": help_text}
    metadata |= {"choices": choices} if choices else {}
    metadata |= {"least": least} if least is not None else {}
    metadata |= {"most": most} if most is not None else {}
    metadata |= {"headline": True} if headline else {}
    metadata |= {"location": location} if location else {}
    metadata |= {"alias": alias} if alias else {}
    return dataclasses.field(default=default, metadata=metadata)


def type_of(field: "dataclasses.Field[Any]") -> tuple[type, bool]:
    """(bool, int, float, str or tuple, whether None is allowed) of a field; `TypeError` for another annotation."""
    annotation: Any = field.type
    if annotation == tuple[str, ...]:
        return tuple, False
    allowed = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    kinds = [kind for kind in allowed if kind is not type(None)]
    if len(kinds) != 1 or kinds[0] not in _WORD_OF_TYPE:
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
        _check_value(field, getattr(options, field.name))


def _check_value(field: "dataclasses.Field[Any]", value: Any) -> None:
    kind, optional = type_of(field)
    if value is None and optional:
        return
    if kind is tuple and isinstance(value, tuple) and not all(isinstance(text, str) for text in value):
        raise OptionsError(f"{field.name}: expected {_WORD_OF_TYPE[kind]}, found {shown_value(value)}")
    taken = (int, float) if kind is float else (kind,)
    if not isinstance(value, taken) or (isinstance(value, bool) and kind is not bool):
        raise OptionsError(f"{field.name}: expected {_WORD_OF_TYPE[kind]}, found {shown_value(value)}")
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


def read_settings(settings: str, *options_types: type[Any]) -> dict[str, Any]:
    """The values that `settings` gives to options: YAML text of `name: value`, or the location of such a file.

    Text has a ':' followed by a blank, a line feed or braces in it; all else is a location. Each name must be an option
    and each value of its type; the dataclass checks the rest when it is made. Raises `OptionsError`, `StorageError`.
    """
    text = settings.strip()
    if not text:
        return {}
    where = SETTINGS
    if not (text.startswith(("{", "#")) or "\n" in text or ": " in text):
        where = f"{SETTINGS} {shown(text)}"
        text = existing_path(text, what="settings file").read_text(encoding="utf-8")
    values = parse_yaml(text, where=where, error=OptionsError)
    return check_settings(values, *options_types, where=where)


def check_settings(values: Any, *options_types: type[Any], where: str) -> dict[str, Any]:
    """`values` as name -> value, each of its option's type; `OptionsError` that begins with `where` otherwise."""
    known = fields_of(*options_types)
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise OptionsError(f"{where}: expected `name: value`, one a line, found {shown_value(values)}")
    checked = {}
    for name, value in values.items():
        if name not in known:
            raise OptionsError(f"{where}: unknown option {shown_value(name)}; {_known_names(str(name), known)}")
        if type_of(known[name])[0] is tuple:  # YAML has lists; one text may stand alone
            value = tuple(value) if isinstance(value, list) else _texts(value) if isinstance(value, str) else value
        try:
            _check_value(known[name], value)
        except OptionsError as error:
            raise OptionsError(f"{where}: {error}") from error
        checked[name] = float(value) if type_of(known[name])[0] is float and value is not None else value
    return checked


def task_options(options_types: Sequence[type[Any]], given: Mapping[str, Any]) -> tuple[Any, ...]:
    """The options of a task, one value for each dataclass, of the parameters `given` to its component.

    `given` is the component's `locals()`: parameters named as options, `settings`, and anything else, which is left
    alone. An option may be given once: as a parameter that is not at its default, or in `settings`. Raises
    `OptionsError` for one given twice with different values, and all that the dataclasses refuse.
    """
    values = read_settings(given.get(SETTINGS) or "", *options_types)
    for name, field in fields_of(*options_types).items():
        value = _of_form(field, given[name]) if name in given else field.default
        if value == field.default:
            continue
        if name in values and values[name] != value:
            raise OptionsError(
                f"{name}: the parameter says {shown_value(value)}, {SETTINGS} says {shown_value(values[name])}; "
                f"leave one of them out"
            )
        values[name] = value
    missing = [
        name
        for name, field in fields_of(*options_types).items()
        if field.default is dataclasses.MISSING and name not in values
    ]
    if missing:
        raise OptionsError(f"{missing[0]}: expected a value, found nothing")
    return tuple(
        options_type(**{name: values[name] for name in fields_of(options_type) if name in values})
        for options_type in options_types
    )


def form_value(field: "dataclasses.Field[Any]", value: Any) -> Any:
    """`value` as a form of Kubeflow has it: an option that may be None is a text there, and empty where it is None.

    kfp.local 2.17 cannot leave out a parameter of a pipeline, and a blank number would reach the task as 0.
    """
    kind, optional = type_of(field)
    if kind is tuple:
        return ",".join(value)
    return ("" if value is None else str(value)) if optional else value


def _of_form(field: "dataclasses.Field[Any]", value: Any) -> Any:
    """The value of an option that a form gave: the inverse of `form_value`."""
    kind, optional = type_of(field)
    if kind is tuple and isinstance(value, str):
        return _texts(value)
    if not optional or not isinstance(value, str):
        return value
    text = value.strip()
    if not text or kind is str:
        return text or None
    try:
        return kind(text)
    except ValueError:
        raise OptionsError(f"{field.name}: expected {_WORD_OF_TYPE[kind]}, found {shown_value(value)}") from None


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


def _texts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _known_names(name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name[:80], known, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
