"""Files on this machine or a mounted share: writes that never leave half a file, JSON, checksums.

A write goes to a temporary neighbour, is flushed to the disk, and is renamed into place; a fault (a
full disk, a kill) leaves the old file or none.
"""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from traffic_yolo.errors import StorageError
from traffic_yolo.storage.locations import AnyPath, local_path, output_path

CHUNK_BYTES = 1 << 20


@contextlib.contextmanager
def atomic_file(path: AnyPath, mode: str = "wb") -> Iterator[IO[Any]]:
    """Opens a temporary neighbour of `path` for writing and renames it into place when the block ends well.

    The parent folder is made. When the block raises, `path` is untouched and the temporary file is gone. Text is
    UTF-8 with line feeds. Raises `StorageError` for what the system refuses (full disk, no permission).
    """
    path = output_path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=temporary_prefix(path), suffix=".tmp", dir=path.parent)
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
        with os.fdopen(descriptor, mode, **text) as file:  # type: ignore[call-overload]
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes 0600: other users of the NAS could not read it
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except (StorageError, ConnectionError, TimeoutError):
        raise  # the block's own: a fault of where the bytes come from is none of this file's
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def write_bytes(path: AnyPath, data: bytes) -> None:
    """Writes `data` to `path` atomically."""
    with atomic_file(path) as file:
        file.write(data)


def write_text(path: AnyPath, text: str) -> None:
    """Writes `text` to `path` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_json(path: AnyPath, value: Any) -> None:
    """Writes `value` as indented JSON, atomically; NaN and infinity are refused with `ValueError` (JSON has none)."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def sha256_of_file(path: AnyPath) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in chunks of 1 MiB."""
    path, digest = local_path(path), hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        raise storage_error(error, path) from error
    return digest.hexdigest()


def temporary_prefix(path: Path) -> str:
    """How the name of a temporary neighbour begins: with a dot, so that listings leave it out; cut to fit 255 bytes."""
    return f".{path.name[:56]}."


def sync_folder(folder: Path) -> None:
    """Makes a rename inside `folder` survive a power cut; file systems that cannot (some NFS) are left as they are."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def storage_error(error: OSError, path: Path, *, what: str = "file") -> StorageError:
    """What the system refused, as one line that names the place and what to do."""
    advice = {
        errno.ENOSPC: "the disk is full; free some space and run again (nothing was left half-written)",
        errno.EDQUOT: "the disk quota is used up; free some space and run again (nothing was left half-written)",
        errno.EFBIG: "a file may not be so large here (ulimit -f, or the file system); nothing was left half-written",
        errno.EACCES: "permission denied",
        errno.EROFS: "the file system is read-only",
        errno.ENOENT: f"{what} not found",
    }.get(error.errno or 0, error.strerror or str(error))
    named = isinstance(error.filename, str) and error.errno != errno.ENOSPC and not error.filename.endswith(".tmp")
    where = error.filename if named else path  # a temporary name tells nobody anything
    return StorageError(f"{where}: {advice}")
