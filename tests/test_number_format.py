"""Numbers for people: thousands, decimals by column, nothing that looks like 0 and is not."""

import math

import pytest

from traffic_yolo.number_format import format_column, format_number


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "-∞"),
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (7, "7"),
        (12345, "12,345"),
        (-1234567, "-1,234,567"),
        (0.25, "0.25"),
        (1 / 3, "0.3333"),
        (2 / 3, "0.6667"),
        (0.00004, "4e-05"),
        (-0.000049, "-4.9e-05"),
        (0.00005001, "0.0001"),
        (12.3456, "12.346"),
        (123.456, "123.46"),
        (1234.56789, "1,234.6"),
        (123456.789, "123,456.8"),
    ],
)
def test_one_number(value: float | None, shown: str) -> None:
    assert format_number(value) == shown


def test_a_column_has_as_many_decimals_as_its_values_need() -> None:
    assert format_column([0.25, 0.3, None, 1.0]) == ["0.25", "0.30", "–", "1.00"]
    assert format_column([0.5, 1 / 3]) == ["0.5000", "0.3333"]
    assert format_column([1.0, 2.0]) == ["1", "2"]
    assert format_column([3, 0.125]) == ["3", "0.125"]
    assert format_column([]) == []


def test_the_largest_of_a_column_decides_how_fine_it_is() -> None:
    assert format_column([250.0, 0.12345]) == ["250.00", "0.12"]
    assert format_column([250.0, 0.001]) == ["250", "0.001"]
