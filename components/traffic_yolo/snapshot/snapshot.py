"""What lies on a share at one moment: every file with size and SHA-256, one fingerprint, and what the recordings hold.

A file that an earlier look has read, and that has not changed since, is not read again (`storage/hash_cache.py`).
"""

import contextlib
import gc
import hashlib
import json
import math
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from json.encoder import encode_basestring
from typing import Any, NamedTuple

from traffic_yolo._version import __version__
from traffic_yolo.atm.layouts import Layout, load_layout
from traffic_yolo.errors import NotFoundError, OptionsError, StorageError
from traffic_yolo.progress import progress
from traffic_yolo.snapshot.options import DEFAULT_JOBS, SnapshotOptions
from traffic_yolo.snapshot.reading import (
    CHANGING,
    PICTURE_SUFFIXES,
    RECORDING_SUFFIX,
    Census,
    ReadTask,
    read_files,
    sites_of,
)
from traffic_yolo.storage import (
    AnyPath,
    Listing,
    Skipped,
    StoredFile,
    atomic_file,
    exists,
    is_s3,
    join,
    lies_below,
    list_files,
    local_path,
    output_path,
    parse_json,
    put,
    read,
    read_json,
    shown,
    stat,
)
from traffic_yolo.storage.hash_cache import UNKNOWN, HashCache, entry_of, seconds_to_wait
from traffic_yolo.typed_values import wrong_field

SCHEMA_VERSION = 2
LABELS_PREFIX = "labels:"  # no file below the source can be called so together with one of the labels
SAVE_INTERVAL_S = 30.0  # what a kill of a long first look may cost


class SnapshotFile(NamedTuple):
    """One file. `path` is relative to the source, with '/'; those of the label location begin with `labels:`.

    `frames`: pictures in it: those of a recording, 1 for a picture file, else 0.
    """

    path: str
    size: int
    sha256: str
    frames: int


@dataclass(frozen=True)
class Totals:
    """What the recordings hold together. `detections`: class name -> boxes of the device's own detector (no labels).

    `unreadable`: recordings that are complete and cannot be read as one, each with the reason; they count no frames.
    """

    recordings: int = 0
    frames: int = 0
    sites: tuple[str, ...] = ()
    detections: dict[str, int] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """A share at one moment. `fingerprint` depends on the files' relative paths and contents alone.

    `skipped` names what is no part of it, with the reason: recordings that are still being written, links that lead
    out, names that are not safe.
    """

    source: str
    labels: str
    fingerprint: str
    totals: Totals
    skipped: tuple[Skipped, ...]
    files: tuple[SnapshotFile, ...]

    @property
    def summary(self) -> str:
        """One line: how much there is."""
        mebibytes = sum(file.size for file in self.files) / 2**20
        totals = self.totals
        held = f": {totals.recordings:,} recordings, {totals.frames:,} frames, {len(totals.sites)} sites"
        left_out = f"; {len(self.skipped)} left out" if self.skipped else ""
        return f"{len(self.files):,} files, {mebibytes:,.1f} MiB{held if totals.frames else ''}{left_out}"


def look_at(options: SnapshotOptions) -> Snapshot:
    """`take_snapshot` of the options of a step."""
    return take_snapshot(
        options.source,
        labels=options.labels,
        layout=options.layout,
        cache=options.snapshot_cache,
        settle_s=options.settle_s,
        jobs=options.jobs,
    )


def take_snapshot(
    source: AnyPath,
    *,
    labels: AnyPath = "",
    layout: AnyPath = "",
    cache: AnyPath = "",
    settle_s: float = 0.0,
    jobs: int = DEFAULT_JOBS,
) -> Snapshot:
    """Lists `source` and `labels` (paths, nas:// or s3://) and reads what `cache` does not know.

    `layout`: that of the recordings, a name or a YAML file; empty takes each recording's own. `cache`: location of the
    file that keeps hashes between looks, made where it is missing; empty keeps none. `settle_s`: recordings written to
    within so many seconds are taken to be unfinished. Names that begin with a dot are left out. Raises `StorageError`
    for a location that is missing, empty or unreadable, and for labels that are being written.
    """
    if not 0 <= settle_s < math.inf or jobs < 1:
        raise OptionsError(f"settle_s {settle_s}, jobs {jobs}: expected 0 or more, and 1 or more")
    source, labels, layout, cache = (os.fspath(location) for location in (source, labels, layout, cache))
    refuse_inside(source, cache, what="the cache")
    with _collector_paused():
        look = _Look(source, labels, cache, settle_s, load_layout(layout) if layout else None)
        return look.take(jobs)


def refuse_inside(source: AnyPath, location: AnyPath, *, what: str) -> None:
    """`OptionsError` for a file of ours that would be listed as one of the source's, and so be new at every look."""
    location = os.fspath(location)
    hidden = location.rstrip("/").rpartition("/")[2].startswith(".")
    if location and not hidden and lies_below(location, source):
        raise OptionsError(
            f"{what} {shown(location)} lies inside the source; put it elsewhere, or begin its name with a dot"
        )


def write_snapshot(path: AnyPath, snapshot: Snapshot) -> None:
    """Writes a snapshot as JSON, one file a line, atomically."""
    head = {
        "schema_version": SCHEMA_VERSION,
        "source": snapshot.source,
        "labels": snapshot.labels,
        "fingerprint": snapshot.fingerprint,
        "totals": asdict(snapshot.totals),
        "skipped": snapshot.skipped,
        "file_columns": SnapshotFile._fields,
    }
    rows = ",\n".join(
        [f'[{encode_basestring(path)},{size},"{sha256}",{frames}]' for path, size, sha256, frames in snapshot.files]
    )
    text = json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    with atomic_file(output_path(path)) as file:
        file.write(f'{text},\n "files": [\n{rows}\n]}}\n'.encode())


def read_snapshot(path: AnyPath) -> Snapshot:
    """Reads what `write_snapshot` wrote; `StorageError` for a missing file or one that is no snapshot of ours."""
    with _collector_paused():
        return snapshot_of(read_json(path, what="snapshot"), where=str(path))


def load_snapshot(location: AnyPath) -> Snapshot:
    """`read_snapshot` of any location (path, nas:// or s3://)."""
    if not is_s3(location):
        return read_snapshot(local_path(location))
    location = str(location)
    value = parse_json(read(location), where=f"snapshot {shown(location)}")
    return snapshot_of(value, where=shown(location))


def snapshot_of(value: Any, *, where: str) -> Snapshot:
    """The snapshot in a JSON value, checked; `where` begins the message of a `StorageError`."""
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        raise StorageError(f"{where}: not a snapshot of schema version {SCHEMA_VERSION}; take it again")
    try:
        rows = value["files"]
        if not isinstance(rows, list) or set(map(type, rows)) - {list}:
            raise TypeError("expected lists under files")
        files = tuple(map(SnapshotFile._make, rows))
        # A million of them: the types of each column together
        for name, column in zip(SnapshotFile._fields, zip(*files, strict=True), strict=False):
            if wrong := set(map(type, column)) - {SnapshotFile.__annotations__[name]}:
                raise TypeError(f"files: {name} is a {wrong.pop().__name__}")
        stated = {name: value[name] for name in ("source", "labels", "fingerprint", "totals", "skipped")}
        if reason := wrong_field(Snapshot, stated):
            raise TypeError(reason)
        if min([value["totals"]["recordings"], value["totals"]["frames"], *value["totals"]["detections"].values()]) < 0:
            raise ValueError("totals: expected numbers from 0")
        stated |= {"totals": _totals_of(value["totals"]), "skipped": tuple(map(Skipped._make, value["skipped"]))}
        snapshot = Snapshot(**stated, files=files)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"{where}: not a snapshot: {error}") from error
    if snapshot.fingerprint != fingerprint_of(files):
        raise StorageError(f"{where}: fingerprint and files disagree; take the snapshot again")
    return snapshot


def fingerprint_of(files: Iterable[SnapshotFile]) -> str:
    """One hash of paths and contents: the same wherever the share lies, whenever it was copied, in any order.

    A path cannot hold a NUL byte and a hash has 64 digits, so no two sets of files give the same text.
    """
    return hashlib.sha256("".join([f"{x}\0{h}\n" for x, _, h, _ in sorted(files)]).encode()).hexdigest()


class _Look:
    """One taking of a snapshot; holds what its steps share."""

    def __init__(self, source: str, labels: str, cache: str, settle_s: float, layout: Layout | None) -> None:
        self.source, self.labels, self.cache_location, self.settle_s = source, labels, cache, settle_s
        self.layout = layout
        # Counts that another version or another layout made are made again
        self.rules = f"{__version__} {hashlib.sha256(repr(layout).encode()).hexdigest()}"
        self.cache = load_cache(cache)
        kept = self.cache.extra if isinstance(self.cache.extra, dict) else {}
        same_rules = kept.get("rules") == self.rules
        self.censuses: dict[str, Any] = kept.get("censuses", {}) if same_rules else {}
        self.last: dict[str, Any] = kept.get("last", {}) if same_rules else {}
        self.skipped: list[Skipped] = []
        self.files: list[SnapshotFile] = []
        self.dirty = False

    def take(self, jobs: int) -> Snapshot:
        unknown = [task for place in self._places() for task in self._look_up(*place)]
        seen_ns = time.time_ns()  # after the last look at an identity, not before
        names = {file.path for file in self.files} | {task.name for task in unknown}
        if unknown:
            self._read(unknown, seen_ns, jobs)
        files = tuple(sorted(self.files))
        if not any(not file.path.startswith(LABELS_PREFIX) for file in files):
            raise StorageError(self._why_empty())
        fingerprint = fingerprint_of(files)
        if self.last.get("fingerprint") == fingerprint:
            totals = _totals_of(self.last["totals"])
        else:
            totals = self._count(files)
            self.last, self.dirty = {"fingerprint": fingerprint, "totals": asdict(totals)}, True
        self._save(names)
        return Snapshot(self.source, self.labels, fingerprint, totals, tuple(sorted(self.skipped)), files)

    def _places(self) -> Iterator[tuple[str, str, list[StoredFile]]]:
        """Prefix of names, location, and files of the source, then of the labels."""
        for prefix, location in (("", self.source), (LABELS_PREFIX, self.labels)):
            if location or not prefix:
                listing = _list_existing(location, what="label file" if prefix else "source")
                self.skipped += [Skipped(prefix + name, reason) for name, reason in listing.skipped]
                yield prefix, location, listing.files

    def _look_up(self, prefix: str, location: str, listed: list[StoredFile]) -> list[ReadTask]:
        """Takes from the cache what it knows; the answer is the rest. Recordings that are too young go to `skipped`."""
        entry_of_name, nothing, add = self.cache.entries.get, (b"", UNKNOWN, 0), self.files.append
        unknown: list[StoredFile] = []
        newest_ns = time.time_ns() - int(self.settle_s * 1e9) if self.settle_s else None
        for file in listed:
            name, size, modified_ns, identity, _ = file
            if prefix:
                name = prefix + name
            is_recording = name.endswith(RECORDING_SUFFIX)
            if is_recording and newest_ns is not None and modified_ns > newest_ns:
                self.skipped.append(Skipped(shown(name), f"is younger than {self.settle_s:g} s"))
                continue
            known_identity, digest, _ = entry_of_name(name, nothing)
            if known_identity != identity or digest == UNKNOWN or (is_recording and digest.hex() not in self.censuses):
                unknown.append(file)
                continue
            sha256 = digest.hex()
            add(SnapshotFile(name, size, sha256, self._frames(name, sha256)))
        return _tasks(prefix, location, unknown, is_single=len(listed) == 1 and stat(location) is not None)

    def _read(self, tasks: list[ReadTask], seen_ns: int, jobs: int) -> None:
        """Reads what the cache does not know and remembers it; saves now and then, for a kill must not cost it all."""
        local = [task.file for task in tasks if not is_s3(task.place)]
        if self.cache_location:
            time.sleep(seconds_to_wait(local, seen_ns, time.time_ns()))
        readings = read_files(tasks, self.censuses, jobs=jobs, layout=self.layout)
        saved_s = time.monotonic()
        self.dirty = True
        for reading in progress(readings, description="snapshot", unit="file", total=len(tasks)):
            task = reading.task
            if reading.problem:
                self._leave_out(task, reading.problem)
                continue
            sha256 = reading.digest.hex()
            if reading.census is not None:
                self.censuses[sha256] = reading.census
            self.files.append(SnapshotFile(task.name, task.file.size, sha256, self._frames(task.name, sha256)))
            file = task.file if task.name == task.file.name else task.file._replace(name=task.name)
            first_seen_ns = self.cache.seen_ns(file, seen_ns)
            self.cache.entries[task.name] = entry_of(
                task.file, reading.digest, seen_ns=first_seen_ns, read_ns=reading.read_ns, immutable=is_s3(task.place)
            )
            if self.cache_location and time.monotonic() - saved_s > SAVE_INTERVAL_S:
                self._save(None)
                saved_s = time.monotonic()

    def _leave_out(self, task: ReadTask, problem: str) -> None:
        if task.name.startswith(LABELS_PREFIX):
            advice = "take the snapshot when they are done" if problem == CHANGING else "check the labels"
            raise StorageError(f"{shown(task.place)}: {problem}; {advice}")
        self.skipped.append(Skipped(shown(task.name), problem))

    def _frames(self, name: str, sha256: str) -> int:
        if name.endswith(RECORDING_SUFFIX):
            census: Census | None = self.censuses.get(sha256)
            return 0 if census is None or isinstance(census, str) else census[0]
        return int(name.lower().endswith(PICTURE_SUFFIXES))

    def _count(self, files: tuple[SnapshotFile, ...]) -> Totals:
        detections: dict[str, int] = {}
        unreadable: list[tuple[str, str]] = []
        recordings = [file for file in files if file.path.endswith(RECORDING_SUFFIX)]
        for file in recordings:
            census = self.censuses.get(file.sha256, "not counted")
            if isinstance(census, str):
                unreadable.append((shown(file.path), census))
                continue
            for name, count in census[1].items():
                detections[name] = detections.get(name, 0) + count
        return Totals(
            recordings=len(recordings),
            frames=sum(file.frames for file in files),
            sites=tuple(sorted(sites_of((file.path for file in recordings), self.layout))),
            detections=dict(sorted(detections.items())),
            unreadable=tuple(unreadable),
        )

    def _why_empty(self) -> str:
        if self.skipped:
            first = self.skipped[0]
            return f"source has nothing to take: {shown(self.source)}; left out: {first.name} ({first.reason})"
        return f"source is empty: {shown(self.source)}; check that the share is mounted"

    def _save(self, names: set[str] | None) -> None:
        """Writes the cache, without files that are gone where `names` says which are there."""
        if not self.cache_location:
            return
        gone = [] if names is None else [name for name in self.cache.entries if name not in names]
        if not gone and not self.dirty:
            return
        for name in gone:
            del self.cache.entries[name]
        if names is not None:
            used = {file.sha256 for file in self.files}
            self.censuses = {sha256: census for sha256, census in self.censuses.items() if sha256 in used}
        self.cache.extra = {"rules": self.rules, "censuses": self.censuses, "last": self.last}
        put(self.cache_location, self.cache.dump())


def load_cache(location: str) -> HashCache:
    """The hashes that an earlier look kept at a location; none where it is empty or nothing lies there."""
    if not location:
        return HashCache()
    try:
        data = read(location)
    except NotFoundError:
        return HashCache()
    return HashCache.load(data, where=shown(location))


def _list_existing(location: str, *, what: str) -> Listing:
    is_remote = is_s3(location)
    if not is_remote and not exists(location):
        raise StorageError(f"{what} not found: {local_path(location)}; check the path, or that the share is mounted")
    listing = list_files(location, was_there=not is_remote)
    if not listing.files and not listing.skipped and what != "source":
        raise StorageError(f"{what} not found: nothing lies below {shown(location)}")
    return listing


def _tasks(prefix: str, location: str, files: list[StoredFile], *, is_single: bool) -> list[ReadTask]:
    """What is to be read, with each file's own place; `is_single`: the location is the file itself."""
    if is_s3(location):
        return [
            ReadTask(prefix + x.name, location if is_single else join(location, x.name), location, x) for x in files
        ]
    root = str(local_path(location))
    return [ReadTask(prefix + x.name, root if is_single else f"{root}/{x.name}", root, x) for x in files]


def _totals_of(value: dict[str, Any]) -> Totals:
    return Totals(
        recordings=value["recordings"],
        frames=value["frames"],
        sites=tuple(value["sites"]),
        detections=dict(value["detections"]),
        unreadable=tuple((name, reason) for name, reason in value["unreadable"]),
    )


@contextlib.contextmanager
def _collector_paused() -> Iterator[None]:
    """Keeps Python from searching a million living tuples for garbage again and again; they hold no cycles."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
