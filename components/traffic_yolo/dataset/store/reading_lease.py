"""Leases of those who read a data set of a store: while one lives, a collection leaves the data set alone.

A lease is a file `.leases/<data set>/<unique>.json` below the store, removed when its process ends and touched every
few minutes until then. One that was not touched for a day is dead, by the file server's clock alone; so is one whose
process ran on this machine and is gone. Any number of readers have one at a time, so it is no lock
(`storage.lease` is).

Why no reader loses its data set. A reader (and a writer that finds a data set there)

    R1 makes its lease,   R2 waits while a collector's mark lies beside it,   R3 looks whether the data set is there.

A collector (`collection`)

    C1 makes its mark, in the same folder,   C2 looks for leases that live and, finding one, removes the mark and goes,
    C3 renames the data set to a private name,   C4 looks for leases again and, finding one, renames it back,
    C5 removes the mark,   C6 deletes what has the private name.

Each writes before it looks. R1 before C2: the collector sees the lease and goes, the data set was never away. R1 after
C2: then C1 came before R2, so the reader sees the mark and waits until C5, and R3 tells the truth: the data set is
gone, or C4 saw the lease and put it back. R3 is never between C3 and C5, so what a reader has seen stays. The deletion,
which may take hours, needs no mark, for nothing reads under a private name. Two collectors: the mark is made
exclusively, so the second passes the data set by. A writer renames into place after its own R1 and R2, so never between
C3 and C5, where a collector may want the name back.

What is killed. A reader: its lease dies by itself. A collector between C1 and C5: its mark stays; whoever waits for it
takes it away when its process is known to be gone, or when it was the same for a minute; the data set has its name, or
the reader makes it again. After C5: the next collection deletes what has the private name. One hole remains: a
collector that is stopped for longer than that minute between its last look at its own mark, right before C3, and C3.
Then C4 puts back what it took, so that a reader may miss a file for a moment, which fails its task aloud.

Over NFS a client may answer from its memory. So each look follows a write into the very folder that is looked at, after
which a client must ask the server: C2, C4 and R2 in the folder of leases, R3 in the store (`is_there`).
"""

import atexit
import contextlib
import errno
import json
import logging
import os
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from traffic_yolo import process_identity
from traffic_yolo.errors import StorageError
from traffic_yolo.messages import one_line
from traffic_yolo.storage import json_value

LEASES_NAME = ".leases"
MARK_NAME = ".collector"
SUFFIX = ".json"
RENEW_S = 300.0
EXPIRY_S = 24 * 3600.0
PATIENCE_S = 60.0  # with a mark that stays the same: C1 to C5 are a handful of operations
POLL_S = 0.2
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)

_log = logging.getLogger(__name__)


def hold(root: Path, name: str) -> None:
    """Holds the data set `name` of the store at `root` for as long as this process lives (R1 and R2).

    Where the store cannot be written, a warning says that a collection does not see this reader. A process that was
    forked off lives on the lease of the one before it. Raises `StorageError` for what else the system refuses.
    """
    with _holder.lock:
        key = (str(root.resolve()), name)
        if key in _holder.held:
            return
        try:
            _holder.held[key] = take(root, name)
        except OSError as error:
            where = root / LEASES_NAME / name
            if error.errno not in READ_ONLY:
                raise StorageError(
                    f"{where}: no lease can be kept here: {error.strerror}; make room, or mend the share"
                ) from error
            _holder.held[key] = None
            _log.warning(
                "%s: no lease can be kept here (%s): `storage gc` does not see that %s is being read",
                where, error.strerror, name[:12],
            )  # fmt: skip
        _holder.start()


def take(root: Path, name: str) -> Path:
    """A new lease, which whoever takes it touches and removes (R1 and R2). Raises `OSError`."""
    leases = root / LEASES_NAME / name
    leases.mkdir(parents=True, exist_ok=True)
    path = leases / f"{uuid.uuid4().hex}{SUFFIX}"
    _write(path)
    _wait_for_collector(leases)
    return path


def is_there(folder: Path) -> bool:
    """Whether a data set is there, asked of the file server (R3)."""
    probe = folder.parent / f".{uuid.uuid4().hex}.tmp"
    with contextlib.suppress(OSError):  # a share that cannot be written is believed
        probe.touch()
        probe.unlink()
    return folder.is_dir()


def server_time_s(root: Path) -> float:
    """The time of the file server of a store, as it dates files. Raises `OSError` where it cannot be written."""
    leases = root / LEASES_NAME
    leases.mkdir(parents=True, exist_ok=True)
    probe = leases / f".{uuid.uuid4().hex}.tmp"
    try:
        probe.touch()
        return probe.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def live_lease(root: Path, name: str, *, now_s: float) -> str:
    """Who has a lease that lives, "" where nobody has. `now_s`: by the server's clock."""
    for path in _leases_in(root / LEASES_NAME / name):
        try:
            touched_s, record = path.stat().st_mtime, _record(path)
        except FileNotFoundError:  # given up meanwhile
            continue
        if now_s - touched_s <= EXPIRY_S and not _is_gone(record):
            return _holder_of(record)
    return ""


def last_use_s(root: Path, name: str) -> float:
    """When a data set was written, or a lease of it was last made, touched or given up; by the server's clock."""
    leases = root / LEASES_NAME / name
    times = [0.0]
    for path in (root / name, leases, *_leases_in(leases)):
        with contextlib.suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times)


def remove_dead_leases(root: Path, name: str, *, now_s: float) -> None:
    """Removes the leases that nobody has any more, of a data set that is gone."""
    for path in _leases_in(root / LEASES_NAME / name):
        with contextlib.suppress(OSError):
            if now_s - path.stat().st_mtime > EXPIRY_S or _is_gone(_record(path)):
                path.unlink()


@dataclass(frozen=True)
class Mark:
    """A collector's mark that this process has made."""

    path: Path
    content: bytes

    @property
    def is_own(self) -> bool:
        """Whether nobody has taken it away."""
        return _mark_in(self.path.parent) == self.content


@contextlib.contextmanager
def marked(root: Path, name: str) -> Iterator[Mark | None]:
    """Keeps new readers of a data set waiting in the block (C1 to C5); None where another collector does."""
    leases = root / LEASES_NAME / name
    leases.mkdir(parents=True, exist_ok=True)
    path = leases / MARK_NAME
    seen = _mark_in(leases)
    if seen is not None and _is_gone(_parsed(seen)):
        path.unlink(missing_ok=True)
    try:
        content = _write(path)
    except FileExistsError:
        yield None
        return
    mark = Mark(path, content)
    try:
        yield mark
    finally:
        if mark.is_own:
            path.unlink(missing_ok=True)


def is_marked(root: Path, name: str) -> bool:
    """Whether a collector is at work on a data set that is not known to be gone."""
    seen = _mark_in(root / LEASES_NAME / name)
    return seen is not None and not _is_gone(_parsed(seen))


class _Holder:
    """The leases of this process: path by store and data set, None where none could be made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: dict[tuple[str, str], Path | None] = {}
        self._process = 0

    def start(self) -> None:
        """Touches the leases from now on, and removes them when this process ends."""
        if self._process != os.getpid():
            self._process = os.getpid()
            atexit.register(self._release, self._process)
            threading.Thread(target=self._renew, name="leases of data sets", daemon=True).start()

    def _renew(self) -> None:
        while True:
            time.sleep(RENEW_S)
            for path in [path for path in list(self.held.values()) if path is not None]:
                renew(path)

    def _release(self, process: int) -> None:
        if process == os.getpid():  # not in one that was forked off: its parent may read on
            for path in self.held.values():
                if path is not None:
                    with contextlib.suppress(OSError):
                        path.unlink()


def renew(path: Path) -> None:
    """Touches a lease; makes it anew where somebody has removed it. A server that is away for a moment is let be."""
    with contextlib.suppress(OSError):
        try:
            os.utime(path)
        except FileNotFoundError:
            _write(path)


_holder = _Holder()


def _write(path: Path) -> bytes:
    """Makes a file that says who this process is; `FileExistsError` where one is there."""
    record = {
        **process_identity.identity(),
        "task": _task(),
        "since": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),  # for people; nothing is decided by it
        "id": uuid.uuid4().hex,
    }
    content = json.dumps(record).encode()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        os.write(descriptor, content)
    except OSError:  # a full disk: a lease without a holder would live for a day
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return content


def _task() -> str:
    """The step that this process is, where kfp or our command line started it."""
    words = sys.argv
    if "--function_to_execute" in words[:-1]:
        return words[words.index("--function_to_execute") + 1]
    return words[1] if len(words) > 1 and words[1].replace("-", "").isalpha() else ""


def _wait_for_collector(leases: Path) -> None:
    watched: bytes | None = None
    since = time.monotonic()
    while (seen := _mark_in(leases)) is not None:
        if seen != watched:
            watched, since = seen, time.monotonic()
        if _is_gone(_parsed(seen)) or time.monotonic() - since >= PATIENCE_S:
            (leases / MARK_NAME).unlink(missing_ok=True)
            return
        time.sleep(POLL_S)


def _leases_in(leases: Path) -> list[Path]:
    try:
        return [leases / name for name in sorted(os.listdir(leases)) if name.endswith(SUFFIX)]
    except FileNotFoundError:
        return []


def _mark_in(leases: Path) -> bytes | None:
    try:
        return (leases / MARK_NAME).read_bytes()
    except FileNotFoundError:
        return None


def _record(path: Path) -> Any:
    return _parsed(path.read_bytes())


def _parsed(content: bytes) -> Any:
    try:
        return json_value(content)
    except ValueError:
        return None  # being written, or foreign: only time can tell


def _is_gone(record: Any) -> bool:
    try:
        return process_identity.is_gone(record)
    except (KeyError, TypeError, ValueError):
        return False


def _holder_of(record: Any) -> str:
    if not isinstance(record, dict):
        return "a reader without a name"
    host, process, task, since = (one_line(str(record.get(key, "")))[:80] for key in ("host", "pid", "task", "since"))
    return f"{host} (process {process}{f', {task}' if task else ''}, since {since})"
