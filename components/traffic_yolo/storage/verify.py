"""Holds one file or object to its checksum."""

import errno
import hashlib

from traffic_yolo.errors import ChangedMeanwhileError, ChecksumError, NotFoundError
from traffic_yolo.storage.locations import AnyPath, location_text, shown
from traffic_yolo.storage.open_place import open_place
from traffic_yolo.storage.places import Place, StoredFile
from traffic_yolo.storage.retry import retried, share_fault_of


def verify(location: AnyPath, *, sha256: str = "") -> StoredFile:
    """Reads one file or object wholly and compares; the answer has the SHA-256 that was found.

    Without `sha256`, an object is held to the one that was stored with it; where none is known, the content was at
    least readable to the end. Raises `ChecksumError` with both values, `NotFoundError`, `StorageError`.
    """
    location = location_text(location)
    place = open_place(location)
    stored = place.stat()
    if stored is None:
        raise NotFoundError(f"{shown(location)}: not found")
    found = retried(lambda: _sha256_of(place), shown(location), share_fault_of(None))
    after = place.stat()
    if after is None:
        raise ChangedMeanwhileError(
            f"{shown(location)}: vanished while it was read; verify it again"
        ) from FileNotFoundError(errno.ENOENT, "not found")
    if after.identity != stored.identity:
        raise ChangedMeanwhileError(f"{shown(location)}: changed while it was read; verify it again")
    expected = sha256 or stored.sha256
    if expected and found != expected:
        raise ChecksumError(f"{shown(location)}: expected SHA-256 {expected}, found {found}")
    return stored._replace(sha256=found)


def _sha256_of(place: Place) -> str:
    digest = hashlib.sha256()
    for chunk in place.stream():
        digest.update(chunk)
    return digest.hexdigest()
