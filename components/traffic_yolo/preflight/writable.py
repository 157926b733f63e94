"""Whether a place can really be written: a private name is put there and taken away again."""

import contextlib
import secrets

from traffic_yolo.errors import StorageError
from traffic_yolo.storage import AnyPath, check_writable, is_s3, join, local_path, put, remove, shown

PREFIX = ".traffic-yolo-preflight-"


def try_to_write(folder: AnyPath) -> None:
    """Writes and removes a file in a folder that need not exist: in it, or in the nearest one above it that does.

    Unlike `check_writable` it meets a full disk, a read-only mount, a quota, and credentials that may only read. Makes
    no folder. Raises `StorageError`.
    """
    place = folder
    if not is_s3(folder):
        check_writable(folder)
        nearest = local_path(folder).absolute()
        while not nearest.exists():
            nearest = nearest.parent
        place = nearest
    name = join(place, f"{PREFIX}{secrets.token_hex(8)}")
    try:
        put(name, b"traffic-yolo looks whether it can write here\n")
    except StorageError as error:
        with contextlib.suppress(StorageError):  # which would hide why
            remove(name)
        raise StorageError(f"{shown(str(folder))}: cannot be written: {error}") from error
    remove(name)
