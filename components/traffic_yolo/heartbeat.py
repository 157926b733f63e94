"""Tells what a command is at wherever it has been silent for two seconds and shows no bar."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from traffic_yolo.progress import LOG_INTERVAL_S, current_stage, is_counting, is_told

BEAT_S = 2.0
BETWEEN = "working"
CLEAR_LINE = "\r\x1b[K"


def beats(wait: Callable[[float], bool], first: str) -> Iterator[tuple[str, float]]:
    """(what is going on, seconds since it began) after every two seconds without a bar.

    `wait` waits for so many seconds, and says whether the work is over. `first`: what is going on before any stage or
    bar; behind them it is called `BETWEEN`.
    """
    last, elapsed_s, unnamed = "", 0.0, first
    while not wait(BEAT_S):
        if is_counting():
            last, unnamed = "", BETWEEN
            continue
        if current_stage():
            unnamed = BETWEEN
        now = current_stage() or unnamed
        elapsed_s = elapsed_s + BEAT_S if now == last else BEAT_S
        last = now
        yield now, elapsed_s


@contextlib.contextmanager
def heartbeat(name: str) -> Iterator[None]:
    """Inside the block, silence is told of on stderr: in a line that changes on a terminal, else in one now and then.

    `name`: of the command, which begins every line.
    """
    if not is_told():
        yield
        return
    over = threading.Event()
    line = _Line()
    teller = threading.Thread(target=_tell, args=(over, line, name), daemon=True, name="heartbeat")
    teller.start()
    kept = sys.stdout
    if line.is_changing and kept.isatty():
        sys.stdout = _Clearing(kept, line)
    try:
        yield
    finally:
        sys.stdout = kept
        over.set()
        teller.join(timeout=1.0)
        line.clear()


def _tell(over: threading.Event, line: "_Line", name: str) -> None:
    for what, elapsed_s in beats(over.wait, "loading"):
        line.show(f"{name}: {what} … {elapsed_s:.0f} s", is_due=elapsed_s % LOG_INTERVAL_S == 0 or elapsed_s == BEAT_S)


class _Line:
    """The line on stderr; on a terminal it is written over itself, and gone when something else is written."""

    def __init__(self) -> None:
        self.is_changing = sys.stderr.isatty()
        self._is_shown = False
        self._lock = threading.Lock()

    def show(self, text: str, *, is_due: bool) -> None:
        with self._lock:
            if self.is_changing:
                sys.stderr.write(f"{CLEAR_LINE}{text}")
                self._is_shown = True
            elif is_due:
                sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def clear(self) -> None:
        with self._lock:
            if self._is_shown:
                sys.stderr.write(CLEAR_LINE)
                sys.stderr.flush()
                self._is_shown = False


class _Clearing:
    """A stream that takes the line away before it writes."""

    def __init__(self, stream: Any, line: _Line) -> None:
        self._stream, self._line = stream, line

    def write(self, text: str) -> Any:
        self._line.clear()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
