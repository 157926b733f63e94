"""One model of a zoo that is a folder, usually on the NAS."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from traffic_yolo.errors import StorageError
from traffic_yolo.registry.bundle import Bundle
from traffic_yolo.registry.model_home import CURRENT_NAME, InUse, in_order, next_version
from traffic_yolo.storage import AnyPath, atomic_folder, output_path, remove_abandoned, write_text

LOCK_NAME = ".lock"
REMOVED_SUFFIX = ".removed"


class FolderHome:
    """`<zoo>/<name>`; see `ModelHome`."""

    def __init__(self, zoo: AnyPath, name: str) -> None:
        self.name = name
        self._folder = output_path(zoo) / name

    @property
    def location(self) -> str:
        """See `ModelHome`."""
        return str(self._folder)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """See `ModelHome`. The system lets go when the process ends, however it ends.

        On a share without locks nobody waits: two publishers may then take the same number, and their hashes tell the
        versions apart.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            file = (self._folder / LOCK_NAME).open("a")
        except OSError as error:
            raise StorageError(f"{self._folder}: the model zoo cannot be written: {error.strerror or error}") from error
        with file:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def versions(self) -> list[str]:
        """See `ModelHome`."""
        return in_order(folder_names(self._folder))

    def bundle(self, version: str) -> Path:
        """See `ModelHome`."""
        return self._folder / version

    def current(self) -> InUse:
        """See `ModelHome`."""
        try:
            text = (self._folder / CURRENT_NAME).read_text(encoding="utf-8", errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            return InUse(None)
        except OSError as error:
            raise StorageError(f"{self._folder / CURRENT_NAME}: {error.strerror or error}") from error
        return InUse(text.strip() or None)

    def write_current(self, version: str, before: InUse) -> None:  # noqa: ARG002 (the lock keeps others away)
        """See `ModelHome`."""
        write_text(self._folder / CURRENT_NAME, f"{version}\n")

    def place(self, bundle: Bundle) -> str:
        """See `ModelHome`."""
        version = next_version(self.versions(), bundle.version_hash)
        with atomic_folder(self._folder / version) as folder:
            bundle.write(folder)
        return version

    def clear_current(self) -> None:
        """See `ModelHome`."""
        try:
            (self._folder / CURRENT_NAME).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{self._folder / CURRENT_NAME}: {error.strerror or error}") from error

    def is_going(self, version: str) -> bool:
        """See `ModelHome`. What goes is renamed first."""
        return not (self._folder / version).is_dir()

    def remove(self, version: str, is_named: Callable[[], bool]) -> bool:
        """See `ModelHome`."""
        hidden = self._folder / f".{version}{REMOVED_SUFFIX}"
        try:
            shutil.rmtree(hidden, ignore_errors=True)
            os.replace(self._folder / version, hidden)
            if is_named():  # on a share without locks
                os.replace(hidden, self._folder / version)
                return False
            shutil.rmtree(hidden)
        except OSError as error:
            raise StorageError(f"{self._folder / version}: cannot be removed: {error.strerror or error}") from error
        return True

    def remove_abandoned(self) -> None:
        """See `ModelHome`. Call it under the lock. A version in use that went nevertheless is put back."""
        remove_abandoned(self._folder)
        in_use = self.current().version
        for path in self._folder.glob(f".*{REMOVED_SUFFIX}"):
            if path.name == f".{in_use}{REMOVED_SUFFIX}":
                with contextlib.suppress(OSError):  # it is there
                    os.replace(path, self._folder / str(in_use))
            shutil.rmtree(path, ignore_errors=True)


def folder_names(folder: AnyPath) -> list[str]:
    """The names of the folders inside a folder, in no order; empty where there is none."""
    path = output_path(folder)
    try:
        return [each.name for each in path.iterdir() if each.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError(f"{path}: cannot be listed: {error.strerror or error}") from error
