"""The pictures of a recording, of a folder or of a data set by their content, as `trained_on.json` names them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from traffic_yolo.atm.recording import RECORDING_SUFFIX, Recording, find_recordings
from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.errors import DatasetError
from traffic_yolo.progress import progress
from traffic_yolo.storage import AnyPath, existing_path, sha256_of_file
from traffic_yolo.trained_on import HASH_DIGITS


def content_hashes(location: AnyPath) -> dict[str, str]:
    """Hash -> name of every picture that lies at a location; of pictures that are the same, the first one's name.

    `location`: a picture, an ATM recording, or a folder of these. A name is a path below the folder, for a scan
    `<recording>/<scan>`. The hash is `trained_on.picture_hashes`'s; conversions copy pictures byte for byte, so that a
    scan of a recording has the hash of its picture in any data set. Raises `StorageError`, `RecordingError`, and
    `DatasetError` where no picture is.
    """
    path = existing_path(location, what="recording")
    found: dict[str, str] = {}
    for name, digest in _hashes_at(path):
        found.setdefault(digest, name)
    if not found:
        wanted = f"a recording (*{RECORDING_SUFFIX}), a picture, or a folder of these"
        raise DatasetError(f"{location}: no picture; expected {wanted}")
    return found


def _hashes_at(path: Path) -> Iterator[tuple[str, str]]:
    recordings = find_recordings(path) if path.is_dir() or path.suffix == RECORDING_SUFFIX else []
    for each in progress(recordings, description="hash", unit="recording"):
        with Recording(each) as recording:
            for number in recording.scan_numbers:
                scan = recording.scan(number, parts=())
                if scan.jpeg is not None:
                    yield f"{recording.name}/{scan.name}", hashlib.sha256(scan.jpeg).hexdigest()[:HASH_DIGITS]
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    pictures = [each for each in files if each.suffix.lower() in PICTURE_SUFFIXES]
    for each in progress(pictures, description="hash", unit="picture"):
        name = each.name if each == path else each.relative_to(path).as_posix()
        yield name, sha256_of_file(each)[:HASH_DIGITS]
