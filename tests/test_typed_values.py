"""Plain values against a dataclass's types: what fits, and where what does not fit lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import pytest

from traffic_yolo.typed_values import why_other, wrong_field


class Pair(NamedTuple):
    name: str
    size: int


@dataclass
class Inner:
    ratio: float


@dataclass
class Outer:
    name: str
    inner: Inner
    pairs: tuple[Pair, ...]
    anything: Any
    kind: Literal["a", "b"] = "a"


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("", str), (0, int), (2**70, int), (0, float), (1.5, float), (True, bool), (None, str | None), ("x", str | None),
        ([], tuple[str, ...]), (["a"], list[str]), (("a",), tuple[str, ...]), (["a", 1], tuple[str, int]), ({}, dict[str, int]),
        ({"a": [1]}, Mapping[str, list[int]]), ("b", Literal["a", "b"]), (["a", 1], Pair), ({"ratio": 1}, Inner), (object(), Any),
    ],
)  # fmt: skip
def test_values_that_fit(value: Any, hint: Any) -> None:
    assert why_other(value, hint) == ""


@pytest.mark.parametrize(
    ("value", "hint", "words"),
    [
        (1, str, ": expected a text; found 1"),
        (True, int, ": expected a whole number; found True"),
        (1.0, int, ": expected a whole number; found 1.0"),
        (True, float, ": expected a finite number; found True"),
        (float("nan"), float, ": expected a finite number; found nan"),
        (10**400, str, ": expected a text; found"),
        (0, bool, ": expected true or false; found 0"),
        ("x", int | None, ": expected a whole number; found 'x'"),
        ("ab", list[str], ": expected a list; found 'ab'"),
        (["a", 1], list[str], "[1]: expected a text; found 1"),
        (["a"], tuple[str, int], ": expected a list of 2; found ['a']"),
        (["a", "b"], Pair, "[1]: expected a whole number; found 'b'"),
        ([], dict[str, int], ": expected an object; found []"),
        ({1: 1}, dict[str, int], ": a key: expected a text; found 1"),
        ({"a": {"b": "c"}}, dict[str, dict[str, int]], ".a.b: expected a whole number; found 'c'"),
        ({"ratio": "high"}, Inner, ".ratio: expected a finite number; found 'high'"),
        ("c", Literal["a", "b"], ": expected one of a, b; found 'c'"),
        ([], Literal["a", "b"], ": expected one of a, b; found []"),
    ],
)
def test_values_that_do_not_fit_are_named_with_their_place(value: Any, hint: Any, words: str) -> None:
    assert why_other(value, hint).startswith(words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"name": None}, "name: expected a text; found None"),
        ({"inner": {"ratio": None}}, "inner.ratio: expected a finite number; found None"),
        ({"pairs": [["a", 1], ["b"]]}, "pairs[1]: expected a list of 2; found ['b']"),
        ({"other": 1}, "'other': expected one of name, inner, pairs, anything, kind"),
    ],
)
def test_fields_of_a_dataclass(change: dict[str, Any], words: str) -> None:
    values = {"name": "n", "inner": {"ratio": 1}, "pairs": [["a", 1]], "anything": object(), **change}
    assert wrong_field(Outer, values) == words
