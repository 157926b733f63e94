"""How numbers are written for people, the same in every page: thousands apart, four decimals at most.

A column has as many decimals as its values need, so that points stand below each other.
"""

import math
from collections.abc import Iterable

MOST_DECIMALS = 4
UNDEFINED = "–"

Number = int | float | None


def format_number(value: Number) -> str:
    """One number: 1234567 is 1,234,567, 0.5 is 0.5, 1/3 is 0.3333; None and what is not a number are a dash.

    What is not 0 never looks like 0: 0.00001 is 1e-05.
    """
    return format_column([value])[0]


def format_column(values: Iterable[Number]) -> list[str]:
    """The numbers of a column, all floats with the same decimals: those that the values need, at most `MOST_DECIMALS`.

    Of large numbers fewer are shown: five digits in all, but never less than one decimal where there is a fraction.
    """
    column = list(values)
    floats = [abs(value) for value in column if isinstance(value, float) and math.isfinite(value)]
    decimals = _decimals(floats)
    return [_written(value, decimals) for value in column]


def _decimals(floats: list[float]) -> int:
    largest = max(floats, default=0.0)
    most = MOST_DECIMALS if largest < 10 else max(1, MOST_DECIMALS - int(math.log10(largest)))
    return max((_needed(value, most) for value in floats), default=0)


def _needed(value: float, most: int) -> int:
    """Decimals of a value that is rounded to `most` decimals, without zeros at the end."""
    return len(f"{value:.{most}f}".rstrip("0").partition(".")[2])


def _written(value: Number, decimals: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return UNDEFINED
    if isinstance(value, int):
        return f"{value:,}"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value and not round(value, decimals):
        return f"{value:.2g}"
    return f"{value + 0.0:,.{decimals}f}"
