"""Reads nested dataclasses of settings from YAML: values of their types, known names, faults with their place."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown, shown_names
from traffic_yolo.storage import AnyPath, read_yaml
from traffic_yolo.storage import shown as shown_location

_WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def setting(default: Any, help_text: str) -> Any:
    """A field of the settings; `default` may be a type that makes one."""
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata={"help": help_text})
    return dataclasses.field(default=default, metadata={"help": help_text})


def read_settings_file(path: AnyPath, kind: type[Any]) -> Any:
    """The settings of type `kind` in a YAML file.

    Raises `OptionsError` that names the file and the place (`gpu.tolerations[0].key`), `StorageError` for a file that
    cannot be read.
    """
    try:
        return settings_from(read_yaml(path, what="cluster file", error=OptionsError), kind)
    except OptionsError as error:
        text = str(error)
        where = f"cluster file {shown_location(str(path))}"
        raise OptionsError(text if text.startswith("cluster file ") else f"{where}: {text}") from error


def settings_from(value: Any, kind: type[Any], where: str = "") -> Any:
    """A dataclass of a mapping that was read; nothing (an empty file or section) has the defaults."""
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise OptionsError(f"{where or 'content'}: expected `name: value`, one a line, found {shown(value)}")
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(str(name)[:80], known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise OptionsError(f"{_join(where, shown(name))}: unknown; {advice}")
    given = {name: _value(inner, hints[name], _join(where, name)) for name, inner in value.items()}
    try:
        return kind(**given)
    except OptionsError as error:
        raise OptionsError(_join(where, str(error))) from error


def _value(value: Any, kind: Any, where: str) -> Any:
    """`value` as the annotation `kind` has it."""
    if isinstance(kind, types.UnionType):
        (kind,) = (one for one in typing.get_args(kind) if one is not types.NoneType)
        # A section that is there, empty or not, is one; a value that is null is none
        return None if value is None and not dataclasses.is_dataclass(kind) else _value(value, kind, where)
    if dataclasses.is_dataclass(kind):
        return settings_from(value, typing.cast(type[Any], kind), where)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        if not isinstance(value, list):
            raise OptionsError(f"{where}: expected a list, found {shown(value)}")
        return tuple(_value(one, inner[0], f"{where}[{index}]") for index, one in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise OptionsError(f"{where}: expected `name: value`, one a line, found {shown(value)}")
        return {name: _value(one, inner[1], _join(where, shown_names([name]))) for name, one in value.items()}
    return _plain(value, kind, where)


def _plain(value: Any, kind: type, where: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is str and is_number and where.rpartition(".")[2] in ("cpu", "memory"):
        return str(value)  # `cpu: 8` is what people write, and Kubernetes takes it
    fits = isinstance(value, kind) or (kind is float and is_number)
    if not fits or (isinstance(value, bool) and kind is not bool):
        quotes = "; write it in quotes" if kind is str and isinstance(value, int | float | bool) else ""
        raise OptionsError(f"{where}: expected {_WORDS[kind]}, found {shown(value)}{quotes}")
    return float(value) if kind is float else value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
