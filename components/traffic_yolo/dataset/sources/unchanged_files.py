"""Whether a source still holds what a snapshot says: the size of every file, and then its bytes."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from traffic_yolo.errors import StorageError
from traffic_yolo.progress import progress
from traffic_yolo.snapshot.options import DEFAULT_JOBS, RecordingsChoice
from traffic_yolo.snapshot.reading import ReadTask, hash_files
from traffic_yolo.snapshot.snapshot import LABELS_PREFIX, Snapshot, SnapshotFile, load_cache
from traffic_yolo.storage import existing_path, stat
from traffic_yolo.storage.hash_cache import HashCache

AGAIN = "take a new snapshot"


class _Held(NamedTuple):
    """A file of the snapshot, the place where it lies now, and the folder (or file) that was listed."""

    file: SnapshotFile
    place: Path
    root: Path


def unchanged_files(snapshot: Snapshot, choice: RecordingsChoice, *, cache: str = "") -> frozenset[str]:
    """The source's files in the snapshot, by their paths below it.

    `cache`: location of the hashes that the snapshot kept; a file that it knows for certain is not read again. Raises
    `StorageError` for one that is gone, or has another size or other bytes now; sizes are looked at before any is read.
    """
    held = list(_held(snapshot, choice))
    for one in held:
        size = one.place.stat().st_size if one.place.is_file() else None
        if size != one.file.size:
            found = "it is gone" if size is None else f"it has {size}"
            raise StorageError(f"{one.place}: {one.file.size} bytes in the snapshot, now {found}; {AGAIN}")
    expected = {one.file.path: one for one in held}
    tasks = list(_unknown(held, load_cache(cache)))
    for reading in progress(hash_files(tasks, jobs=DEFAULT_JOBS), description="compare", unit="file", total=len(tasks)):
        one = expected[reading.task.name]
        if reading.problem:
            raise StorageError(f"{one.place}: {reading.problem}; {AGAIN}")
        if reading.digest.hex() != one.file.sha256:
            raise StorageError(
                f"{one.place}: expected SHA-256 {one.file.sha256:.12}… as in the snapshot, found "
                f"{reading.digest.hex():.12}…; it was changed since: {AGAIN}"
            )
    return frozenset(one.file.path for one in held if not one.file.path.startswith(LABELS_PREFIX))


def _held(snapshot: Snapshot, choice: RecordingsChoice) -> Iterator[_Held]:
    roots = {"": existing_path(choice.source, what="source")}
    if choice.labels:
        roots[LABELS_PREFIX] = existing_path(choice.labels, what="label file")
    for file in snapshot.files:
        prefix = LABELS_PREFIX if file.path.startswith(LABELS_PREFIX) else ""
        if prefix in roots:
            root = roots[prefix]
            yield _Held(file, root if root.is_file() else root / file.path.removeprefix(prefix), root)


def _unknown(held: list[_Held], hashes: HashCache) -> Iterator[ReadTask]:
    """The readings of all files but those of which a cache says that they have the snapshot's bytes."""
    for one in held:
        file = stat(str(one.place))
        if file is None:
            raise StorageError(f"{one.place}: {one.file.size} bytes in the snapshot, now it is gone; {AGAIN}")
        known = hashes.digest_of(file._replace(name=one.file.path))
        if known is None or known.hex() != one.file.sha256:
            yield ReadTask(one.file.path, str(one.place), str(one.root), file)
