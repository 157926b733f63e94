"""Reads the files of a share that no cache knows: SHA-256, whether a recording is complete, what it holds.

A file whose identity (size, mtime, ctime, inode) is not the same before and after is being written: it gets no hash.
"""

import concurrent.futures
import contextlib
import functools
import hashlib
import itertools
import os
import tempfile
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from traffic_yolo.atm.hdf5_state import HEAD_BYTES, why_unfinished
from traffic_yolo.atm.layouts import Layout, builtin_layouts
from traffic_yolo.errors import RecordingError
from traffic_yolo.storage import CHUNK_BYTES, StoredFile, fetch, is_s3, sha256_of_file, shown
from traffic_yolo.storage.atomic import storage_error
from traffic_yolo.storage.local import identity_of
from traffic_yolo.storage.retry import FaultOf, retried, share_fault_of

RECORDING_SUFFIX = ".h5"
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
BATCH_FILES, BATCH_BYTES = 256, 64 << 20  # a unit of work for one thread: long enough to be worth handing over
CHANGING = "is being written: it changed while it was read"
VANISHED = "vanished after it was listed"

# Frames, then class name -> device detections; or why the recording cannot be read
Census = tuple[int, dict[str, int]] | str


class ReadTask(NamedTuple):
    """One file to read. `name` is its name in the snapshot, `place` its path or `s3://` location, `root` its share."""

    name: str
    place: str
    root: str
    file: StoredFile

    @property
    def is_recording(self) -> bool:
        """Whether it is to be counted, and may be unfinished."""
        return self.name.endswith(RECORDING_SUFFIX)


class FileReading(NamedTuple):
    """What reading a file told. `problem`: why it must be left out (then the rest is empty).

    `read_ns`: when the reading began. `census` is None for what is no recording, or was not asked for.
    """

    task: ReadTask
    digest: bytes
    read_ns: int
    census: Census | None
    problem: str = ""


def read_files(
    tasks: Sequence[ReadTask], known_censuses: Iterable[str], *, jobs: int, layout: Layout | None = None
) -> Iterator[FileReading]:
    """Readings in no certain order, as they are done. `known_censuses`: SHA-256 of recordings that need no count.

    Threads share the work: hashing and waiting for a share release Python's lock. Counting does not, and is done
    here meanwhile, by `layout` or, without one, by each recording's own. Raises `StorageError` for a file that cannot
    be read.
    """
    readings = hash_files(tasks, jobs=jobs, layout=layout)
    with contextlib.closing(readings):
        yield from _with_censuses(readings, set(known_censuses), layout)


def hash_files(
    tasks: Sequence[ReadTask], *, jobs: int, layout: Layout | None = None
) -> Generator[FileReading, None, None]:
    """`read_files` that counts nothing, but for recordings in object storage."""
    batches = list(_batches(tasks))
    if len(batches) <= 1 or jobs == 1:
        for batch in batches:
            yield from _read_batch(batch, layout)
        return
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            done = pool.map(_read_batch, batches, itertools.repeat(layout))
            yield from itertools.chain.from_iterable(done)
        finally:
            pool.shutdown(cancel_futures=True)


def _with_censuses(readings: Iterable[FileReading], counted: set[str], layout: Layout | None) -> Iterator[FileReading]:
    for reading in readings:
        wanted = reading.task.is_recording and not reading.problem and reading.census is None
        if not wanted or reading.digest.hex() in counted:
            yield reading
            continue
        counted.add(reading.digest.hex())
        census = count_recording(reading.task.place, layout)
        if problem := _why_other(reading.task):
            yield reading._replace(problem=problem)
        else:
            yield reading._replace(census=census)


def _why_other(task: ReadTask) -> str:
    """Why a file is not the one that was hashed any more; empty where it is."""
    try:
        status = os.stat(task.place)
    except FileNotFoundError:
        return VANISHED
    except OSError as error:
        raise storage_error(error, Path(task.place)) from error
    return "" if identity_of(status) == task.file.identity else CHANGING


def count_recording(path: str, layout: Layout | None = None) -> Census:
    """Frames and device detections of a recording, or why it cannot be read as one."""
    from traffic_yolo.atm.census import take_census  # h5py is not needed where every count is known

    try:
        census = take_census(Path(path), layout)
    except RecordingError as error:
        return " ".join(str(error).replace(f"{path}: ", "").replace(path, "").split())
    return census.frames, census.detections


def _read_batch(batch: Sequence[ReadTask], layout: Layout | None) -> list[FileReading]:
    return [_read_object(task, layout) if is_s3(task.place) else _read_file(task) for task in batch]


def _read_file(task: ReadTask) -> FileReading:
    """Hashes a file on this machine or a mounted share; faults of the share that pass are waited for."""
    try:
        try:
            return _hash_file(task)
        except OSError:  # seldom: what waits costs a small file a tenth of its time
            return retried(lambda: _hash_file(task), shown(task.place), _share_fault_of(task.root))
    except FileNotFoundError:
        return FileReading(task, b"", 0, None, VANISHED)
    except OSError as error:
        raise storage_error(error, Path(task.place)) from error


@functools.lru_cache(maxsize=16)
def _share_fault_of(root: str) -> FaultOf:
    """`share_fault_of`, made once for all files of a share."""
    return share_fault_of(Path(root))


def _hash_file(task: ReadTask) -> FileReading:
    read_ns = time.time_ns()
    descriptor = os.open(task.place, os.O_RDONLY | os.O_NONBLOCK)  # not to wait for ever at a pipe put in its place
    try:
        if identity_of(os.fstat(descriptor)) != task.file.identity:
            return FileReading(task, b"", read_ns, None, CHANGING)
        # A byte more than there are, so that one call tells that it was all; and no more, for room costs time
        chunk = os.read(descriptor, min(task.file.size + 1, CHUNK_BYTES))
        head, digest = chunk[:HEAD_BYTES], hashlib.sha256(chunk)
        if len(chunk) != task.file.size:
            while chunk := os.read(descriptor, CHUNK_BYTES):
                digest.update(chunk)
        if identity_of(os.fstat(descriptor)) != task.file.identity:
            return FileReading(task, b"", read_ns, None, CHANGING)
    finally:
        os.close(descriptor)
    problem = _unfinished(task, head)
    return FileReading(task, b"" if problem else digest.digest(), read_ns, None, problem)


def _read_object(task: ReadTask, layout: Layout | None) -> FileReading:
    """Hashes an object; a recording is copied to this machine for as long as it is counted."""
    read_ns = time.time_ns()
    with tempfile.TemporaryDirectory(prefix="traffic-yolo-snapshot-") as folder:
        path = Path(folder) / task.file.name.rpartition("/")[2]
        fetch(task.place, to=path)
        with path.open("rb") as file:
            problem = _unfinished(task, file.read(HEAD_BYTES))
        if problem:
            return FileReading(task, b"", read_ns, None, problem)
        census = count_recording(str(path), layout) if task.is_recording else None
        return FileReading(task, bytes.fromhex(sha256_of_file(path)), read_ns, census)


def _unfinished(task: ReadTask, head: bytes) -> str:
    reason = why_unfinished(head, task.file.size) if task.is_recording else ""
    return f"is still being written, or was cut off: {reason}" if reason else ""


def _batches(tasks: Sequence[ReadTask]) -> Iterator[list[ReadTask]]:
    batch: list[ReadTask] = []
    size = 0
    for task in tasks:
        batch.append(task)
        size += task.file.size
        if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def sites_of(names: Iterable[str], layout: Layout | None = None) -> set[str]:
    """Sites of the recordings among these names; a recording at the top of the source has none that a name tells."""
    sites = set()
    for path in (Path("/", name) for name in names if name.endswith(RECORDING_SUFFIX) and "/" in name):
        layouts = builtin_layouts().values()
        fitting = (known for known in layouts if known.file_name.fullmatch(path.stem))
        sites.add((layout or next(fitting, next(iter(layouts)))).describe_name(path).site)
    return sites
