"""Which data sets a store can do without, and taking them away; `reading_lease` says why no reader loses one."""

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from traffic_yolo.dataset.store.data_store import FINGERPRINT, DataStore
from traffic_yolo.dataset.store.reading_lease import (
    is_marked,
    last_use_s,
    live_lease,
    marked,
    remove_dead_leases,
    server_time_s,
)
from traffic_yolo.errors import StorageError
from traffic_yolo.storage import remove_abandoned
from traffic_yolo.storage.atomic import storage_error

GONE_PREFIX = ".gone-"
BUSY = "another collection is at work on it"
DAY_S = 24 * 3600.0


@dataclass(frozen=True)
class Fate:
    """What becomes of a data set: `stays` says why it is kept, "" for one that goes; `size`: bytes of one that goes."""

    fingerprint: str
    stays: str
    used_s: float
    size: int = 0

    @property
    def text(self) -> str:
        """One line."""
        what = f"{self.fingerprint[:12]}"
        if self.stays:
            return f"{what} stays: {self.stays}"
        return f"{what} ({self.size / 1e9:.3f} GB) goes: last used on {_day(self.used_s)}"


@dataclass(frozen=True)
class Collection:
    """A collection in `store`. `spared`: fingerprint -> why a data set stays. `older_than_s`: how long it was not used.

    Its methods raise `StorageError` where the store is not there, or cannot be written.
    """

    store: DataStore
    spared: Mapping[str, str]
    older_than_s: float

    def fates(self) -> list[Fate]:
        """What `collect` would do, by fingerprint."""
        self.store.check()
        try:
            now_s = server_time_s(self.store.root)
            return [self._fate(name, now_s) for name in self._names()]
        except OSError as error:
            raise _refused(error, self.store.root) from error

    def collect(self) -> Iterator[Fate]:
        """Takes away what `fates` lets go, one after the other; yields what became of every data set.

        What killed writers and collections have left goes as well.
        """
        self.store.check()
        root = self.store.root
        try:
            self._remove_leftovers()
            for name in self._names():
                fate = self._fate(name, server_time_s(root))
                yield fate if fate.stays else self._take(fate)
        except OSError as error:
            raise _refused(error, root) from error

    def _names(self) -> list[str]:
        return sorted(name for name in os.listdir(self.store.root) if FINGERPRINT.fullmatch(name))

    def _fate(self, name: str, now_s: float) -> Fate:
        root = self.store.root
        used_s = last_use_s(root, name)
        if reason := self.spared.get(name):
            return Fate(name, reason, used_s)
        if holder := live_lease(root, name, now_s=now_s):
            return Fate(name, f"read by {holder}", used_s)
        if is_marked(root, name):
            return Fate(name, BUSY, used_s)
        if now_s - used_s < self.older_than_s:
            days = self.older_than_s / DAY_S
            return Fate(name, f"last used on {_day(used_s)}, less than {days:g} days ago", used_s)
        return Fate(name, "", used_s, _size(root / name))

    def _take(self, fate: Fate) -> Fate:
        """C1 to C6 of `reading_lease`."""
        root, name = self.store.root, fate.fingerprint
        private = root / f"{GONE_PREFIX}{name}-{uuid.uuid4().hex}"
        with marked(root, name) as mark:
            if mark is None:
                return Fate(name, BUSY, fate.used_s)
            if holder := live_lease(root, name, now_s=server_time_s(root)):
                return Fate(name, f"read by {holder}", fate.used_s)
            if not mark.is_own:
                return Fate(name, BUSY, fate.used_s)
            os.rename(root / name, private)
            if holder := live_lease(root, name, now_s=server_time_s(root)):
                os.rename(private, root / name)
                return Fate(name, f"read by {holder}", fate.used_s)
        _delete(private)
        remove_dead_leases(root, name, now_s=server_time_s(root))
        return fate

    def _remove_leftovers(self) -> None:
        root = self.store.root
        remove_abandoned(root)
        for name in sorted(os.listdir(root)):
            # A marked one may be put back yet
            if name.startswith(GONE_PREFIX) and not is_marked(root, name.removeprefix(GONE_PREFIX).partition("-")[0]):
                _delete(root / name)


def _delete(folder: Path) -> None:
    """Deletes a folder that another collection may be deleting as well; what is left is the next one's."""
    shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    """Bytes of all its files."""
    return sum(
        os.stat(os.path.join(place, name), follow_symlinks=False).st_size
        for place, _, names in os.walk(folder)
        for name in names
    )


def _day(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d")


def _refused(error: OSError, root: Path) -> StorageError:
    return error if isinstance(error, StorageError) else storage_error(error, root)
