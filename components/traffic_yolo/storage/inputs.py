"""The path on this machine of something to read; what lies in object storage is copied to the local cache first."""

from pathlib import Path

from traffic_yolo.errors import StorageError
from traffic_yolo.storage.folder_sync import sync
from traffic_yolo.storage.locations import AnyPath, is_s3, local_path, location_text, shown
from traffic_yolo.storage.open_place import open_place
from traffic_yolo.storage.operations import fetch


def input_path(location: AnyPath, *, what: str) -> Path:
    """The path on this machine of something to read. `what` names it in messages.

    Objects are copied to the local cache first: one by `fetch`, all below a prefix by `sync`; `StorageError` where
    there are none. Whether anything lies at another location is left to who opens it.
    """
    location = location_text(location)
    if not is_s3(location):
        return local_path(location)
    place = open_place(location)
    if place.stat() is not None:
        return fetch(location)
    if not place.exists():
        raise StorageError(f"{what} not found: {shown(location)}; check bucket and key")
    copy = place.copy_path()
    assert copy is not None
    sync(location, str(copy), delete=True, wait=True)
    return copy


def existing_path(location: AnyPath, *, what: str) -> Path:
    """`input_path` that is refused with `StorageError` where nothing is there."""
    path = input_path(location, what=what)
    if not path.exists():
        raise StorageError(f"{what} not found: {path}; check the path, or that the share is mounted")
    return path


def existing_folder(location: AnyPath, *, what: str) -> Path:
    """`existing_path` that must be a folder with something in it."""
    path = existing_path(location, what=what)
    if not path.is_dir():
        raise StorageError(f"{what} is not a folder: {path}")
    if next(path.iterdir(), None) is None:
        raise StorageError(f"{what} is empty: {path}")
    return path
