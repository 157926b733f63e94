"""Checksums of weights of which the world knows no SHA-256: the one they had at first, or a SHA-1 that someone pins."""

import hashlib
import re
from pathlib import Path

from traffic_yolo.errors import ChecksumError
from traffic_yolo.storage import AnyPath, exists, read, write_text

_LINE = re.compile(r"([0-9a-f]{64})  \S+")


def pin_of(weights: AnyPath) -> str:
    """The location of the pin of a weights file: beside it, as `sha256sum` writes and reads it."""
    return f"{weights}.sha256"


def pinned_sha256(weights: AnyPath) -> str:
    """The SHA-256 that the file had at first, "" where there is no pin; `ChecksumError` for a pin that is none."""
    place = pin_of(weights)
    if not exists(place):
        return ""
    found = _LINE.fullmatch(read(place).decode(errors="replace").strip())
    if found is None:
        raise ChecksumError(f"{place}: expected a SHA-256 and a file's name, as sha256sum writes them; remove the file")
    return found[1]


def write_pin(weights: Path, sha256: str) -> str:
    """Writes the pin of a file that just came; its location."""
    write_text(pin_of(weights), f"{sha256}  {weights.name}\n")
    return pin_of(weights)


def check_sha1(path: Path, sha1: str) -> None:
    """Raises `ChecksumError` where a SHA-1 is known and the file has another one."""
    if not sha1:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha1").hexdigest()
    if found != sha1:
        raise ChecksumError(f"{path}: expected SHA-1 {sha1}, found {found}; it is not the published file")
