"""What a conversion can start from, behind one small interface: streams of frames, and the groups they come in."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from traffic_yolo.atm.jpeg import check_jpeg_complete, jpeg_size
from traffic_yolo.atm.recording import RECORDING_SUFFIX, find_recordings
from traffic_yolo.dataset.atm_source import AtmSource
from traffic_yolo.dataset.coco import read_coco
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.dataset.yolo import label_path_of, read_data_yaml, read_yolo_labels
from traffic_yolo.errors import DatasetError, LabelError, OptionsError, RecordingError, StorageError
from traffic_yolo.storage import existing_path

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class Source(Protocol):
    """A source of frames.

    `classes` in the source's own order. `labelled_classes`: those that occur among its human labels. `groups()` counts
    the labelled pictures by (site, recording), without reading a picture. `num_frames` counts what `frames()` yields.
    `notes` are lines for the report, complete once `frames()` has been read to the end.
    """

    classes: tuple[str, ...]
    labelled_classes: frozenset[str]
    description: str
    num_frames: int
    notes: list[str]
    fixed_splits: frozenset[str]

    def groups(self) -> Counter[tuple[str, str]]:
        """(site, recording) -> labelled pictures."""
        ...

    def frames(self) -> Iterator[Frame]:
        """Every frame, one at a time, in a stable order."""
        ...


def open_source(location: str, *, labels: str = "", source_format: str = "auto") -> Source:
    """Finds out what `location` is (unless `source_format` says it) and opens it.

    Raises `StorageError` where nothing is there, `OptionsError` where it is nothing we know.
    """
    path = existing_path(location, what="source")
    if path.is_dir() and next(path.iterdir(), None) is None:
        raise StorageError(f"source is empty: {path}; check that the share is mounted")
    found = _detect(path) if source_format == "auto" else source_format
    if found == "atm":
        return AtmSource(path, existing_path(labels, what="label file") if labels else None)
    if labels:
        raise OptionsError(f"labels go with ATM recordings; a {found} source has its own: leave --labels out")
    if found == "coco":
        return _coco_source(path)
    return _yolo_source(path)


def _detect(path: Path) -> str:
    if path.is_file():
        known = {RECORDING_SUFFIX: "atm", ".json": "coco", ".yaml": "yolo", ".yml": "yolo"}
        if path.suffix in known:
            return known[path.suffix]
    elif find_recordings(path):
        return "atm"
    elif (path / "data.yaml").is_file():
        return "yolo"
    elif list(path.glob("*.json")) or list(path.glob("annotations/*.json")):
        return "coco"
    known_forms = f"ATM recordings (*{RECORDING_SUFFIX}), a COCO file (*.json) or a YOLO data set (data.yaml)"
    raise OptionsError(f"{path}: expected {known_forms}, found none of them")


@dataclass(frozen=True)
class _Entry:
    """One picture of a COCO or YOLO set; the labels are in memory, the picture is not."""

    path: Path
    recording: str
    scan: str
    site: str
    annotations: Sequence[Annotation]
    fixed_split: str = ""


class FileSource:
    """Pictures in files with labels that are known beforehand (COCO, YOLO)."""

    def __init__(self, entries: Sequence[_Entry], classes: tuple[str, ...], description: str, notes: list[str]) -> None:
        self._entries = entries
        self.classes = classes
        self.labelled_classes = frozenset(a.class_name for entry in entries for a in entry.annotations)
        self.description = description
        self.num_frames = len(entries)
        self.notes = notes
        own = frozenset(entry.fixed_split for entry in entries)
        self.fixed_splits = frozenset() if "" in own else own

    def groups(self) -> Counter[tuple[str, str]]:
        """(site, recording) -> pictures."""
        return Counter((entry.site, entry.recording) for entry in self._entries)

    def frames(self) -> Iterator[Frame]:
        """Every picture; its size is read from its header."""
        for entry in self._entries:
            data = entry.path.read_bytes()
            width, height = picture_size(data, what=str(entry.path))
            yield Frame(
                recording=entry.recording,
                scan=entry.scan,
                width=width,
                height=height,
                annotations=tuple(entry.annotations),
                picture=entry.path.read_bytes,
                site=entry.site,
                suffix=entry.path.suffix.lower().replace(".jpeg", ".jpg"),
                fixed_split=entry.fixed_split,
                attributes={"labels": "human"},
            )


def picture_size(data: bytes, *, what: str) -> tuple[int, int]:
    """(width, height) of a JPEG or PNG from its header; `DatasetError` for what is neither, or is cut off."""
    if data.startswith(PNG_SIGNATURE) and len(data) > 24:
        if b"IEND" not in data[-16:]:
            raise DatasetError(f"{what}: PNG is cut off; copy it again or remove it")
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    try:
        check_jpeg_complete(data, what=what)
        return jpeg_size(data, what=what)
    except RecordingError as error:
        raise DatasetError(str(error)) from error


def _coco_source(path: Path) -> FileSource:
    """A JSON file, or a folder with JSON files in it or in `annotations/`; their splits follow the file names."""
    files = [path] if path.is_file() else sorted([*path.glob("*.json"), *path.glob("annotations/*.json")])
    root = path.parent if path.is_file() else path
    entries: list[_Entry] = []
    notes: list[str] = []
    classes: tuple[str, ...] = ()
    for file in files:
        labels = read_coco(file)
        if classes and labels.classes != classes:
            raise LabelError(f"{file}: its categories are {labels.classes}, those of {files[0].name} are {classes}")
        classes = labels.classes
        if labels.degenerate:
            notes.append(f"{file.name}: {labels.degenerate} boxes without area left out")
        split = next((s for s in ("train", "val", "test") if s in file.stem.lower()), "") if len(files) > 1 else ""
        finder = _PictureFinder(root, file)
        for image in labels.images:
            name = Path(image.file_name)
            entries.append(
                _Entry(
                    path=finder.find(image.file_name),
                    recording=str(image.fields.get("recording") or _folder_name(name, root)),
                    scan=name.stem,
                    site=str(image.fields.get("site") or ""),
                    annotations=image.annotations,
                    fixed_split=split,
                )
            )
    return FileSource(_distinct(entries), classes, f"COCO, {len(files)} files", notes)


def _yolo_source(path: Path) -> FileSource:
    """A data.yaml, or the folder that holds one. A picture without a label file has no objects, and is counted."""
    data_yaml = path if path.is_file() else path / "data.yaml"
    described = read_data_yaml(existing_path(str(data_yaml), what="data.yaml"))
    listed = {name: set(pictures) for name, pictures in described.pictures.items() if pictures}
    honest = len(listed) > 1 and sum(map(len, listed.values())) == len(set().union(*listed.values()))
    entries, unlabelled = [], 0
    for split, pictures in described.pictures.items():
        if not honest and split != next(iter(listed)) and listed.get(split, set()) == next(iter(listed.values())):
            continue
        for picture in pictures:
            image_wh = picture_size(existing_path(str(picture), what="picture").read_bytes(), what=str(picture))
            label_file = label_path_of(picture)
            unlabelled += not label_file.is_file()
            annotations = read_yolo_labels(label_file, described.classes, image_wh) if label_file.is_file() else []
            folder = (
                _folder_name(picture.relative_to(data_yaml.parent), data_yaml.parent)
                if (picture.is_relative_to(data_yaml.parent))
                else picture.parent.name
            )
            entries.append(_Entry(picture, folder, picture.stem, "", annotations, split if honest else ""))
    notes = [f"{unlabelled} pictures without a label file: taken as pictures without objects"] if unlabelled else []
    if len(listed) > 1 and not honest:
        notes.append("the source's splits share pictures: they are not used")
    return FileSource(_distinct(entries), described.classes, "YOLO", notes)


def _folder_name(relative: Path, root: Path) -> str:
    """The folder of a picture below the source, which stands for its recording; the source's own name at the top."""
    parts = [part for part in relative.parent.parts if part not in ("images", "..", ".", "/")]
    return "-".join(parts) or root.name or "pictures"


def _distinct(entries: list[_Entry]) -> list[_Entry]:
    """In the order of recording and scan; `DatasetError` where two pictures would get the same name."""
    ordered = sorted(entries, key=lambda entry: (entry.recording, entry.scan))
    for before, after in itertools.pairwise(ordered):
        if (before.recording, before.scan) == (after.recording, after.scan):
            raise DatasetError(f"two pictures of one name: {before.path} and {after.path}; rename one")
    return ordered


class _PictureFinder:
    """Finds the pictures of a COCO file, which names them relative to a folder that it does not say."""

    def __init__(self, root: Path, file: Path) -> None:
        self._file = file
        near = [root, root / "images", file.parent, file.parent / "images", file.parent.parent / "images"]
        below = [folder for images in (root / "images", file.parent.parent / "images") for folder in images.glob("*/")]
        self._folders = list(dict.fromkeys([*near, *below]))

    def find(self, name: str) -> Path:
        """The picture's path; `LabelError` where none of the folders has it."""
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise LabelError(f"{self._file}: picture {name!r} lies outside the data set's folder")
        for folder in self._folders:
            if (folder / name).is_file():
                return folder / name
        raise LabelError(f"{self._file}: picture {name} not found in {', '.join(map(str, self._folders[:3]))} …")
