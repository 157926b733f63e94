"""The manifest of a data set: its name, checksums of the files, and the fingerprint made of them."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.frame_spool import FileEntry
from traffic_yolo.messages import shown
from traffic_yolo.storage import sha256_of_file
from traffic_yolo.typed_values import why_other

MANIFEST_NAME = "manifest.json"
CLASSES_NAME = "classes.yaml"


def why_no_manifest(content: Any) -> str:
    """What keeps a JSON value from being a manifest, in words; "" for one. Its schema version is not looked at."""
    if not isinstance(content, dict):
        return f"expected an object; found {shown(content)}"
    for key, hint in {"fingerprint": str, "counts": dict[str, dict[str, Any]], "labels_only": bool}.items():
        if (key in content or key == "fingerprint") and (reason := why_other(content.get(key), hint)):
            return f"{key}{reason}"
    for split, counts in content.get("counts", {}).items():
        if reason := why_other(counts.get("images"), int):
            return f"counts.{split}.images{reason}"
    files = content.get("files", [])
    if not isinstance(files, list) or set(map(type, files)) - {dict}:
        return f"files: expected a list of objects; found {shown(files)}"
    # A million of them: the types of each key together
    for key, kind in {"path": str, "size": int, "sha256": str}.items():
        if set(map(type, [entry.get(key) for entry in files])) - {kind}:
            return f"files: expected path, size and sha256 of each; found {shown(_odd(files, key, kind))}"
    return ""


def _odd(files: Sequence[Mapping[str, Any]], key: str, kind: type) -> Mapping[str, Any]:
    return next(entry for entry in files if type(entry.get(key)) is not kind)


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
