"""What every kind of storage can do, and the values that it answers with.

A `Place` is one location: a file or a folder, an object or a prefix. `storage/local.py` and `storage/s3.py` are its two
members; `storage/operations.py` chooses between them by scheme.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

IDENTITY_BYTES = 32


class StoredFile(NamedTuple):
    """One file or object.

    `name` is relative to what was listed, with '/'; of a single file, its last part. `modified_ns`: nanoseconds since
    1970. `identity`: 32 bytes that differ when the content may differ (path: size, mtime, ctime, inode; S3: size, ETag,
    time). `sha256`: hexadecimal, where it is known without reading the content; else empty.
    """

    name: str
    size: int
    modified_ns: int
    identity: bytes
    sha256: str = ""


class Skipped(NamedTuple):
    """Something that was left out, and why. `name` has escapes for what cannot be printed."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What lies below a location, by name. Names that begin with a dot are left out without a line."""

    files: list[StoredFile]
    skipped: list[Skipped]


class Place(Protocol):
    """One location. Every method raises `StorageError`, in one line, for what it cannot do."""

    def stat(self) -> StoredFile | None:
        """The file or object here; None where there is none (a folder is none)."""
        ...

    def exists(self) -> bool:
        """Whether a file, an object, or anything below is here."""
        ...

    def copy_path(self) -> Path | None:
        """Where the local cache keeps its copy; None for what lies on this machine or a mounted share."""
        ...

    def list_files(self, *, was_there: bool = False) -> Listing:
        """Everything below; the file itself where this is one. Empty where nothing is.

        `was_there`: the caller saw something here a moment ago, so that nothing at all is an error, not a listing
        without files; a folder that is away (its share comes and goes) is waited for before.
        """
        ...

    def stream(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The content in chunks; `NotFoundError` where there is none. Nothing at or after the end."""
        ...

    def fetch(self, target: Path, sha256: str) -> StoredFile:
        """Copies the content to `target`, which appears whole and checked or not at all."""
        ...

    def put(self, source: bytes | Path) -> StoredFile:
        """Makes `source` the content; readers see the old one or the new one. The answer has its sha256."""
        ...

    def remove(self) -> None:
        """Removes the file or object; nothing to do where there is none."""
        ...

    def put_new(self, data: bytes) -> StoredFile:
        """As `put`, but `AlreadyExistsError` where something is: of two writers exactly one succeeds."""
        ...

    def put_if_unchanged(self, data: bytes, before: StoredFile | None) -> None:
        """As `put`, but `ChangedMeanwhileError` where what is here is not `before`, an answer of `stat`; None: nothing.

        On S3, of two writers that saw the same exactly one succeeds; on a path, their own lock must keep them apart.
        """
        ...
