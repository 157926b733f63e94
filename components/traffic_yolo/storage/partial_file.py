"""A download that a kill interrupts keeps what came, and the next one goes on from there."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from traffic_yolo.errors import ChecksumError
from traffic_yolo.storage.atomic import atomic_file, storage_error, sync_folder, temporary_prefix


@contextlib.contextmanager
def partial_file(target: Path, identity: bytes) -> Iterator[IO[bytes]]:
    """Opens the part of `target` that came before, at its beginning, for reading and writing on; renamed when complete.

    `identity` names the content that is fetched: the part of another content is never continued, but removed. A block
    that raises keeps what was written for the next attempt, except after `ChecksumError`. Two processes at once do not
    share a part: the second writes a file of its own.
    """
    part = target.with_name(f"{temporary_prefix(target)}{identity.hex()[:24]}.part")
    file = _open_locked(part)
    if file is None:
        with atomic_file(target) as own:
            yield own
        return
    try:
        with file:
            for stale in target.parent.glob(f"{_glob_literal(temporary_prefix(target))}*.part"):
                if stale != part:
                    with contextlib.suppress(OSError):
                        stale.unlink()
            try:
                yield file
            except ChecksumError:
                os.unlink(part)
                raise
            file.flush()
            os.fsync(file.fileno())
            os.chmod(part, 0o644)
            os.replace(part, target)
        sync_folder(target.parent)
    except OSError as error:
        if isinstance(error.errno, int):
            raise storage_error(error, target) from error
        raise


def _open_locked(part: Path) -> IO[bytes] | None:
    """The part, locked; None where another process has it or the file system knows no locks."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    except OSError as error:
        raise storage_error(error, part) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_nlink == 0 or not os.path.samestat(os.fstat(file.fileno()), os.stat(part)):
            raise BlockingIOError  # its owner finished between our open and our lock
    except OSError:
        file.close()
        return None
    return file


def _glob_literal(text: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in text)
