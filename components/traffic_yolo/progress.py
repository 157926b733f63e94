"""Progress bars for long loops; quiet in tests, a line now and then where the output is not a terminal."""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm  # takes a tenth of a second, which a command that refuses its arguments does not spend

Item = TypeVar("Item")

LOG_INTERVAL_S = 10.0  # a log file wants a line now and then, not ten redraws a second
INTERVAL_VARIABLE = "TRAFFIC_YOLO_PROGRESS_INTERVAL_S"  # set by `traffic-yolo run` on a terminal


def progress(items: Iterable[Item], *, description: str, unit: str, total: int | None = None) -> Iterator[Item]:
    """Yields `items` unchanged while a bar on stderr counts them.

    `TRAFFIC_YOLO_PROGRESS=0` in the environment switches it off. `total` defaults to `len(items)` where there is one.
    """
    bar = progress_bar(items, description=description, unit=unit, total=total)
    yield from bar


def progress_bar(items: Iterable[Item] = (), *, description: str, unit: str, total: int | None = None) -> "tqdm[Item]":
    """The bar itself, for loops that want to add a postfix (`bar.set_postfix(loss=…)`)."""
    from tqdm import tqdm

    terminal = sys.stderr.isatty()
    log_interval_s = float(os.environ.get(INTERVAL_VARIABLE, LOG_INTERVAL_S))
    return tqdm(
        items,
        desc=description,
        unit=unit,
        total=total,
        disable=os.environ.get("TRAFFIC_YOLO_PROGRESS") == "0",
        mininterval=0.1 if terminal else log_interval_s,
        maxinterval=LOG_INTERVAL_S,
        dynamic_ncols=terminal,
        ascii=not terminal,
        leave=True,
    )
