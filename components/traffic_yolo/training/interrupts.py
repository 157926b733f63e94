"""Ends a training between two updates where the system asks for it: Kubernetes' SIGTERM, a user's Ctrl-C."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class InterruptedWork(BaseException):
    """Raised inside `Interrupts.at_once` when a signal comes."""


class TrainingInterrupted(SystemExit):
    """A training that was asked to end and has saved its state: exit code 128 + the signal's number, as in shells."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(128 + signal_number)
        self.signal_number = signal_number


class Interrupts:
    """The signal that came, 0 while none did. A second one ends the process as if nobody watched."""

    def __init__(self) -> None:
        self.number = 0
        self._raises = False

    def _arrived(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 (signal's signature)
        self.number = number
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if self._raises:
            raise InterruptedWork

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a signal raises `InterruptedWork` wherever the work stands: for work that may be thrown away."""
        self._raises = True
        try:
            if self.number:
                raise InterruptedWork
            yield
        finally:
            self._raises = False


@contextlib.contextmanager
def watched() -> Iterator[Interrupts]:
    """Notes signals inside the block in place of dying of them; only where a main thread can (else it notes none)."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    kept = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for number in SIGNALS:
            signal.signal(number, interrupts._arrived)
        yield interrupts
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
