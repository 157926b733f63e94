"""A folder that keeps data sets, each under its fingerprint: written once, whole, and never changed."""

import contextlib
import errno
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.manifest import CLASSES_NAME, MANIFEST_NAME
from traffic_yolo.dataset.store.reading_lease import LEASES_NAME, hold, is_there
from traffic_yolo.errors import DatasetError, StorageError
from traffic_yolo.progress import progress
from traffic_yolo.storage import join, output_path, private_folder, read_json, sha256_of_file, shown
from traffic_yolo.storage.atomic import sync_folder
from traffic_yolo.storage.whole_folder import sync_below

FINGERPRINT = re.compile(r"[0-9a-f]{64}")
PRIVATE_NAME = "data-set"  # of what is being written, with a dot before it and more after it
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
READ_FIRST = (CLASSES_NAME, "annotations/")  # what a reader holds to its hash, so the writer does as well


@dataclass(frozen=True)
class DataStore:
    """The store at `location`, a path or nas://; it need not be there yet."""

    location: str

    @property
    def root(self) -> Path:
        """Its folder on this machine; `StorageError` for a location that is none, or lies in object storage."""
        return output_path(self.location)

    def check(self) -> None:
        """Raises `StorageError` where no writer has ever made a store: where the share is not mounted, say."""
        if not (self.root / LEASES_NAME).is_dir():
            raise StorageError(f"data store not found: {shown(self.location)}; check that the share is mounted here")

    def place_of(self, fingerprint: str) -> str:
        """The location of a data set."""
        return join(self.location, fingerprint)

    def held(self, fingerprint: str) -> Path | None:
        """The folder of a data set that stays for as long as this process lives; None where it is not there.

        Raises `StorageError` where the store itself is not.
        """
        self.check()  # else the lease would be made below an empty mount point
        hold(self.root, fingerprint)
        folder = self.root / fingerprint
        return folder if is_there(folder) else None

    @contextlib.contextmanager
    def written(self, *, expected: str = "") -> Iterator[Path]:
        """Yields a private folder for a data set, which has its place in the store when the block ends well.

        Where another writer was faster, its folder is held to the manifest of this one, and stays. When the block
        raises, nothing is left behind; what a killed process left is removed by the next writer. `expected`: the
        fingerprint that it must have, where not "". Raises `DatasetError` for another one, and where something else
        lies in its place.
        """
        root = self.root
        with private_folder(root / PRIVATE_NAME) as folder:
            (root / LEASES_NAME).mkdir(exist_ok=True)
            yield folder
            manifest = read_json(folder / MANIFEST_NAME, what="manifest", error=DatasetError)
            fingerprint = str(manifest["fingerprint"])
            if expected and fingerprint != expected:
                raise DatasetError(
                    f"the source has changed since: converted now, it gives fingerprint {fingerprint:.12}…, expected "
                    f"{expected:.12}…; run convert anew"
                )
            sync_below(folder)
            hold(root, fingerprint)
            _put_in_place(folder, root / fingerprint, manifest)
            sync_folder(root)


def stored_in(folder: Path) -> DataStore | None:
    """The store that a folder is a data set of; None where it is in none."""
    is_one = FINGERPRINT.fullmatch(folder.name) and (folder.parent / LEASES_NAME).is_dir()
    return DataStore(str(folder.parent)) if is_one else None


def _put_in_place(private: Path, place: Path, manifest: Mapping[str, Any]) -> None:
    try:
        os.rename(private, place)
    except OSError as error:
        if error.errno not in TAKEN and not place.is_dir():
            raise
        _check_stored(place, manifest)


def _check_stored(place: Path, manifest: Mapping[str, Any]) -> None:
    """Raises `DatasetError` unless every file is there in its size, and labels and classes have their hashes."""
    for entry in progress(manifest["files"], description="check", unit="file"):
        path, size = place / entry["path"], None
        with contextlib.suppress(FileNotFoundError):
            size = path.stat().st_size
        found = "nothing" if size is None else f"{size} bytes"
        is_same = size == entry["size"]
        if is_same and entry["path"].startswith(READ_FIRST):
            found = f"SHA-256 {sha256_of_file(path):.12}…"
            is_same = sha256_of_file(path) == entry["sha256"]
        if not is_same:
            raise DatasetError(
                f"{path}: expected {entry['size']} bytes with SHA-256 {entry['sha256']:.12}…, found {found}; somebody "
                f"has changed the data set that is kept there: move {place.name} out of the store, and run again"
            )
