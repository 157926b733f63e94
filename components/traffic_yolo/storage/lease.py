"""A lock that works between processes, machines and pods over any shared file system: a lease with a heartbeat.

flock is no such lock: over NFS 3 it needs a lock daemon, mounts with `nolock` or `local_lock` keep it on one machine
without a word, and on SMB it depends on the server. Here a holder owns a file that it made by an atomic hard link (or,
where a file system has none, by exclusive creation), and writes a rising number into it. Who waits takes over when the
number has not moved for a while **on its own clock**, so clocks need not agree; or at once, when the holder was a
process of this machine that is gone.

Each holder has a new, higher generation: the file `<generation>`. A holder that was paused may have been taken over
without its knowing, and no lock can stop such a process in the middle of a write: work that a lease protects goes to a
place of that generation's own, and is put in place by one atomic rename.
"""

import contextlib
import errno
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo import process_identity
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.storage.documents import json_value

RECORD_BYTES = 512  # one write of one block: a reader sees the old record or the new one
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES, errno.EINVAL}


@dataclass(frozen=True)
class LeaseTiming:
    """Seconds. A holder writes every `renew_s`; one that has not written for `expiry_s` is taken for dead.

    NFS keeps a file's attributes for up to 60 s (acregmax), but opening a file asks the server, and that is how the
    record is read: `expiry_s` needs to cover hiccups of network and server, not the cache.
    """

    renew_s: float = 5.0
    expiry_s: float = 60.0
    poll_s: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.poll_s <= self.renew_s <= self.expiry_s / 3:
            raise OptionsError(
                f"lease: expected 0 < poll <= renew <= a third of expiry, found {self.poll_s:g}, {self.renew_s:g} and "
                f"{self.expiry_s:g} s"
            )

    @classmethod
    def of_expiry(cls, expiry_s: float) -> "LeaseTiming":
        """A timing that is made for an expiry."""
        renew_s = min(5.0, expiry_s / 6)
        return cls(renew_s, expiry_s, min(0.5, renew_s))


class Lease:
    """A lease that this process holds; it is renewed by a thread until `release`."""

    def __init__(self, folder: Path, generation: int, descriptor: int, timing: LeaseTiming) -> None:
        self.folder = folder
        self.generation = generation
        self._descriptor = descriptor
        self._timing = timing
        self._beat = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name=f"lease {folder.name}", daemon=True)
        self._write("held")
        self._thread.start()

    def release(self) -> None:
        """Lets the next one have it. The file stays: a generation is never given twice."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._write("free")
        os.close(self._descriptor)

    def _renew(self) -> None:
        while not self._ended.wait(self._timing.renew_s):
            with contextlib.suppress(OSError):  # a server that is away for a moment; the next beat may reach it
                self._write("held")

    def _write(self, state: str) -> None:
        self._beat += 1
        record = json.dumps({"state": state, "beat": self._beat, **process_identity.identity()})
        os.pwrite(self._descriptor, record.ljust(RECORD_BYTES - 1).encode() + b"\n", 0)
        os.fsync(self._descriptor)


@contextlib.contextmanager
def lease(folder: Path, timing: LeaseTiming, *, unless: Callable[[], bool]) -> Iterator[Lease | None]:
    """Holds the lease of `folder` in the block, waiting for it; None as soon as `unless()` is true.

    `unless` says that the work is done already; it is asked again and again while waiting. Raises `StorageError` where
    the folder cannot be written.
    """
    held = acquire(folder, timing, unless=unless)
    try:
        yield held
    finally:
        if held is not None:
            held.release()


def acquire(folder: Path, timing: LeaseTiming, *, unless: Callable[[], bool]) -> Lease | None:
    """The lease of `folder`, waiting for it, or None as soon as `unless()` is true."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        watched, since = (0, b""), time.monotonic()
        while not unless():
            generation = newest_generation(folder)
            seen = (generation, _record(folder, generation))
            if seen != watched:
                watched, since = seen, time.monotonic()
            if generation == 0 or _is_free(seen[1]) or time.monotonic() - since >= timing.expiry_s:
                descriptor = _claim(folder, generation + 1)
                if descriptor is not None:
                    return Lease(folder, generation + 1, descriptor, timing)
                continue
            time.sleep(timing.poll_s)
    except OSError as error:
        raise StorageError(f"{folder}: no lease can be kept here: {error.strerror}; use another store") from error
    return None


def newest_generation(folder: Path) -> int:
    """The highest generation so far, 0 for none. A folder's listing may be old (NFS caches it); a name is asked for."""
    names = [int(name) for name in os.listdir(folder) if name.isdecimal()]
    generation = max(names, default=0)
    while (folder / str(generation + 1)).exists():
        generation += 1
    return generation


def _record(folder: Path, generation: int) -> bytes:
    if generation == 0:
        return b""
    try:
        return (folder / str(generation)).read_bytes()
    except FileNotFoundError:
        return b""


def _is_free(record: bytes) -> bool:
    """Whether a record says that nobody holds the lease: it was released, or its process was here and is gone."""
    try:
        holder = json_value(record)
        if holder["state"] == "free":
            return True
        return process_identity.is_gone(holder)
    except (ValueError, KeyError, TypeError):
        return False  # being written, or foreign: only time can tell


def _claim(folder: Path, generation: int) -> int | None:
    """An open descriptor of the file of a generation that this process alone has made, or None if another was first."""
    own, target = folder / f".{uuid.uuid4().hex}", folder / str(generation)
    descriptor = os.open(own, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        try:
            os.link(own, target)
        except OSError as error:
            # Over NFS an answer can be lost and the request repeated: the number of links tells who was first.
            if os.fstat(descriptor).st_nlink == 2:
                return descriptor
            if error.errno == errno.EEXIST:
                os.close(descriptor)
                return None
            if error.errno not in _NO_LINKS:
                os.close(descriptor)
                raise
            os.close(descriptor)
            return _claim_exclusively(target)
        return descriptor
    finally:
        with contextlib.suppress(OSError):
            os.unlink(own)


def _claim_exclusively(target: Path) -> int | None:
    try:
        return os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return None
