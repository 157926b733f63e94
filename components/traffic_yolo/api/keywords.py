"""Keyword arguments of a Python program as the options of a step: paths and lists become what an option is."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown
from traffic_yolo.option_settings import check_settings
from traffic_yolo.options import fields_of, type_of


def options_of(where: str, given: Mapping[str, Any], *options_types: type[Any]) -> tuple[Any, ...]:
    """The options dataclasses that keyword arguments come to, one value for each of `options_types`.

    For an option that is a text, a path object and a list of texts or numbers (which the option has with commas
    between) will do as well. Raises `OptionsError`, beginning with `where`, for a name that
    is no option, and what the dataclasses refuse.
    """
    known = fields_of(*options_types)
    values = {name: _plain(known[name], value) if name in known else value for name, value in given.items()}
    checked = check_settings(values, *options_types, where=where)
    return tuple(
        each(**{field.name: checked[field.name] for field in dataclasses.fields(each) if field.name in checked})
        for each in options_types
    )


def _plain(field: "dataclasses.Field[Any]", value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type_of(field)[0] is tuple:
        return [_plain_text(part) for part in value] if isinstance(value, list | tuple) else value
    if type_of(field)[0] is not str:
        return value
    if isinstance(value, list | tuple):
        return ",".join(_part(field.name, part) for part in value)
    return value


def _plain_text(part: Any) -> Any:
    return os.fspath(part) if isinstance(part, os.PathLike) else part


def _part(name: str, part: Any) -> str:
    text = repr(part) if isinstance(part, float) else str(part)
    if "," in text:
        raise OptionsError(f"{name}: a comma separates its parts, so none may hold one; found {shown(text)}")
    return text
