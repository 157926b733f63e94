"""Doing again what may succeed the next time: exponential backoff with full jitter, and one clear error at the end.

Knows no protocol: each kind of storage says itself which of its faults pass (`FaultOf`).
"""

import errno
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from traffic_yolo.errors import OptionsError, StorageError

ATTEMPTS_VARIABLE = "TRAFFIC_YOLO_STORAGE_ATTEMPTS"
# What a network share answers while its server restarts, and what passes by itself
TRANSIENT_ERRNOS = frozenset(
    (errno.EAGAIN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
     errno.EINTR, errno.EIO, errno.ENETDOWN, errno.ENETUNREACH, errno.ENOTCONN, errno.EREMOTEIO, errno.ESTALE,
     errno.ETIMEDOUT)
)  # fmt: skip

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """What went wrong. `passes`: whether it is worth another attempt; `wait_s`: the server's wish (Retry-After)."""

    reason: str
    passes: bool
    wait_s: float = 0.0


FaultOf = Callable[[Exception], Fault | None]  # None: not a fault of storage, to be raised as it is


@dataclass(frozen=True)
class RetryPolicy:
    """How often and how patiently. The wait before attempt n + 1 is drawn evenly from 0 to base_s * 2^(n - 1).

    Full jitter, so that many pods that lost one server do not come back together (AWS Architecture Blog, "Exponential
    Backoff And Jitter", 2015). `cap_s` bounds one wait. With the defaults, eight attempts wait 16 s in the mean and
    32 s at most.
    """

    attempts: int = 8
    base_s: float = 0.25
    cap_s: float = 20.0

    @classmethod
    def from_environment(cls) -> "RetryPolicy":
        """The default, with `TRAFFIC_YOLO_STORAGE_ATTEMPTS` attempts where that is set (1: never again)."""
        return cls(attempts=positive_number(ATTEMPTS_VARIABLE, cls.attempts))

    def wait_s(self, attempt: int, fault: Fault) -> float:
        """Seconds to wait after attempt number `attempt` failed; at least what the server asks for, up to a minute."""
        drawn = random.uniform(0, min(self.cap_s, self.base_s * 2 ** (attempt - 1)))
        return max(drawn, min(fault.wait_s, 60.0))


class Attempts:
    """Counts the attempts at one piece of work; `failed` waits, or raises when it is enough."""

    def __init__(self, where: str, fault_of: FaultOf, policy: RetryPolicy | None = None) -> None:
        self.where = where
        self._fault_of = fault_of
        self._policy = policy or RetryPolicy.from_environment()
        self._count = 0
        self._started = time.monotonic()

    def progressed(self) -> None:
        """Something came through: the next fault counts as a first one."""
        self._count = 0
        self._started = time.monotonic()

    def failed(self, error: Exception) -> None:
        """Waits before another attempt. Raises `StorageError` where the fault does not pass or attempts are used up."""
        fault = self._fault_of(error)
        if fault is None:
            raise error
        self._count += 1
        if not fault.passes:
            raise _as_storage_error(error, f"{self.where}: {fault.reason}") from error
        if self._count >= self._policy.attempts:
            spent = f"{self._count} attempts in {time.monotonic() - self._started:.0f} s"
            raise _as_storage_error(error, f"{self.where}: gave up after {spent}: {fault.reason}") from error
        wait_s = self._policy.wait_s(self._count, fault)
        _log.warning("%s: %s; attempt %d follows in %.1f s", self.where, fault.reason, self._count + 1, wait_s)
        time.sleep(wait_s)


def retried(
    operation: Callable[[], Result], where: str, fault_of: FaultOf, policy: RetryPolicy | None = None
) -> Result:
    """What `operation()` returns, done again while it fails with a fault that passes. `where` begins the message."""
    attempts = Attempts(where, fault_of, policy)
    while True:
        try:
            return operation()
        except Exception as error:
            attempts.failed(error)


def share_fault_of(root: Path | None) -> FaultOf:
    """Faults of a mounted share: the server's pauses pass, and so does a `root` that was there and is away."""

    def fault_of(error: Exception) -> Fault | None:
        cause = error.__cause__ if isinstance(error, StorageError) and isinstance(error.__cause__, OSError) else error
        if not isinstance(cause, OSError) or (isinstance(cause, StorageError) and not cause.errno):
            return None
        if cause.errno in TRANSIENT_ERRNOS:
            return Fault(f"{os.strerror(cause.errno)}; check that the share is mounted and its server up", passes=True)
        if root is not None and cause.errno == errno.ENOENT and not root.exists():
            return Fault(f"{root} is gone; check that the share is mounted", passes=True)
        return None

    return fault_of


def positive_number(variable: str, default: int) -> int:
    """The whole number from 1 in an environment variable; `OptionsError` for anything else."""
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise OptionsError(f"{variable}={text!r}: expected a whole number from 1")
    return int(text)


def _as_storage_error(error: Exception, message: str) -> StorageError:
    """The same kind of `StorageError`, where it was one already, with a fuller message."""
    return type(error)(message) if isinstance(error, StorageError) else StorageError(message)
