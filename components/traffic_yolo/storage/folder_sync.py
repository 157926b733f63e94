"""Copies what is new or other from one location to another: any scheme to any scheme, a kill at any moment included.

A file is skipped when both sides are known to have the same SHA-256. What is known is kept by identity
(`hash_cache.py`), in the folder `.traffic-yolo-sync` of a target on a file system, else in the local cache. Files are
finished in that folder and renamed into place, so nothing half-written has a name; what a killed sync left there is
used or removed by the next.
"""

import concurrent.futures
import contextlib
import fcntl
import hashlib
import math
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from traffic_yolo.errors import ChangedMeanwhileError, OptionsError, StorageError
from traffic_yolo.progress import progress
from traffic_yolo.storage.atomic import storage_error, sync_folder, write_bytes
from traffic_yolo.storage.cache_folder import cache_folder
from traffic_yolo.storage.hash_cache import UNKNOWN, HashCache, entry_of, seconds_to_wait
from traffic_yolo.storage.locations import is_s3, join, lies_below, local_path, shown
from traffic_yolo.storage.open_place import open_place
from traffic_yolo.storage.places import Listing, Skipped, StoredFile
from traffic_yolo.storage.retry import Fault, FaultOf, retried, share_fault_of
from traffic_yolo.storage.verify import verify

STATE_FOLDER = ".traffic-yolo-sync"
SOURCE_STATE, TARGET_STATE, LOCK = "source.hashes", "target.hashes", "lock"
SAVE_INTERVAL_S = 5.0
DEFAULT_JOBS = 4
CHANGING = "is being written: it changed while it was copied"


@dataclass(frozen=True)
class SyncReport:
    """What a sync did. `extra`: files that lie in the target alone; `removed`: those taken away because of `delete`."""

    copied: int
    copied_bytes: int
    unchanged: int
    removed: int
    extra: int
    skipped: tuple[Skipped, ...]

    @property
    def text(self) -> str:
        """One line."""
        parts = [f"{self.copied:,} copied ({self.copied_bytes / 2**20:,.1f} MiB)", f"{self.unchanged:,} unchanged"]
        parts += [f"{self.removed:,} removed"] if self.removed else []
        parts += [f"{self.extra:,} in the target alone"] if self.extra else []
        parts += [f"{len(self.skipped):,} left out"] if self.skipped else []
        return ", ".join(parts)


def sync(
    source: str,
    target: str,
    *,
    delete: bool = False,
    settle_s: float = 0.0,
    jobs: int = DEFAULT_JOBS,
    wait: bool = False,
) -> SyncReport:
    """Makes every file below `source` lie below `target` with the same name and content.

    With `delete`, files that an earlier sync put there and that `source` has no more are removed; others never are, and
    a `source` without any file (a lost mount) is refused. `settle_s`: files written to within so many seconds are left
    out and named, and so is one that changes while it is copied. Raises `StorageError` at the first file that cannot be
    copied: what was copied stays, and the next sync goes on from there; also where another sync writes to the same
    target, unless `wait` says to let it end first.
    """
    if not 0 <= settle_s < math.inf or jobs < 1:
        raise OptionsError(f"settle_s {settle_s}, jobs {jobs}: expected 0 or more, and 1 or more")
    place = open_place(source)
    if place.stat() is not None:
        raise StorageError(f"{shown(source)}: is a file, not a folder; fetch or put it")
    if not place.exists():
        raise StorageError(f"source not found: {shown(source)}; check the path, or that the share is mounted")
    if lies_below(target, source):
        raise StorageError(f"{shown(target)}: lies below the source {shown(source)}, and would be copied into itself")
    with _state(source, target, wait=wait) as state:
        return _Sync(source, target, state, settle_s).run(jobs, delete=delete)


def known_checksums(target: str) -> dict[str, str]:
    """Name -> SHA-256 of the files that syncs put below a folder; empty where none did, or in object storage."""
    path = Path("") if is_s3(target) else local_path(target) / STATE_FOLDER / TARGET_STATE
    if is_s3(target) or not path.is_file():
        return {}
    entries = HashCache.load(path.read_bytes(), where=str(path)).entries
    return {name: digest.hex() for name, (_, digest, _) in entries.items() if digest != UNKNOWN}


class _Done(NamedTuple):
    """How one file came out. `file`: as it was read; `target`: as it lies there now; with a `problem`, neither."""

    file: StoredFile
    target: StoredFile | None
    sha256: str
    read_ns: int
    copied: bool
    problem: str = ""


@dataclass
class _State:
    """What is known of both sides; `folder` also holds what is being written (target on a file system)."""

    folder: Path
    lock_file: int
    source: HashCache
    target: HashCache
    lock: threading.Lock = field(default_factory=threading.Lock)

    def is_there(self) -> bool:
        """Whether the folder is still the one that was locked."""
        try:
            return os.path.samestat(os.fstat(self.lock_file), os.stat(self.folder / LOCK))
        except OSError:
            return False

    def save(self) -> None:
        """Writes what is known; nothing where the target is gone."""
        if not self.is_there():
            return
        for name, cache in ((SOURCE_STATE, self.source), (TARGET_STATE, self.target)):
            write_bytes(self.folder / name, cache.dump())


class _Sync:
    """One run; holds what its steps share."""

    def __init__(self, source: str, target: str, state: _State, settle_s: float) -> None:
        self.source, self.target, self.state, self.settle_s = source, target, state, settle_s
        self.target_root = None if is_s3(target) else local_path(target)
        self.source_root = None if is_s3(source) else local_path(source)
        self.safe_folders: set[str] = set()

    def run(self, jobs: int, *, delete: bool) -> SyncReport:
        listing, there = self._source_listing(), open_place(self.target).list_files()
        seen_ns = time.time_ns()
        skipped = list(listing.skipped)
        files = self._settled(listing, skipped)
        at_target = {file.name: file for file in there.files}
        if delete and at_target and not listing.files:
            raise StorageError(  # a share that is away looks like this too: an empty mount point
                f"{shown(self.source)}: no file lies there, and delete would empty {shown(self.target)}; "
                f"check that the share is mounted, or remove the files yourself"
            )
        unchanged, to_do = self._part(files, at_target)
        copied = copied_bytes = 0
        saved_s = time.monotonic()
        if to_do and not is_s3(self.source):
            time.sleep(seconds_to_wait(to_do, seen_ns, time.time_ns()))
        outcomes = self._all_done(to_do, at_target, jobs)
        for done in progress(outcomes, description="sync", unit="file", total=len(to_do)):
            if done.problem:
                skipped.append(Skipped(shown(done.file.name), done.problem))
                continue
            copied, copied_bytes = copied + done.copied, copied_bytes + done.copied * done.file.size
            unchanged += not done.copied
            self._remember(done, seen_ns)
            if time.monotonic() - saved_s > SAVE_INTERVAL_S:
                self.state.save()
                saved_s = time.monotonic()
        names = {file.name for file in listing.files}
        extra = [name for name in at_target if name not in names]
        removed = self._remove(extra, at_target) if delete else 0
        self._forget(names, at_target)
        for part in self.state.folder.glob(".*.part"):
            part.unlink(missing_ok=True)
        return SyncReport(copied, copied_bytes, unchanged, removed, len(extra) - removed, tuple(sorted(skipped)))

    def _source_listing(self) -> Listing:
        """Every file of the source, which was there a moment ago: one that is away is not one without files."""
        source = open_place(self.source)
        listing = source.list_files(was_there=True)
        # A mount that went away in between leaves an empty folder, if only for a moment
        return listing if listing.files else source.list_files(was_there=True)

    def _settled(self, listing: Listing, skipped: list[Skipped]) -> list[StoredFile]:
        if not self.settle_s:
            return listing.files
        newest_ns = time.time_ns() - int(self.settle_s * 1e9)
        young = [file for file in listing.files if file.modified_ns > newest_ns]
        skipped += [Skipped(shown(file.name), f"is younger than {self.settle_s:g} s") for file in young]
        return [file for file in listing.files if file.modified_ns <= newest_ns]

    def _part(self, files: list[StoredFile], at_target: dict[str, StoredFile]) -> tuple[int, list[StoredFile]]:
        """How many files are known to be the same on both sides, and the others."""
        to_do = []
        for file in files:
            digest = self.state.source.digest_of(file)
            other = at_target.get(file.name)
            if digest is None or other is None or self.state.target.digest_of(other) != digest:
                to_do.append(file)
        return len(files) - len(to_do), to_do

    def _all_done(self, to_do: list[StoredFile], at_target: dict[str, StoredFile], jobs: int) -> Iterator[_Done]:
        """Each file's outcome as it comes. On an error, what is running ends, the rest is not begun, all is saved."""
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            futures = [pool.submit(self._one, file, at_target.get(file.name)) for file in to_do]
            try:
                for future in concurrent.futures.as_completed(futures):
                    yield future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                self.state.save()
                raise

    def _one(self, file: StoredFile, other: StoredFile | None) -> _Done:
        """What is done with one file; a source that was listed and is away for a while is waited for."""
        read_ns = time.time_ns()
        try:
            if self.source_root is None:
                return self._once(file, other)
            location = join(self.source, file.name)
            return retried(lambda: self._once(file, other), shown(location), self._fault_of(location))
        except ChangedMeanwhileError as error:
            if self.source_root is not None and not self.source_root.exists():
                raise StorageError(str(error)) from error
            return _Done(file, None, "", read_ns, copied=False, problem=CHANGING)

    def _fault_of(self, location: str) -> FaultOf:
        """Those of a mounted share; and a file that was not found may be back with its share when one looks for it."""
        of_the_share = share_fault_of(self.source_root)

        def fault_of(error: Exception) -> Fault | None:
            fault = of_the_share(error)
            if fault is None and isinstance(error.__cause__, FileNotFoundError) and open_place(location).exists():
                return Fault("was away for a moment; check that the share stays mounted", passes=True)
            return fault

        return fault_of

    def _once(self, file: StoredFile, other: StoredFile | None) -> _Done:
        read_ns = time.time_ns()
        if other is not None and other.size == file.size:
            sha256 = self._sha256(self.source, file, self.state.source)
            if sha256 == self._sha256(self.target, other, self.state.target):
                return _Done(file, other, sha256, read_ns, copied=False)
        copied = self._copy(file)
        if not is_s3(self.source) and copied.identity != file.identity:
            raise ChangedMeanwhileError("changed")
        now = open_place(join(self.target, file.name)).stat()
        if now is None:
            raise StorageError(f"{shown(join(self.target, file.name))}: vanished right after it was written")
        return _Done(file._replace(identity=copied.identity), now, copied.sha256, read_ns, copied=True)

    def _sha256(self, root: str, file: StoredFile, cache: HashCache) -> str:
        """From the cache, from the object's metadata, or by reading."""
        with self.state.lock:
            digest = cache.digest_of(file)
        if digest is not None:
            return digest.hex()
        location = join(root, file.name)
        if is_s3(root):
            stored = open_place(location).stat()
            if stored and stored.sha256 and stored.identity == file.identity:
                return stored.sha256
        found = verify(location)
        if found.identity != file.identity:
            raise ChangedMeanwhileError("changed")
        return found.sha256

    def _copy(self, file: StoredFile) -> StoredFile:
        """Copies one file; the answer is the source as it was copied, with its SHA-256."""
        source, target = open_place(join(self.source, file.name)), open_place(join(self.target, file.name))
        if self.target_root is not None:
            staged = self.state.folder / hashlib.sha256(file.name.encode()).hexdigest()[:32]
            self._require_target()
            copied = source.fetch(staged, "")
            self._rename(staged, self.target_root / file.name)
            return copied
        if is_s3(self.source):
            with tempfile.TemporaryDirectory(prefix="traffic-yolo-sync-") as folder:
                copied = source.fetch(Path(folder) / "object", "")
                target.put(Path(folder) / "object")
                return copied
        before = source.stat()
        put = target.put(local_path(join(self.source, file.name)))
        if before is None or source.stat() != before:
            raise ChangedMeanwhileError("changed")
        return before._replace(sha256=put.sha256)

    def _rename(self, staged: Path, path: Path) -> None:
        """Gives a finished file its place; never through a link that leads out of the target."""
        parent = str(path.parent)
        try:
            if parent not in self.safe_folders:
                path.parent.mkdir(parents=True, exist_ok=True)
                if not path.parent.resolve().is_relative_to(self._root().resolve()):
                    raise StorageError(f"{shown(parent)}: leads out of {shown(str(self._root()))}; remove the link")
                self.safe_folders.add(parent)
            self._require_target()
            os.replace(staged, path)
            sync_folder(path.parent)
        except StorageError:
            raise
        except OSError as error:
            raise storage_error(OSError(error.errno, error.strerror), path) from error

    def _require_target(self) -> None:
        """A mount that is lost leaves an empty folder, which must not be filled instead."""
        if not self.state.is_there():
            raise StorageError(f"{shown(self.target)}: the target is gone; check that it is mounted, and sync again")

    def _root(self) -> Path:
        assert self.target_root is not None
        return self.target_root

    def _remember(self, done: _Done, seen_ns: int) -> None:
        assert done.target is not None
        name, digest = done.file.name, bytes.fromhex(done.sha256)
        target = done.target._replace(name=name)
        with self.state.lock:
            first_ns = self.state.source.seen_ns(done.file, seen_ns)
            self.state.source.entries[name] = entry_of(
                done.file, digest, seen_ns=first_ns, read_ns=done.read_ns, immutable=is_s3(self.source)
            )
            if done.copied:
                # What we wrote ourselves, under a name that nobody had before the rename, needs no second reading
                self.state.target.entries[name] = (target.identity, digest, time.time_ns())
            elif self.state.target.digest_of(target) is None:
                self.state.target.entries[name] = entry_of(
                    target, digest, seen_ns=seen_ns, read_ns=done.read_ns, immutable=is_s3(self.target)
                )

    def _remove(self, extra: list[str], at_target: dict[str, StoredFile]) -> int:
        """Removes files that are as an earlier sync left them; the folder that held the last one stays."""
        entries = self.state.target.entries
        ours = [name for name in extra if name in entries and entries[name][0] == at_target[name].identity]
        for name in ours:
            open_place(join(self.target, name)).remove()
            del entries[name]
        return len(ours)

    def _forget(self, names: set[str], at_target: dict[str, StoredFile]) -> None:
        with self.state.lock:
            for name in [name for name in self.state.source.entries if name not in names]:
                del self.state.source.entries[name]
            for name in [name for name in self.state.target.entries if name not in names and name not in at_target]:
                del self.state.target.entries[name]
            self.state.save()


@contextlib.contextmanager
def _state(source: str, target: str, *, wait: bool = False) -> Iterator[_State]:
    """The state of a target, locked against other syncs to it, and cleaned of what a killed one was writing."""
    if is_s3(target):
        name = hashlib.sha256(f"{os.environ.get('TRAFFIC_YOLO_S3_ENDPOINT', '')}\0{target}".encode()).hexdigest()
        folder = cache_folder() / "sync" / name[:32]
    else:
        folder = local_path(target) / STATE_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a")
    except OSError as error:
        raise storage_error(error, folder) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise StorageError(f"{shown(target)}: another sync writes there; wait for it to end") from error
        except OSError:
            pass  # a file system without locks: the user sees to it that syncs do not meet
        for path in folder.iterdir():
            if path.name not in (SOURCE_STATE, TARGET_STATE, LOCK) and path.suffix != ".part":
                path.unlink(missing_ok=True)
        state = _State(folder, lock.fileno(), HashCache(), HashCache())
        for cache_name in (SOURCE_STATE, TARGET_STATE):
            path = folder / cache_name
            if path.is_file():
                loaded = HashCache.load(path.read_bytes(), where=str(path))
                # What is known of one source says nothing of another one's files
                if cache_name == SOURCE_STATE:
                    state.source = loaded if loaded.extra == source else HashCache()
                else:
                    state.target = loaded
        state.source.extra = source
        yield state
