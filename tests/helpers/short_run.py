"""What `pytest --short` (`make test`) leaves out, and `make test-all` runs.

Two marks decide. `long`: the test takes a second or more, and a neighbour that takes less holds the same rule less
thoroughly. `many(n)`: the test has a case for each of a generated set (every published cfg, every flag of every
command); n of them stay, spread evenly over the set, the same ones every time.
"""

from collections.abc import Sequence

import pytest


def shortened(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The items that stay, in their order."""
    sets: dict[tuple[str, str], list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("many") is not None:
            sets.setdefault((str(item.path), getattr(item, "originalname", item.name)), []).append(item)
    left_out = {id(item) for cases in sets.values() for item in _left_out(cases)}
    return [item for item in items if id(item) not in left_out and item.get_closest_marker("long") is None]


def _left_out(cases: Sequence[pytest.Item]) -> list[pytest.Item]:
    """All but n cases, where n is what their mark says: the first, and so on in equal steps."""
    mark = cases[0].get_closest_marker("many")
    assert mark is not None
    (count,) = mark.args
    kept = {index * len(cases) // count for index in range(count)} if count < len(cases) else set(range(len(cases)))
    return [case for index, case in enumerate(cases) if index not in kept]
