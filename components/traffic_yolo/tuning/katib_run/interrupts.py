"""Puts an interrupt off for as long as a step must not be cut in two."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interrupts_put_off() -> Iterator[None]:
    """An interrupt (Ctrl-C) that comes in the block is raised behind it, as `KeyboardInterrupt`.

    Only the main thread gets interrupts; in others there is nothing to put off. Not by masking the signal: a child
    process inherits the mask, and could never be interrupted.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False

    def note(*_caught: object) -> None:
        nonlocal came
        came = True

    kept = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, kept)
    if came:
        raise KeyboardInterrupt
