"""Ctrl-C and SIGTERM in what others must not find half done: both end it in order, and neither cuts a step in two."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Terminated(KeyboardInterrupt):
    """SIGTERM came: the pod of the run is deleted, or somebody ended the program."""


@contextlib.contextmanager
def terminations_raised() -> Iterator[None]:
    """SIGTERM in the block is raised as `Terminated`: else the process would be gone, and what it started would go on.

    Only the main thread gets signals; in others nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(*_caught: object) -> None:
        raise Terminated

    kept = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


@contextlib.contextmanager
def interrupts_put_off() -> Iterator[None]:
    """Ctrl-C or SIGTERM that comes in the block has its effect behind it.

    Only the main thread gets signals; in others there is nothing to put off. Not by masking them: a child process
    inherits the mask, and could never be interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: Any) -> None:
        came.append(number)

    kept = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
