"""Darknet's .weights files: a small header, then nothing but float32 values in the order of the layers.

Which value belongs to which layer is the network's business; this file knows the header and the byte count.
"""

import os
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import DarknetFormatError, StorageError
from traffic_yolo.storage import AnyPath, atomic_file, input_path, output_path

Float32Array = NDArray[np.float32]

# A part of a file that is checked at once: it stays in the processor's cache.
_CHUNK_VALUES = 1 << 18

# Published files have 0.1, 0.2 and (long ago) numbers above 1000; more than this is another kind of file.
_LARGEST_VERSION = 9999


@dataclass(frozen=True)
class WeightsHeader:
    """The first 16 or 20 bytes: Darknet's version and `seen`, the number of pictures trained on."""

    major: int = 0
    minor: int = 2
    revision: int = 5
    seen: int = 0

    def __post_init__(self) -> None:
        if not all(0 <= number <= _LARGEST_VERSION for number in (self.major, self.minor, self.revision)):
            version = f"{self.major}.{self.minor}.{self.revision}"
            raise DarknetFormatError(f"weights header: expected a Darknet version such as 0.2.5, found {version}")
        if not 0 <= self.seen < 1 << (64 if self._is_wide else 32):
            raise DarknetFormatError(f"weights header: seen={self.seen} does not fit version {self.major}.{self.minor}")

    @property
    def _is_wide(self) -> bool:
        return self.major * 10 + self.minor >= 2  # parser.c load_weights_upto

    @property
    def is_transposed(self) -> bool:
        """Whether fully connected layers were written transposed, as before 2014."""
        return self.major > 1000 or self.minor > 1000

    @property
    def size_bytes(self) -> int:
        """20 from version 0.2 on (`seen` has 8 bytes), 16 before."""
        return 20 if self._is_wide else 16

    def to_bytes(self) -> bytes:
        """The header as it stands in the file (little-endian)."""
        return struct.pack("<iiiQ" if self._is_wide else "<iiiI", self.major, self.minor, self.revision, self.seen)


@dataclass(frozen=True)
class WeightsFile:
    """What a .weights file holds: the header and every value after it, (N,) float32, read-only, mapped from disk."""

    header: WeightsHeader
    values: Float32Array
    path: Path

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        return self.header.size_bytes + 4 * len(self.values)

    def first_not_finite(self, count: int) -> int | None:
        """The index of the first NaN or infinity among the first `count` values, None where all are numbers.

        Reads the file in small parts rather than mapping it: mapped pages would count as this process's memory.
        """
        chunk = np.empty(min(_CHUNK_VALUES, count), np.float32)
        with _opened(self) as file:
            for start in range(0, count, _CHUNK_VALUES):
                part = chunk[: min(_CHUNK_VALUES, count - start)]
                _fill(part, file, self)
                if not all_finite(part):
                    return start + int(np.argmin(np.isfinite(part)))
        return None

    def read_into(self, arrays: Iterable[Float32Array]) -> None:
        """Fills the arrays in place with the file's first values, one array after the other, with a single copy.

        They must be C-contiguous float32. Raises `DarknetFormatError` when the file has become shorter meanwhile.
        """
        with _opened(self) as file:
            for array in arrays:
                _fill(array, file, self)


def read_weights(path: AnyPath) -> WeightsFile:
    """Opens a .weights file without reading its values yet.

    Raises `StorageError` where the file cannot be read, `DarknetFormatError` where it has no Darknet header or its size
    is not a whole number of float32 values.
    """
    path = input_path(path, what="weights")
    try:
        size = os.path.getsize(path)
        with path.open("rb") as file:
            head = file.read(20)
    except OSError as error:
        raise StorageError(f"weights cannot be read: {path}: {error.strerror}") from error
    if len(head) < 16:
        raise DarknetFormatError(f"{path}: expected Darknet weights of at least 16 bytes, found {size} bytes")
    header = _read_header(path, head)
    if size < header.size_bytes or (size - header.size_bytes) % 4:
        raise DarknetFormatError(
            f"{path}: expected {header.size_bytes} header bytes and 4 bytes a value, found {size} bytes in all;"
            " the file is cut short or no Darknet weights"
        )
    count = (size - header.size_bytes) // 4
    if count == 0:
        return WeightsFile(header, np.zeros(0, np.float32), path)
    values = np.memmap(path, dtype="<f4", mode="r", offset=header.size_bytes, shape=(count,))
    return WeightsFile(header, values, path)


def all_finite(array: Float32Array) -> bool:
    """Whether an array (any shape, C-contiguous) holds neither NaN nor infinity; makes no temporary of its size."""
    values = array.reshape(-1)
    for start in range(0, len(values), _CHUNK_VALUES):
        part = values[start : start + _CHUNK_VALUES]
        with np.errstate(over="ignore", invalid="ignore"):
            square = np.dot(part, part)
        # A sum of squares is finite only where all values are; where it overflowed, they must be looked at.
        if not np.isfinite(square) and not np.isfinite(part).all():
            return False
    return True


def _opened(weights: WeightsFile) -> IO[bytes]:
    """The file, at its first value; unbuffered, since every read is large or rare."""
    try:
        file = weights.path.open("rb", buffering=0)
    except OSError as error:
        raise StorageError(f"weights cannot be read: {weights.path}: {error.strerror}") from error
    file.seek(weights.header.size_bytes)
    return file


def _fill(array: Float32Array, file: IO[bytes], weights: WeightsFile) -> None:
    rest = array.reshape(-1).view(np.uint8).data
    while len(rest):
        try:
            count = file.readinto(rest)  # type: ignore[attr-defined]
        except OSError as error:
            raise StorageError(f"weights cannot be read: {weights.path}: {error.strerror}") from error
        if not count:
            raise DarknetFormatError(f"{weights.path}: the file became shorter while it was read; is it being written?")
        rest = rest[count:]
    if sys.byteorder == "big":
        array.byteswap(inplace=True)


def _read_header(path: Path, head: bytes) -> WeightsHeader:
    major, minor, revision = struct.unpack_from("<iii", head)
    advice = "; is it a PyTorch checkpoint?" if head.startswith(b"PK") else ""
    if not all(0 <= number <= _LARGEST_VERSION for number in (major, minor, revision)):
        found = f"{major}.{minor}.{revision}"
        raise DarknetFormatError(f"{path}: expected the header of Darknet weights, found version {found}{advice}")
    if major * 10 + minor < 2:
        return WeightsHeader(major, minor, revision, *struct.unpack_from("<I", head, 12))
    if len(head) < 20:
        raise DarknetFormatError(f"{path}: expected a header of 20 bytes, found a file of {len(head)} bytes")
    return WeightsHeader(major, minor, revision, *struct.unpack_from("<Q", head, 12))


def write_weights(path: AnyPath, header: WeightsHeader, arrays: Iterable[Float32Array]) -> None:
    """Writes header and arrays (any shape, in the file's order) atomically; raises `StorageError` where it cannot."""
    with atomic_file(output_path(path)) as file:
        file.write(header.to_bytes())
        for array in arrays:
            file.write(np.ascontiguousarray(array, dtype="<f4").reshape(-1).data)  # as it lies, without a copy
