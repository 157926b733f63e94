"""How a data set that is gone from its store is made again: by the conversion, which itself reads data sets.

The conversion stands above everything that opens a data set, so it cannot be imported here: the package of data sets
hands it in (`traffic_yolo/dataset/__init__.py`), before anything in that package can be used.
"""

from collections.abc import Callable
from typing import Any

_makers: list[Callable[..., Any]] = []


def made_by(maker: Callable[..., Any]) -> None:
    """`maker(recipe, store, expected=fingerprint)` makes a data set of a store again, as `repeat_conversion` does."""
    _makers[:] = [maker]


def make_again(recipe: Any, store: Any, *, expected: str) -> None:
    """Makes the data set with the fingerprint `expected` again, in its store. Raises what the conversion raises."""
    _makers[0](recipe, store, expected=expected)
