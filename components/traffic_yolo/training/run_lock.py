"""One training at a time in a run folder: a lock file inside it that a process holds, and says so.

flock decides between processes of one machine, and over NFS 4 and NFS 3 with a lock daemon; the kernel lets go when the
holder ends, however it ends. Mounts with `nolock` or `local_lock` keep flock on one machine without a word, and some
file systems have none. So the holder also writes a rising number into the file, and a record that names a process
elsewhere is watched for a while: one that moves is alive, one that stands still is dead and is taken over.
"""

import contextlib
import errno
import fcntl
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from traffic_yolo import process_identity
from traffic_yolo.errors import StorageError, TrainingError
from traffic_yolo.storage import json_value

log = logging.getLogger(__name__)

LOCK_NAME = "run.lock"
BEAT_S = 5.0  # between two numbers of a holder
WATCHED_BEATS = 3  # a record that does not move for so long is of a dead process; as many as a lease's expiry allows
RECORD_BYTES = 512  # one write of one block: a reader sees the old record or the new one
_NO_FLOCK = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}
_held: set[int] = set()


def _let_go_in_child() -> None:
    """A forked worker shares the parent's lock, and would keep it for as long as it outlives a killed parent."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


@contextlib.contextmanager
def run_lock(folder: Path, *, beat_s: float = BEAT_S) -> Iterator[None]:
    """Holds the lock of a run folder in the block; makes the folder where it is missing.

    Does not wait: `TrainingError` names the process and host of who holds it. After a holder elsewhere that ended
    without a word, takes up to `WATCHED_BEATS * beat_s` seconds. The lock file is taken away in the end, and so is the
    folder where it was made here and stayed empty. Raises `StorageError` where the folder cannot be written.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _acquire(folder, beat_s)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{folder}: cannot be locked for a training: {error.strerror}") from error
    heart = _Heart(descriptor, beat_s)
    try:
        yield
    finally:
        heart.stop()
        with contextlib.suppress(OSError):
            (folder / LOCK_NAME).unlink()
        _held.discard(descriptor)
        os.close(descriptor)
        if made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def is_unused(folder: Path) -> bool:
    """Whether nothing lies in a folder but the lock."""
    return not folder.exists() or all(path.name == LOCK_NAME for path in folder.iterdir())


def _acquire(folder: Path, beat_s: float) -> int:
    """An open descriptor of the lock file that this process holds."""
    path = folder / LOCK_NAME
    while True:
        descriptor, is_new = _open(path)
        try:
            has_flock = _flock(descriptor, folder)
            if not _is_still(path, descriptor):  # its holder took it away between our opening and locking it
                os.close(descriptor)
                continue
            if not is_new:
                _check_record(descriptor, folder, has_flock=has_flock, beat_s=beat_s)
        except BaseException:
            os.close(descriptor)
            raise
        _held.add(descriptor)
        return descriptor


def _open(path: Path) -> tuple[int, bool]:
    """The lock file, and whether this process alone has made it."""
    flags = os.O_RDWR | os.O_CLOEXEC
    while True:
        try:
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644), True
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                return os.open(path, flags), False


def _flock(descriptor: int, folder: Path) -> bool:
    """Locks the file; False where the file system has no such locks. `TrainingError` where another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _taken(folder, _record(descriptor)) from None
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
        log.warning("%s: no file locks here (%s); only records tell trainings apart", folder, error.strerror)
        return False
    return True


def _is_still(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _check_record(descriptor: int, folder: Path, *, has_flock: bool, beat_s: float) -> None:
    """Raises `TrainingError` where what the file says is of a process that lives."""
    record = _record(descriptor)
    if _is_here(record):
        if has_flock or process_identity.is_gone(record):
            return  # on one machine flock is the truth
        raise _taken(folder, record)
    log.info("%s: waiting to see whether %s lives", folder, _holder(record))
    until = time.monotonic() + WATCHED_BEATS * beat_s
    while time.monotonic() < until:
        time.sleep(beat_s / 10)
        later = _record(descriptor, reopened=folder / LOCK_NAME)
        if later != record:
            raise _taken(folder, later or record)


def _record(descriptor: int, *, reopened: Path | None = None) -> dict[str, Any]:
    """What the file says of its holder, empty where it says nothing yet. NFS asks the server when a file is opened."""
    try:
        data = reopened.read_bytes() if reopened else os.pread(descriptor, RECORD_BYTES, 0)
        found = json_value(data)
        complete = isinstance(found, dict) and {"machine", "host", "pid", "started"} <= set(found)
        return found if complete and isinstance(found["pid"], int) else {}
    except (OSError, ValueError):
        return {}


def _is_here(record: Mapping[str, Any]) -> bool:
    return bool(record) and process_identity.is_here(record)


def _holder(record: Mapping[str, Any]) -> str:
    return f"process {record['pid']} on {record['host']}" if record else "a process that has not said its name"


def _taken(folder: Path, record: Mapping[str, Any]) -> TrainingError:
    since = f", since {record['since']}" if record.get("since") else ""
    return TrainingError(
        f"{folder}: {_holder(record)} trains here{since}; wait for it, stop it, or choose another folder with --out"
    )


class _Heart:
    """Writes the holder's record now, and again every `beat_s` seconds with a higher number, until `stop`."""

    def __init__(self, descriptor: int, beat_s: float) -> None:
        self._descriptor, self._beat_s, self._beat = descriptor, beat_s, 0
        since = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        self._said = {**process_identity.identity(), "since": since}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="run lock", daemon=True)
        self._write()
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._beat_s):
            self._write()

    def _write(self) -> None:
        self._beat += 1
        record = json.dumps({**self._said, "beat": self._beat})
        with contextlib.suppress(OSError):  # a full disk or a server that is away: flock still holds, and beats come
            os.pwrite(self._descriptor, record.ljust(RECORD_BYTES - 1).encode() + b"\n", 0)
            os.fsync(self._descriptor)
