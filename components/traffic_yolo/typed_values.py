"""Whether plain values, read from a file of ours, have the types that a dataclass states: a damaged file is told early.

A record is made by a dataclass's constructor, which takes anything: a text where a number belongs falls over far away,
or not at all.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from traffic_yolo.messages import shown

NAMES = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false", type(None): "null"}


def wrong_field(kind: type, values: Mapping[str, Any]) -> str:
    """Which field of the dataclass (or named tuple) `kind` has a value of another type, in words; "" for none.

    `values`: field -> value; those left out are not looked at, and others must not be there. A whole number is a number
    too, true and false are none; a list is a tuple as long as its elements fit. Fields of type `Any` fit always.
    """
    hints = _hints(kind)
    for name, value in values.items():
        if name not in hints:
            return f"{shown(name)}: expected one of {', '.join(hints)}"
        if reason := why_other(value, hints[name]):
            return f"{name}{reason}"
    return ""


def why_other(value: Any, hint: Any) -> str:
    """How a value differs from a type, beginning with the place in it (`.sites[2]: expected …`); "" where it fits."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return ""
    if origin in (types.UnionType, typing.Union):
        reasons = [why_other(value, argument) for argument in arguments]
        return "" if "" in reasons else reasons[0]
    if origin is typing.Literal:
        return "" if value in arguments else _expected(f"one of {', '.join(map(str, arguments))}", value)
    if origin is tuple and arguments[-1:] != (Ellipsis,):
        return _why_other_row(value, arguments)
    if origin in (tuple, list, Sequence):
        return _why_other_element(value, arguments[0])
    if origin in (dict, Mapping):
        return _why_other_entry(value, *arguments)
    kind = origin or hint
    if hasattr(kind, "_fields"):
        return _why_other_row(value, tuple(_hints(kind).values()))
    if kind is float:
        good = type(value) in (int, float) and math.isfinite(value)
    elif kind is int:
        good = type(value) is int
    else:
        good = isinstance(value, kind)
    if not good and isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return f".{reason}" if (reason := wrong_field(kind, value)) else ""
    return "" if good else _expected(NAMES.get(kind, f"a {kind.__name__}"), value)


def _why_other_row(value: Any, hints: tuple[Any, ...]) -> str:
    if not isinstance(value, list | tuple) or len(value) != len(hints):
        return _expected(f"a list of {len(hints)}", value)
    pairs = enumerate(zip(value, hints, strict=True))
    return next((f"[{index}]{why}" for index, pair in pairs if (why := why_other(*pair))), "")


def _why_other_element(value: Any, hint: Any) -> str:
    if not isinstance(value, list | tuple):
        return _expected("a list", value)
    return next((f"[{index}]{why}" for index, one in enumerate(value) if (why := why_other(one, hint))), "")


def _why_other_entry(value: Any, key_hint: Any, hint: Any) -> str:
    if not isinstance(value, Mapping):
        return _expected("an object", value)
    for key, one in value.items():
        if why := why_other(key, key_hint):
            return f": a key{why}"
        if why := why_other(one, hint):
            return f".{key}{why}"
    return ""


def _expected(what: str, value: Any) -> str:
    return f": expected {what}; found {shown(value)}"


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)
