"""Memory or local disk for decoded pictures: one budget for the whole run, shared by the processes that read them."""

import contextlib
import mmap
import multiprocessing
import os
import tempfile
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import StorageError
from traffic_yolo.storage import output_path

UInt8Array = NDArray[np.uint8]
NO_PLACE = -1


class PictureCache:
    """A budget from which arenas are taken, one for each set of pictures."""

    def __init__(self, budget_mib: int, folder: str = "") -> None:
        """`folder`: where the pictures lie, on a local disk; "": in memory. Nothing is taken yet."""
        self.left = budget_mib << 20  # bytes
        self.folder = folder

    def take(self, sizes: Sequence[int], *, least_left: int = 0) -> "Arena":
        """Places for the first of `sizes` (bytes each) that fit, leaving `least_left` bytes of the budget.

        Raises `StorageError` where the folder's disk has no room for them.
        """
        ends = np.cumsum([0, *sizes], dtype=np.int64)
        count = int(np.searchsorted(ends, max(self.left - least_left, 0), side="right")) - 1
        self.left -= int(ends[count])
        places = np.where(np.arange(len(sizes)) < count, ends[:-1], NO_PLACE)
        return Arena(places, int(ends[count]), self.folder)


class Arena:
    """Pictures by number, in memory that processes forked afterwards share: what one has put, every other gets."""

    def __init__(self, places: NDArray[np.int64], size: int, folder: str) -> None:
        """`places` (n,): the byte at which each number's picture begins, `NO_PLACE` for those that are not kept."""
        self._places = places
        self._memory = _shared_memory(size, folder) if size else None
        # Rows and columns of each picture that is there, 0 before; in memory that forks share as well
        shapes = mmap.mmap(-1, max(len(places), 1) * 8)
        self._shapes = np.frombuffer(shapes, np.int32).reshape(-1, 2)
        # Besides excluding, it orders the writes of one process before the reads of another on every processor
        self._lock = multiprocessing.get_context("fork").Lock()
        self._seen: dict[int, UInt8Array] = {}

    @property
    def num_places(self) -> int:
        """How many pictures it has room for."""
        return int((self._places != NO_PLACE).sum())

    def get(self, number: int) -> UInt8Array | None:
        """The picture (h, w, 3), not to be written to; None where it is not there."""
        if number in self._seen:
            return self._seen[number]
        if self._memory is None or self._places[number] == NO_PLACE:
            return None
        with self._lock:
            height, width = self._shapes[number].tolist()
        if not height:
            return None
        pixels = self._pixels(number, (height, width, 3))
        pixels.flags.writeable = False
        self._seen[number] = pixels
        return pixels

    def put(self, number: int, pixels: UInt8Array) -> None:
        """Keeps a picture (h, w, 3) where it has a place; two processes may put the same one at once."""
        if self._memory is None or self._places[number] == NO_PLACE:
            return
        self._pixels(number, pixels.shape)[:] = pixels
        with self._lock:
            self._shapes[number] = pixels.shape[:2]

    def _pixels(self, number: int, shape: tuple[int, ...]) -> UInt8Array:
        assert self._memory is not None
        count = int(np.prod(shape))
        return np.frombuffer(self._memory, np.uint8, count, int(self._places[number])).reshape(shape)


def _shared_memory(size: int, folder: str) -> mmap.mmap:
    if not folder:
        return mmap.mmap(-1, size)
    place = output_path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place, prefix="traffic-yolo-") as file:  # has no name: it goes with the process
            os.posix_fallocate(file.fileno(), 0, size)  # a sparse file on a full disk would end the process by a signal
            with contextlib.suppress(AttributeError):
                os.posix_fadvise(file.fileno(), 0, size, os.POSIX_FADV_RANDOM)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        raise StorageError(
            f"cache_folder {place}: {-(-size >> 20)} MiB for decoded pictures: {error.strerror}; give another folder "
            f"or a smaller cache_mib"
        ) from error
