"""One function each for list, read, fetch, put and verify, the same for every scheme.

A location is a plain path, `file:///path`, `nas://share/path` or `s3://bucket/key` (`locations.py`).
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from traffic_yolo.errors import ChecksumError, NotFoundError, StorageError
from traffic_yolo.storage.atomic import sha256_of_file, write_json
from traffic_yolo.storage.documents import read_json
from traffic_yolo.storage.locations import AnyPath, local_path, location_text, output_path, shown
from traffic_yolo.storage.open_place import open_place
from traffic_yolo.storage.places import Listing, Place, StoredFile
from traffic_yolo.storage.retry import retried, share_fault_of
from traffic_yolo.storage.verify import verify


def list_files(location: AnyPath, *, was_there: bool = False) -> Listing:
    """Everything below a location, sorted by name; the file itself where it is one. Empty where nothing is.

    `was_there`: `exists` or the like just said that something is; nothing at all is an error then, for a share that
    goes between two looks must not pass for an empty one. A folder that is away is waited for before.
    Names that begin with a dot are left out. `skipped` names what cannot be used: links that lead out or to folders,
    names that are not safe or not UTF-8, devices. Raises `StorageError` where the place cannot be read.
    """
    return open_place(location).list_files(was_there=was_there)


def stat(location: AnyPath) -> StoredFile | None:
    """The file or object at a location; None where there is none."""
    return open_place(location).stat()


def exists(location: AnyPath) -> bool:
    """Whether a file or object lies at a location, or anything below it."""
    return open_place(location).exists()


def read(location: AnyPath, *, offset: int = 0, length: int | None = None) -> bytes:
    """The content, or `length` bytes of it from `offset`; fewer where it ends before.

    A whole object is checked against the SHA-256 that `put` stored with it, and read again where it is wrong. Raises
    `NotFoundError` where there is none, `ChecksumError`, `StorageError`.
    """
    location = location_text(location)
    place = open_place(location)
    if offset or length is not None or place.copy_path() is None:
        return retried(lambda: b"".join(place.stream(offset, length)), shown(location), share_fault_of(None))
    with tempfile.TemporaryDirectory(prefix="traffic-yolo-") as folder:
        target = Path(folder) / "object"
        place.fetch(target, "")
        return target.read_bytes()


def stream(location: AnyPath, *, offset: int = 0) -> Iterator[bytes]:
    """The content in chunks of at most 1 MiB, from `offset`; memory stays flat. Not checked: see `read` and `fetch`."""
    return open_place(location).stream(offset)


def fetch(location: AnyPath, *, to: AnyPath | None = None, sha256: str = "") -> Path:
    """A file on this machine with the content of one file or object.

    Without `to`, what lies on this machine or a mounted share stays where it is, and an object goes to the local cache
    (`TRAFFIC_YOLO_CACHE`), where it stays until the object changes. The content is checked against `sha256`, and
    against the one that was stored with the object; `ChecksumError` where it keeps being wrong.
    """
    location = location_text(location)
    place = open_place(location)
    if to is not None:
        target = output_path(to)
        place.fetch(target, sha256)
        return target
    copy = place.copy_path()
    if copy is not None:
        return _cached(location, place, copy, sha256)
    path = local_path(location)
    if place.stat() is None:
        raise NotFoundError(f"{shown(str(path))}: file not found")
    if sha256:
        verify(location, sha256=sha256)
    return path


def put(location: AnyPath, source: bytes | AnyPath) -> StoredFile:
    """Writes bytes, or the content of a file on this machine, to a location; the answer has the SHA-256.

    Readers see the old content or the new one, never a half: by rename on a file system, by the server's own rule on
    S3. An object gets its SHA-256 as user metadata.
    """
    return open_place(location).put(source if isinstance(source, bytes) else local_path(source))


def put_new(location: AnyPath, data: bytes) -> StoredFile:
    """Writes bytes to a location where nothing is; `AlreadyExistsError` otherwise. Of two writers exactly one succeeds.

    On S3 the server must know `If-None-Match: *` for uploads (docs/storage.md says which do).
    """
    return open_place(location).put_new(data)


def put_if_unchanged(location: AnyPath, data: bytes, before: StoredFile | None) -> None:
    """As `put`, where what lies there is still `before`, an answer of `stat`; `ChangedMeanwhileError` otherwise.

    None stands for nothing. On S3, of two writers that saw the same exactly one succeeds, by `If-Match`; on a path only
    those that keep each other away by a lock.
    """
    open_place(location).put_if_unchanged(data, before)


def remove(location: AnyPath) -> None:
    """Removes one file or object; nothing to do where there is none."""
    open_place(location).remove()


def _cached(location: str, place: Place, target: Path, sha256: str) -> Path:
    """The copy of an object in the local cache; fetched again when either of the two has changed."""
    note = target.with_name(f".{hashlib.sha256(target.name.encode()).hexdigest()[:24]}.fetched.json")
    now = place.stat()
    if now is None:
        raise NotFoundError(f"{shown(location)}: object not found")
    if note.is_file() and target.is_file():
        kept = read_json(note, what="note of a fetched file")
        if kept.get("identity") == now.identity.hex() and sha256_of_file(target) == kept.get("sha256"):
            if sha256 and kept["sha256"] != sha256:
                raise ChecksumError(f"{shown(location)}: expected SHA-256 {sha256}, found {kept['sha256']}")
            return target
    fetched = place.fetch(target, sha256)
    write_json(note, {"identity": fetched.identity.hex(), "sha256": fetched.sha256})
    return target


def check_writable(location: AnyPath) -> None:
    """Raises `StorageError` where a folder could not be made or written; makes and writes nothing.

    A disk that is full, or a server that says no only when it is asked to write, is not noticed.
    """
    path = output_path(location)
    nearest = path.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise StorageError(f"{shown(str(path))}: cannot be written: {shown(str(nearest))} is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StorageError(f"{shown(str(path))}: cannot be written: {shown(str(nearest))} may not be written to")
