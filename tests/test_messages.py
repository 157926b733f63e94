"""Values in messages: as Python writes them where they are short, cut where they are long, never looked through."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.messages import MOST_CHARACTERS, one_line, shown, shown_names

PLAIN = st.none() | st.booleans() | st.integers(-999, 999) | st.floats() | st.text("ab'", max_size=5)
VALUES = st.recursive(PLAIN, lambda v: st.lists(v, max_size=3) | st.tuples(v) | st.dictionaries(PLAIN, v, max_size=3))


@given(VALUES)
def test_a_short_value_is_shown_as_python_writes_it(value: Any) -> None:
    whole = repr(value)
    assert shown(value) == (whole if len(whole) <= MOST_CHARACTERS else f"{whole[: MOST_CHARACTERS - 3]}...")


@pytest.mark.parametrize(
    "value",
    ["x" * 5000, [1] * 10**6, {"k": ["y" * 10**6]}, 10**5000, b"z" * 500, "\n" * 100],
    ids=["text", "list", "mapping", "number", "bytes", "lines"],
)
def test_a_long_value_is_cut_on_one_line(value: Any) -> None:
    assert len(shown(value)) <= MOST_CHARACTERS
    assert "\n" not in shown(value)


def test_a_value_that_repeats_itself_a_billion_times_takes_no_time() -> None:
    value: Any = "x"
    for _ in range(30):
        value = [value, value]
    assert shown(value).startswith("[[[[")


def test_names_stand_as_they_are_and_many_are_counted() -> None:
    assert shown_names(["a", 1, None]) == "a, 1, None"
    assert shown_names(str(number) for number in range(8)) == "0, 1, 2, 3, 4, and 3 more"
    assert shown_names(["x" * 500]) == "x" * 77 + "..."
    assert one_line("a\nb\udcff") == "a\\nb\\udcff"
