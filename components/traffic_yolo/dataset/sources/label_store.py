"""Labels of pictures by key, on disk: a share of millions of labelled frames must not stay in memory."""

import array
import hashlib
import mmap
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO

import numpy as np
import orjson
from numpy.typing import NDArray

from traffic_yolo.dataset.frame_spool import labels_of_row, labels_row
from traffic_yolo.dataset.records import PictureLabels

Key = tuple[str, int]  # recording, scan number


class LabelStore:
    """Takes all labels first, then gives those of a key. Sixteen bytes a picture are in memory, the rest in a file.

    The file has no name and goes with the store.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="traffic-yolo-labels-")  # noqa: SIM115 (lives with us)
        weakref.finalize(self, self._file.close)
        self._hashes = array.array("Q")
        self._offsets = array.array("Q")
        self._size = 0
        self._mapped: mmap.mmap | None = None
        self._sorted: tuple[NDArray[np.uint64], NDArray[np.uint64]] | None = None

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, key: Key, labels: PictureLabels) -> None:
        """Puts the labels of one picture. Two of one key are found by `doubles`."""
        self._sorted = None
        self._hashes.append(_hash(key))
        self._offsets.append(self._size)
        self._size += self._file.write(orjson.dumps([key, labels_row(labels)], option=orjson.OPT_APPEND_NEWLINE))

    def doubles(self) -> Iterator[tuple[Key, PictureLabels, PictureLabels]]:
        """Every key that was put again, with the labels that were put first and these."""
        hashes, _ = self._index()
        suspects = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        first: dict[Key, PictureLabels] = {}
        for key, labels in self.items() if suspects else ():
            if _hash(key) in suspects:
                earlier = first.setdefault(key, labels)
                if earlier is not labels:
                    yield key, earlier, labels

    def get(self, key: Key) -> PictureLabels | None:
        """The labels of a key, or None."""
        hashes, offsets = self._index()
        wanted = np.uint64(_hash(key))
        row = int(np.searchsorted(hashes, wanted))
        while row < len(hashes) and hashes[row] == wanted:
            found, labels = self._read(int(offsets[row]))
            if found == key:
                return labels
            row += 1
        return None

    def items(self) -> Iterator[tuple[Key, PictureLabels]]:
        """Everything, in the order in which it was put."""
        for offset in self._offsets:
            yield self._read(offset)

    def _index(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        if self._sorted is None:
            hashes, offsets = (np.array(values, dtype=np.uint64) for values in (self._hashes, self._offsets))
            order = np.argsort(hashes, kind="stable")
            self._sorted = hashes[order], offsets[order]
        return self._sorted

    def _read(self, offset: int) -> tuple[Key, PictureLabels]:
        # Mapped, not read: processes that were forked share the position of a file, but not of a mapping
        if self._mapped is None or len(self._mapped) < self._size:
            self._file.flush()
            self._mapped = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self._mapped.seek(offset)
        (recording, number), row = orjson.loads(self._mapped.readline())
        return (recording, number), labels_of_row(row)


def _hash(key: Key) -> int:
    return int.from_bytes(hashlib.blake2b(f"{key[0]}\0{key[1]}".encode(), digest_size=8).digest(), "big")
