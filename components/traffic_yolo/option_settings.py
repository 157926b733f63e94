"""Options that are given as text: the settings of a step, and the fields of a form in Kubeflow."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import nearest_or_all
from traffic_yolo.messages import shown as shown_value
from traffic_yolo.options import SETTINGS, WORD_OF_TYPE, check_plain, check_value, fields_of, type_of
from traffic_yolo.storage import existing_path, parse_yaml, shown


def read_settings(settings: str, *options_types: type[Any]) -> dict[str, Any]:
    """The values that `settings` gives to options: YAML text of `name: value`, or the location of such a file.

    Text has a ':' followed by a blank, a line feed or braces in it; all else is a location. Each name must be an option
    and each value of its type; the dataclass checks the rest when it is made. Raises `OptionsError`, `StorageError`.
    """
    text = settings.strip()
    if not text:
        return {}
    where = SETTINGS
    if not is_settings_text(text):
        where = f"{SETTINGS} {shown(text)}"
        text = existing_path(text, what="settings file").read_text(encoding="utf-8")
    values = parse_yaml(text, where=where, error=OptionsError)
    return check_settings(values, *options_types, where=where)


def is_settings_text(settings: str) -> bool:
    """Whether settings are YAML text, and no location."""
    text = settings.strip()
    return text.startswith(("{", "#")) or "\n" in text or ": " in text


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
            raise OptionsError(f"{where}: unknown option {shown_value(name)}; {nearest_or_all(name, known)}")
        if type_of(known[name])[0] is tuple:  # YAML has lists; one text may stand alone
            value = tuple(value) if isinstance(value, list) else _texts(value) if isinstance(value, str) else value
        try:
            check_value(known[name], value)
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
        check_plain(field, value, taker="a parameter")
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
        raise OptionsError(f"{field.name}: expected {WORD_OF_TYPE[kind]}, found {shown_value(value)}") from None


def _texts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
