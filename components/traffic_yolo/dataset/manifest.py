"""The manifest of a data set: its name, checksums of the files, and the fingerprint made of them."""

import hashlib
from pathlib import Path

from traffic_yolo.dataset.frame_spool import FileEntry
from traffic_yolo.storage import sha256_of_file

MANIFEST_NAME = "manifest.json"
CLASSES_NAME = "classes.yaml"


def file_entry(path: Path) -> FileEntry:
    """Size and SHA-256 of a file; `StorageError` where it cannot be read."""
    return FileEntry(path.stat().st_size, sha256_of_file(path))


class Fingerprint:
    """One hash of paths and contents, the same wherever the folder lies, whenever it was made, and in any order.

    The files' own hashes are added up (modulo 2 ** 256), so that they need not be sorted, nor be in memory.
    """

    def __init__(self) -> None:
        self._sum = 0

    def add(self, path: str, sha256: str) -> None:
        """Counts one file: its path below the data set, its SHA-256 in hexadecimal."""
        digest = hashlib.sha256(f"{path}\0{sha256}\n".encode()).digest()
        self._sum = (self._sum + int.from_bytes(digest, "big")) % 2**256

    @property
    def hexdigest(self) -> str:
        """The fingerprint so far."""
        return f"{self._sum:064x}"
