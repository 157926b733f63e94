"""What a conversion can start from, behind one small interface: streams of frames, and the groups they come in."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from traffic_yolo.atm.recording import RECORDING_SUFFIX, find_recordings
from traffic_yolo.dataset.atm_source import AtmSource
from traffic_yolo.dataset.file_source import coco_files, coco_source, yolo_source
from traffic_yolo.dataset.records import Frame, PictureKey
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.storage import existing_path


class Source(Protocol):
    """A source of frames.

    `classes` in the source's own order; `default_classes`: those that stay where no class map is given. `keys` names
    every picture that humans labelled, known without reading one. `may_split_pictures`: whether pictures of one
    recording may go into different splits where nothing better is known (never those of a video). `num_frames` counts
    what `frames()` yields. `notes` are lines for the report, complete once `frames()` has been read to the end.
    """

    classes: tuple[str, ...]
    default_classes: frozenset[str]
    keys: tuple[PictureKey, ...]
    may_split_pictures: bool
    num_frames: int
    notes: list[str]

    @property
    def description(self) -> str:
        """What it is, for the manifest."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Every frame, one at a time, in a stable order."""
        ...


def open_source(
    location: str, *, labels: str = "", source_format: str = "auto", only: Collection[str] | None = None
) -> Source:
    """Finds out what `location` is (unless `source_format` says it) and opens it.

    `only`: paths below `location`; recordings that are not among them are left alone (they came after a snapshot).
    Raises `StorageError` where nothing is there, `OptionsError` where it is nothing we know.
    """
    path = existing_path(location, what="source")
    if path.is_dir() and next(path.iterdir(), None) is None:
        raise StorageError(f"source is empty: {path}; check that the share is mounted")
    found = _detect(path) if source_format == "auto" else source_format
    if found == "atm":
        return AtmSource(path, existing_path(labels, what="label file") if labels else None, only=only)
    if labels:
        raise OptionsError(f"labels go with ATM recordings; a {found} source has its own: leave labels out")
    return coco_source(path) if found == "coco" else yolo_source(path)


def _detect(path: Path) -> str:
    if path.is_file():
        known = {RECORDING_SUFFIX: "atm", ".json": "coco", ".yaml": "yolo", ".yml": "yolo"}
        if path.suffix in known:
            return known[path.suffix]
    elif find_recordings(path):
        return "atm"
    # COCO before YOLO: our own folders are both, and only COCO can say ignore, crowd and who drew a box
    elif (path / "annotations").is_dir() and coco_files(path):
        return "coco"
    elif (path / "data.yaml").is_file():
        return "yolo"
    elif coco_files(path):
        return "coco"
    known_forms = f"ATM recordings (*{RECORDING_SUFFIX}), a COCO file (*.json) or a YOLO data set (data.yaml)"
    raise OptionsError(f"{path}: expected {known_forms}, found none of them")
