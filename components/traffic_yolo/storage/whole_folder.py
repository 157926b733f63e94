"""Folders that appear whole or not at all, and leave nothing of a killed process behind."""

import contextlib
import ctypes
import errno
import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.errors import StorageError
from traffic_yolo.storage.atomic import storage_error, sync_folder, temporary_prefix
from traffic_yolo.storage.locations import AnyPath, output_path
from traffic_yolo.storage.operations import check_writable

LOCK_SUFFIX = ".tmp.lock"
TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)  # a rename onto what came in the meantime


@contextlib.contextmanager
def atomic_folder(path: AnyPath) -> Iterator[Path]:
    """Yields an empty temporary neighbour of `path`; when the block ends well it becomes `path`.

    `path` may exist when it is an empty folder (KFP makes the folder of an output artifact beforehand); anything else
    there is refused with `StorageError` before any work is done. When the block raises, nothing is left behind. What a
    killed process left behind is removed by the next one that writes the same `path`.
    """
    path = output_path(path)
    with private_folder(path) as temporary:
        _check_new(path)
        yield temporary
        sync_below(temporary)
        try:
            os.replace(temporary, path)  # an empty folder gives way
        except OSError as error:
            if error.errno in TAKEN:
                raise StorageError(
                    f"output exists already: {path}: another run wrote it while this one ran; remove it or choose "
                    f"another --out"
                ) from error
            raise
        sync_folder(path.parent)


def check_new_folder(path: AnyPath) -> None:
    """Raises `StorageError` where `atomic_folder` would: something is there, or it cannot be written.

    What a killed process left beside it is removed, as there: whoever is refused here never comes to that.
    """
    path = output_path(path)
    _remove_abandoned(path.parent, temporary_prefix(path))
    _check_new(path)
    check_writable(path)


def _check_new(path: Path) -> None:
    if path.exists() and not (path.is_dir() and next(path.iterdir(), None) is None):
        raise StorageError(f"output exists already: {path}; remove it or choose another --out")


@contextlib.contextmanager
def private_folder(path: AnyPath) -> Iterator[Path]:
    """Yields an empty temporary neighbour of `path`, for a block that renames it to whatever it turns out to be.

    What has that name at the block's end is removed. What a killed process left behind is removed by the next one that
    asks for a neighbour of the same `path`. Raises `StorageError` for what the system refuses, in the block as well.
    """
    path = output_path(path)
    lock: _Lock | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path.parent, temporary_prefix(path))
        lock = _Lock.taken(path)
        lock.folder.mkdir()
        yield lock.folder
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if lock is not None:
            shutil.rmtree(lock.folder, ignore_errors=True)
            lock.release()


def sync_below(folder: Path) -> None:
    """Makes every file and folder below `folder` survive a power cut. Raises `OSError` where the disk refuses.

    One call for the whole file system, where there is one (Linux): a call for each of a million files takes as long as
    writing them.
    """
    if _SYNCFS is None:
        for place, _, names in os.walk(folder):
            for name in names:
                with open(os.path.join(place, name), "rb") as file:
                    os.fsync(file.fileno())
            sync_folder(Path(place))
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if _SYNCFS(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)


def _syncfs() -> Callable[[int], int] | None:
    """The C library's `syncfs`, which reports failed writes since Linux 5.8; None where there is none."""
    try:
        function = ctypes.CDLL(None, use_errno=True).syncfs
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = [ctypes.c_int], ctypes.c_int
    found: Callable[[int], int] = function
    return found


_SYNCFS = _syncfs()


@dataclass
class _Lock:
    """A locked file beside a temporary folder, which says that the folder's process is alive."""

    path: Path
    descriptor: int

    @classmethod
    def taken(cls, target: Path) -> "_Lock":
        """A lock under a new name; under another where a cleaner caught the file before it was locked."""
        while True:
            descriptor, name = tempfile.mkstemp(prefix=temporary_prefix(target), suffix=LOCK_SUFFIX, dir=target.parent)
            if _locked(descriptor) is not False:  # a file system without locks must do without cleaners too
                return cls(Path(name), descriptor)
            os.close(descriptor)

    @property
    def folder(self) -> Path:
        """The temporary folder that the lock belongs to."""
        return self.path.with_suffix("")

    def release(self) -> None:
        """Removes the file, then lets go of it."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def remove_abandoned(folder: AnyPath) -> None:
    """Removes the temporary folders, directly inside `folder`, of all writers that are dead."""
    _remove_abandoned(output_path(folder), ".")


def _remove_abandoned(folder: Path, prefix: str) -> None:
    """Removes temporary folders with names like this whose processes are dead; what cannot be told or removed stays."""
    with contextlib.suppress(OSError):
        for path in folder.glob(f"{glob.escape(prefix)}*{LOCK_SUFFIX}"):
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    if _locked(descriptor):
                        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                        path.unlink()
                finally:
                    os.close(descriptor)


def _locked(descriptor: int) -> bool | None:
    """Locks an open file; False where another process has it, None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
