"""Remembers the SHA-256 of files by name and identity, so that an unchanged share is checked at listing speed.

It never answers with a wrong hash. A write that follows our reading within one tick of the file system's clock leaves
size, mtime, ctime and inode as they were; so a hash is kept only when the reading began at least a tick after the same
identity had been seen. That compares our clock with itself alone: the share's clock may be wrong by any amount.
"""

import hashlib
import json
import logging
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from traffic_yolo.storage.documents import json_value
from traffic_yolo.storage.places import IDENTITY_BYTES, StoredFile

FORMAT = "traffic-yolo hashes"
VERSION = 1
UNKNOWN = bytes(32)
FINE_TICK_NS = 100_000_000  # ten times the slowest tick of Linux (HZ=100)
COARSE_TICK_NS = 2_000_000_000  # FAT, and file systems that keep whole seconds
_RECORD = struct.Struct("<32s32sq")
_CTIME = struct.Struct("<q")
_SUM_BYTES = 32
_NOTHING: "CachedHash" = (b"", UNKNOWN, 0)

_log = logging.getLogger(__name__)


# What is known of one file: its identity, its SHA-256 (or `UNKNOWN`), and when this identity was first seen (ns since
# 1970). A plain tuple: a hundred thousand of them are made at every start.
CachedHash = tuple[bytes, bytes, int]


class HashCache:
    """Name -> what is known of the file; `extra` is JSON of the owner's own."""

    def __init__(self, entries: Mapping[str, CachedHash] | None = None, extra: Any = None) -> None:
        self.entries: dict[str, CachedHash] = dict(entries or {})
        self.extra = extra

    def digest_of(self, file: StoredFile) -> bytes | None:
        """The SHA-256 of a file as it was listed; None where it is not known for certain."""
        identity, digest, _ = self.entries.get(file.name, _NOTHING)
        return digest if identity == file.identity and digest != UNKNOWN else None

    def seen_ns(self, file: StoredFile, now_ns: int) -> int:
        """When this very identity was first seen: `now_ns`, or an earlier run's time."""
        identity, _, seen_ns = self.entries.get(file.name, _NOTHING)
        return min(seen_ns, now_ns) if identity == file.identity else now_ns

    def dump(self) -> bytes:
        """The cache as bytes, with a checksum over them at the end."""
        extra = json.dumps(self.extra, separators=(",", ":")).encode()
        names = "\0".join(self.entries).encode()
        header = {"format": FORMAT, "version": VERSION, "count": len(self.entries)}
        header |= {"extra_bytes": len(extra), "names_bytes": len(names)}
        records = b"".join([_RECORD.pack(*entry) for entry in self.entries.values()])
        data = b"".join((json.dumps(header).encode(), b"\n", extra, names, records))
        return data + hashlib.sha256(data).digest()

    @classmethod
    def load(cls, data: bytes, *, where: str) -> "HashCache":
        """What `dump` made; an empty cache, with a warning, for anything else: it costs time, never truth."""
        try:
            return cls._load(data)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            _log.warning("%s: not a cache of hashes that can be used (%s); every file is read again", where, error)
            return cls()

    @classmethod
    def _load(cls, data: bytes) -> "HashCache":
        body = memoryview(data)[:-_SUM_BYTES]
        if hashlib.sha256(body).digest() != data[-_SUM_BYTES:]:
            raise ValueError("its checksum is wrong")
        header_end = data.index(b"\n")
        header = json_value(data[:header_end])
        if header["format"] != FORMAT or header["version"] != VERSION:
            raise ValueError(f"expected version {VERSION}")
        extra_end = header_end + 1 + header["extra_bytes"]
        names_end = extra_end + header["names_bytes"]
        names = str(body[extra_end:names_end], "utf-8").split("\0") if header["count"] else []
        entries: dict[str, CachedHash] = dict(zip(names, _RECORD.iter_unpack(body[names_end:]), strict=True))
        if len(entries) != header["count"]:
            raise ValueError("names and hashes do not fit")
        return cls(entries, json_value(data[header_end + 1 : extra_end]))


def tick_ns(identity: bytes) -> int:
    """How far apart two writes must be to get different times, judged by a file's ctime (third field of `identity`).

    Nobody but the system sets a ctime, so digits below the second show that the file system keeps them.
    """
    return COARSE_TICK_NS if ctime_ns(identity) % 1_000_000_000 == 0 else FINE_TICK_NS


def ctime_ns(identity: bytes) -> int:
    """When a file on this machine or a mounted share came, or was last changed, by the share's own clock."""
    (found,) = _CTIME.unpack_from(identity, 16)
    return int(found)


def entry_of(file: StoredFile, digest: bytes, *, seen_ns: int, read_ns: int, immutable: bool) -> CachedHash:
    """What to remember of a file whose reading began at `read_ns` and whose identity was the same before and after.

    `immutable`: the identity names the content itself (an ETag), so that there is nothing to wait for.
    """
    certain = immutable or read_ns - seen_ns >= tick_ns(file.identity)
    return (file.identity, digest if certain else UNKNOWN, seen_ns)


def seconds_to_wait(files: Iterable[StoredFile], seen_ns: int, now_ns: int) -> float:
    """How long to wait before reading files just seen, so that their hashes can be kept; 0 where it would be long."""
    if not any(tick_ns(file.identity) == FINE_TICK_NS for file in files):
        return 0.0
    return max(0, seen_ns + FINE_TICK_NS - now_ns) / 1e9


assert _CTIME.size * 4 == IDENTITY_BYTES
