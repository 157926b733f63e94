"""A random order of tests in which those of a file stay together, because they share its fixtures."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def shuffled(tests: Sequence[T], file_of: Callable[[T], str], seed: int) -> list[T]:
    """The tests with the files in random order, and those of each file among themselves; the same for equal seeds."""
    order = random.Random(seed)
    files = sorted({file_of(test) for test in tests})
    order.shuffle(files)
    place = {file: number for number, file in enumerate(files)}
    mixed = list(tests)
    order.shuffle(mixed)
    return sorted(mixed, key=lambda test: place[file_of(test)])
