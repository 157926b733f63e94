"""One model of a zoo in object storage, where nothing is locked and no folder appears at once.

The last object of a version is its checksum file: without it, a prefix is no version. Numbers are claimed by objects
that are put only where nothing is, and `current` moves only from what its writer saw. Before a version goes, an object
below `removals/` says so: whoever names a version looks for it afterwards, and a collection looks for names after it
has put it, so one of the two sees the other. It lapses by itself, for a collection that was killed.
"""

import contextlib
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from traffic_yolo.errors import AlreadyExistsError, ModelError, StorageError
from traffic_yolo.registry.bundle import SUMS_NAME, Bundle
from traffic_yolo.registry.model_home import CURRENT_NAME, VERSION_NAME, InUse, in_order
from traffic_yolo.storage import (
    AnyPath,
    StoredFile,
    join,
    list_files,
    put,
    put_if_unchanged,
    put_new,
    read,
    remove,
    stat,
)

NUMBERS_FOLDER = "numbers"  # below a model: number -> hash of the version that it was given to
REMOVALS_FOLDER = "removals"  # below a model: version -> a mark of each collection that is taking it away
MARK_S = 900.0  # for which a mark holds; from there to the first removal it takes a few requests
PLACE_ATTEMPTS, PLACE_WAIT_S = 30, 1.0  # at a version that a collection is taking away
ABANDONED_DAYS = 7  # after which nobody is still writing a version


class ObjectHome:
    """`s3://<zoo>/<name>`; see `ModelHome`."""

    def __init__(self, zoo: AnyPath, name: str) -> None:
        self.name = name
        self._location = join(zoo, name)

    @property
    def location(self) -> str:
        """See `ModelHome`."""
        return self._location

    def locked(self) -> AbstractContextManager[None]:
        """See `ModelHome`."""
        return contextlib.nullcontext()

    def versions(self) -> list[str]:
        """See `ModelHome`."""
        return _whole(list_files(self._location).files)

    def bundle(self, version: str) -> str:
        """See `ModelHome`."""
        return join(self._location, version)

    def current(self) -> InUse:
        """See `ModelHome`."""
        place = join(self._location, CURRENT_NAME)
        seen = stat(place)  # before it is read: a pointer that moves in between is noticed when it is written
        return InUse(read(place).decode(errors="replace").strip() or None, seen) if seen else InUse(None)

    def write_current(self, version: str, before: InUse) -> None:
        """See `ModelHome`."""
        put_if_unchanged(join(self._location, CURRENT_NAME), f"{version}\n".encode(), before.seen)

    def clear_current(self) -> None:
        """See `ModelHome`."""
        remove(join(self._location, CURRENT_NAME))

    def place(self, bundle: Bundle) -> str:
        """See `ModelHome`. A version whose publisher was cut off is written to its end, under the number it has.

        Where a collection still takes away what lay under that name, it is written again.
        """
        version = self._claimed(bundle.version_hash)
        names = {name for name, _ in bundle.contents()}
        for _ in range(PLACE_ATTEMPTS):
            self._put(bundle, version)
            there = {file.name for file in list_files(self.bundle(version)).files}
            if names <= there and not self._marks(version):
                return version
            time.sleep(PLACE_WAIT_S)
        raise StorageError(
            f"{self.bundle(version)}: a collection is taking this version away, or was cut off there; publish "
            f"again in a quarter of an hour"
        )

    def _put(self, bundle: Bundle, version: str) -> None:
        stated = {**bundle.card["sha256"]}
        for name, content in bundle.contents():
            stored = put(join(self._location, version, name), content)
            if stored.sha256 != stated.get(name, stored.sha256):
                raise ModelError(f"{content if isinstance(content, Path) else name} was changed while it was published")

    def is_going(self, version: str) -> bool:
        """See `ModelHome`."""
        return not self._is_whole(version) or bool(self._marks(version))

    def remove(self, version: str, is_named: Callable[[], bool]) -> bool:
        """See `ModelHome`. Each of several collections at once has a mark of its own, which only it takes away.

        So a publisher who puts the version there again sees that of the last one that may still remove something.
        """
        mark = join(self._location, REMOVALS_FOLDER, version, uuid.uuid4().hex)
        put_new(mark, b"")
        since = time.monotonic()
        # A process that slept longer than its mark lasts must not go on with what it saw before
        goes = not is_named() and time.monotonic() - since < MARK_S / 2
        if goes:  # the checksum file first, without which it is no version
            self._remove([SUMS_NAME, *(file.name for file in list_files(self.bundle(version)).files)], version)
        remove(mark)
        self._remove_lapsed(version)
        return goes

    def _remove_lapsed(self, version: str) -> None:
        fresh = self._marks(version)
        for name in self._all_marks(version):
            if name not in fresh:
                remove(join(self._location, REMOVALS_FOLDER, version, name))

    def _all_marks(self, version: str) -> dict[str, int]:
        """Name of a mark -> when it was put, in nanoseconds."""
        folder = join(self._location, REMOVALS_FOLDER, version)
        return {file.name: file.modified_ns for file in list_files(folder).files}

    def _marks(self, version: str) -> list[str]:
        """Those that have not lapsed."""
        lapsed_ns = (datetime.now(UTC) - timedelta(seconds=MARK_S)).timestamp() * 1e9
        return [name for name, put_ns in self._all_marks(version).items() if put_ns > lapsed_ns]

    def remove_abandoned(self) -> None:
        """See `ModelHome`."""
        files = list_files(self._location).files
        half: dict[str, list[StoredFile]] = {}
        for file in files:
            version, _, _ = file.name.partition("/")
            if VERSION_NAME.fullmatch(version):
                half.setdefault(version, []).append(file)
        old_ns = (datetime.now(UTC) - timedelta(days=ABANDONED_DAYS)).timestamp() * 1e9
        marked = {file.name.split("/")[1] for file in files if file.name.startswith(f"{REMOVALS_FOLDER}/")}
        whole = set(_whole(files))
        for version in marked - whole:  # a collection was killed there, after it had decided
            self.remove(version, lambda version=version: self._is_whole(version))  # type: ignore[misc]
        for version in marked & whole:  # before it had, or it goes on
            self._remove_lapsed(version)
        for version in set(half) - whole - marked:
            if all(file.modified_ns < old_ns for file in half[version]):
                self.remove(version, lambda version=version: self._is_whole(version))  # type: ignore[misc]

    def _is_whole(self, version: str) -> bool:
        """Whether a publisher came to its end there meanwhile."""
        return stat(join(self.bundle(version), SUMS_NAME)) is not None

    def _remove(self, names: list[str], version: str) -> None:
        for name in names:
            remove(join(self._location, version, name))

    def _claimed(self, version_hash: str) -> str:
        """The name of the version with this hash: the one that it has, or the next number, which nobody else gets."""
        while True:
            files = list_files(self._location).files
            done = _whole(files)
            if (there := next((version for version in done if version.endswith(f"-{version_hash}")), None)) is not None:
                return there  # another publisher of the same was faster
            numbers = {int(version.split("-")[0]) for version in done}
            names = [file.name.partition("/")[2] for file in files if file.name.startswith(f"{NUMBERS_FOLDER}/")]
            claims = {int(name) for name in names if name.isascii() and name.isdigit()}
            for number in sorted(claims - numbers):  # of publishers that are at it or were cut off
                if read(self._claim(number)).decode(errors="replace") == version_hash:
                    return f"{number:04d}-{version_hash}"
            number = max(claims | numbers, default=0) + 1
            with contextlib.suppress(AlreadyExistsError):
                put_new(self._claim(number), version_hash.encode())
                return f"{number:04d}-{version_hash}"

    def _claim(self, number: int) -> str:
        return join(self._location, NUMBERS_FOLDER, f"{number:04d}")


def prefix_names(zoo: AnyPath) -> set[str]:
    """The first parts of the names of all objects below a location."""
    return {file.name.partition("/")[0] for file in list_files(zoo).files if "/" in file.name}


def _whole(files: list[StoredFile]) -> list[str]:
    """The versions whose checksum file is there, in order."""
    return in_order(file.name.removesuffix(f"/{SUMS_NAME}") for file in files if file.name.endswith(f"/{SUMS_NAME}"))
