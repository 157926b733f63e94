"""Checksums of a data set's files and the fingerprint made of them."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any


def file_entry(path: str, data: bytes) -> dict[str, Any]:
    """The manifest's entry of one file: path below the data set, size in bytes, SHA-256."""
    return {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def content_fingerprint(files: Sequence[Mapping[str, Any]]) -> str:
    """One hash of paths and contents, the same wherever the folder lies, whenever it was made and in any order."""
    digest = hashlib.sha256()
    for entry in sorted(files, key=lambda entry: str(entry["path"])):
        digest.update(f"{entry['path']}\0{entry['sha256']}\n".encode())
    return digest.hexdigest()
