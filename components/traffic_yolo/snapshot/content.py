"""What a share held when it was looked at, as one line of text, and the proof that it still holds that.

KFP's cache key of a task holds the values of its parameters, but of its input artifacts the ids alone. So a task that
is to be found in the cache again takes this line in the place of a listing, and reads the share itself. A share lives:
files that came later are told from those of the line by their times, and what remains must have the line's content.
"""

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from traffic_yolo.atm.hdf5_state import HEAD_BYTES, why_unfinished
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.messages import shown as shown_value
from traffic_yolo.progress import progress
from traffic_yolo.snapshot.options import DEFAULT_JOBS, RecordingsChoice
from traffic_yolo.snapshot.reading import RECORDING_SUFFIX, ReadTask, hash_files
from traffic_yolo.snapshot.snapshot import LABELS_PREFIX, Snapshot, SnapshotFile, fingerprint_of, load_cache
from traffic_yolo.storage import AnyPath, StoredFile, existing_path, is_s3, join, list_files, read, shown, stat
from traffic_yolo.storage.hash_cache import HashCache, ctime_ns, entry_of, seconds_to_wait

AGAIN = "start the run again"
_TEXT = re.compile(r"(?P<fingerprint>[0-9a-f]{64})-(?P<count>[0-9]{1,9})-(?P<sizes>[0-9a-f]{64})")


@dataclass(frozen=True)
class ShareContent:
    """The files of a snapshot: their `fingerprint` (paths and contents), how many, and a hash of paths and `sizes`.

    Nothing in it depends on times, owners or where the share lies: equal content gives equal text.
    """

    fingerprint: str
    count: int
    sizes: str

    @classmethod
    def of(cls, snapshot: Snapshot) -> "ShareContent":
        """What a snapshot says of its files."""
        return cls(
            snapshot.fingerprint, len(snapshot.files), _sizes_of((file.path, file.size) for file in snapshot.files)
        )

    @classmethod
    def parse(cls, text: str) -> "ShareContent":
        """What `str` wrote; `OptionsError` for anything else."""
        found = _TEXT.fullmatch(text.strip())
        if not found:
            raise OptionsError(f"fingerprint: expected the text that the task snapshot gave, found {shown_value(text)}")
        return cls(found["fingerprint"], int(found["count"]), found["sizes"])

    def __str__(self) -> str:
        return f"{self.fingerprint}-{self.count}-{self.sizes}"


class HeldFiles(NamedTuple):
    """The files of a `ShareContent`, found again. `names`: of the source's, relative to it. `newer`: what came later.

    `hashes` has what is known of them for certain, so that another task need not read them again.
    """

    names: frozenset[str]
    newer: tuple[str, ...]
    hashes: HashCache


class _Listed(NamedTuple):
    """A file as listed. `name`: as in a snapshot, with a prefix for labels; `place`: its own location.

    `root`: the location that was listed; `below`: the name below it, "" where it is the file itself. `arrived_ns`: when
    it came or was last changed, by the share's clock.
    """

    name: str
    place: str
    root: str
    below: str
    file: StoredFile
    arrived_ns: int


def held_files(
    content: ShareContent, choice: RecordingsChoice, *, cache: AnyPath = "", jobs: int = DEFAULT_JOBS
) -> HeldFiles:
    """The files that `content` tells of, each found with its content at the places of `choice`.

    `cache`: location of the hashes that an earlier look kept; what it does not know for certain is read once. Raises
    `StorageError` where files were removed or changed, or labels came: the share is another one then.
    """
    listed = [*_list("", choice.source), *(_list(LABELS_PREFIX, choice.labels) if choice.labels else [])]
    seen_ns = time.time_ns()
    hashes = load_cache(os.fspath(cache))
    chosen = _chosen(listed, content, hashes)
    where = shown(choice.source)
    if chosen is None:
        raise StorageError(
            f"{where}: expected the {content.count:,} files that the run began with, found {len(listed):,} files that "
            f"are not these: some were removed, renamed or written to since; {AGAIN}"
        )
    names = {one.name for one in chosen}
    newer = sorted((one for one in listed if one.name not in names), key=lambda one: one.name)
    labels = [one for one in newer if one.name != one.file.name]
    if labels:
        raise StorageError(f"{shown(choice.labels)}: {shown(labels[0].file.name)} came since the run began; {AGAIN}")
    digests = _digests(chosen, hashes, seen_ns, jobs)
    files = [SnapshotFile(name, 0, digest.hex(), 0) for name, digest in digests.items()]
    if fingerprint_of(files) != content.fingerprint:
        raise StorageError(
            f"{where}: the files have the names and sizes that the run began with, and other content; {AGAIN}"
        )
    hashes.entries = {name: entry for name, entry in hashes.entries.items() if name in names}
    of_source = frozenset(one.name for one in chosen if one.name == one.file.name)
    return HeldFiles(of_source, tuple(one.name for one in newer), HashCache(hashes.entries))


def _list(prefix: str, location: str) -> list[_Listed]:
    files = list_files(location).files
    remote = is_s3(location)
    is_single = len(files) == 1 and stat(location) is not None
    return [
        _Listed(
            prefix + file.name,
            location if is_single else join(location, file.name),
            location,
            "" if is_single else file.name,
            file,
            file.modified_ns if remote else ctime_ns(file.identity),
        )
        for file in files
    ]


def _chosen(listed: Sequence[_Listed], content: ShareContent, hashes: HashCache) -> list[_Listed] | None:
    """The files among `listed` that have the names and sizes of `content`; None where they are not there.

    They are the oldest: by arrival or, where an old file was touched since (its owner, say), by the last write. A
    recording that was cut off may be old too, and was left out of the snapshot: only where one may stand in the way are
    the heads of files read.
    """
    if len(listed) < content.count:
        return None
    for candidates in _orders(listed, hashes):
        oldest = candidates[: content.count]
        if _sizes_of((one.name, one.file.size) for one in oldest) == content.sizes:
            return oldest
    return None


def _orders(listed: Sequence[_Listed], hashes: HashCache) -> Iterator[list[_Listed]]:
    yield from _by_age(listed)
    yield from _by_age([one for one in listed if not _is_unfinished(one, hashes)])


def _by_age(listed: Sequence[_Listed]) -> Iterator[list[_Listed]]:
    yield sorted(listed, key=lambda one: (one.arrived_ns, one.name))
    yield sorted(listed, key=lambda one: (one.file.modified_ns, one.name))


def _is_unfinished(one: _Listed, hashes: HashCache) -> bool:
    if not one.name.endswith(RECORDING_SUFFIX) or _known(one, hashes) is not None:
        return False
    return bool(why_unfinished(read(one.place, length=HEAD_BYTES), one.file.size))


def _known(one: _Listed, hashes: HashCache) -> bytes | None:
    return hashes.digest_of(one.file._replace(name=one.name))


def _digests(chosen: Sequence[_Listed], hashes: HashCache, seen_ns: int, jobs: int) -> dict[str, bytes]:
    """Name -> SHA-256 of the files; what `hashes` did not know goes into it, in place."""
    digests = {one.name: digest for one in chosen if (digest := _known(one, hashes)) is not None}
    unknown = {one.name: one for one in chosen if one.name not in digests}
    roots = {root: str(existing_path(root, what="source")) for root in {one.root for one in unknown.values()}}
    tasks = [_task(one, roots[one.root]) for one in unknown.values()]
    time.sleep(seconds_to_wait([task.file for task in tasks], seen_ns, time.time_ns()))
    for reading in progress(hash_files(tasks, jobs=jobs), description="check", unit="file", total=len(tasks)):
        if reading.problem:
            raise StorageError(f"{shown(reading.task.place)}: {reading.problem}; {AGAIN}")
        one = unknown[reading.task.name]
        digests[one.name] = reading.digest
        hashes.entries[one.name] = entry_of(
            one.file, reading.digest, seen_ns=seen_ns, read_ns=reading.read_ns, immutable=is_s3(one.root)
        )
    return digests


def _task(one: _Listed, root: str) -> ReadTask:
    """The reading of a file; of an object, that of its copy in the local cache, which is what a conversion reads."""
    place = f"{root}/{one.below}" if one.below else root
    file = stat(place) if is_s3(one.root) else one.file
    if file is None:
        raise StorageError(f"{shown(one.place)}: vanished; {AGAIN}")
    return ReadTask(one.name, place, root, file)


def _sizes_of(files: Iterable[tuple[str, int]]) -> str:
    return hashlib.sha256("".join(f"{name}\0{size}\n" for name, size in sorted(files)).encode()).hexdigest()
