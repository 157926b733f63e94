"""Progress bars for long loops, and the names of stages that have none; `heartbeat.py` tells of the latter.

Quiet in tests, a line now and then where the output is not a terminal.
"""

import contextlib
import os
import sys
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm  # takes a tenth of a second, which a command that refuses its arguments does not spend

Item = TypeVar("Item")

LOG_INTERVAL_S = 10.0  # a log file wants a line now and then, not ten redraws a second
INTERVAL_VARIABLE = "TRAFFIC_YOLO_PROGRESS_INTERVAL_S"  # set by `traffic-yolo run` on a terminal


_STAGES: list[str] = []  # of the main thread's work, the innermost last
_BARS: "weakref.WeakSet[tqdm[Any]]" = weakref.WeakSet()


@contextlib.contextmanager
def stage(description: str) -> Iterator[None]:
    """Names what is done in the block: work of one piece, which may take seconds and has nothing to count."""
    _STAGES.append(description)
    try:
        yield
    finally:
        _STAGES.pop()


def is_told() -> bool:
    """Whether progress is shown at all: `TRAFFIC_YOLO_PROGRESS=0` in the environment switches it off."""
    return os.environ.get("TRAFFIC_YOLO_PROGRESS") != "0"


def current_stage() -> str:
    """The innermost stage that is going on; "" where none is."""
    return _STAGES[-1] if _STAGES else ""


def is_counting() -> bool:
    """Whether a bar is shown, which tells by itself how far it is."""
    return any(not bar.disable for bar in tuple(_BARS))


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
    bar = tqdm(
        items,
        desc=description,
        unit=unit,
        total=total,
        disable=not is_told(),
        mininterval=0.1 if terminal else log_interval_s,
        maxinterval=LOG_INTERVAL_S,
        dynamic_ncols=terminal,
        ascii=not terminal,
        leave=True,
    )
    _BARS.add(bar)
    return bar
