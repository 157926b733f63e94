"""Pictures that lie in files with labels beside them: COCO and YOLO data sets as sources of frames."""

import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.coco import CocoLabels, read_coco
from traffic_yolo.dataset.pictures import checked_picture_size, picture_suffix
from traffic_yolo.dataset.records import SPLITS, Annotation, Frame, PictureKey
from traffic_yolo.dataset.yolo import label_path_of, read_data_yaml, read_yolo_labels
from traffic_yolo.errors import DatasetError, LabelError, StorageError
from traffic_yolo.storage import existing_path

# Where a COCO data set keeps its label files, the surest place first: other JSON files often lie beside them
COCO_FILES = ("annotations/instances*.json", "instances*.json", "annotations/*.json", "*.json")
SPLIT_WORD = re.compile(r"(?<![a-z])(train|val|test)")
UNNAMED_RECORDING = "pictures"  # never the source's own name: a renamed source is the same source


@dataclass(frozen=True)
class Entry:
    """One picture of a COCO or YOLO set; the labels are in memory, the picture is not.

    `annotations` are in pixels, or in shares of the picture where `relative`. `stated_wh` is the size that the label
    file gives, if it does.
    """

    path: Path
    key: PictureKey
    annotations: Sequence[Annotation]
    label_file: Path
    relative: bool = False
    stated_wh: tuple[int, int] | None = None
    camera: str = ""
    day: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def labelled(self) -> bool:
        """Whether nothing but human labels is in it."""
        return all(annotation.label_source == "human" for annotation in self.annotations)

    def frame(self) -> Frame:
        """The frame; reads the picture."""
        data = read_picture(self.path)
        width, height = checked_picture_size(data, what=str(self.path))
        if self.stated_wh not in (None, (width, height)):
            stated = "x".join(map(str, self.stated_wh or ()))
            raise LabelError(f"{self.label_file}: says {self.path} has {stated} pixels; it has {width}x{height}")
        scale = (width, height, width, height) if self.relative else (1, 1, 1, 1)
        return Frame(
            recording=self.key.recording,
            scan=self.key.scan,
            width=width,
            height=height,
            annotations=tuple(_scaled(annotation, scale) for annotation in self.annotations),
            picture=partial(bytes, data),
            site=self.key.site,
            camera=self.camera,
            day=self.day,
            suffix=picture_suffix(data),
            labelled=self.labelled,
            label_file=str(self.label_file),
            attributes=self.attributes,
        )


class FileSource:
    """Pictures in files with labels that are known beforehand; see `sources.Source`."""

    may_split_pictures = True

    def __init__(
        self, entries: Sequence[Entry], classes: Sequence[str], default_classes: Sequence[str], notes: list[str]
    ) -> None:
        """Raises `DatasetError` where two pictures would get the same name."""
        self._entries = sorted(entries, key=lambda entry: (entry.key.recording, entry.key.scan))
        for before, after in itertools.pairwise(self._entries):
            if before.path == after.path:
                raise DatasetError(f"the label files name a picture twice: {before.path}; keep one")
            if (before.key.recording, before.key.scan) == (after.key.recording, after.key.scan):
                raise DatasetError(f"two pictures of one name: {before.path} and {after.path}; rename one")
        self.keys = tuple(entry.key for entry in self._entries if entry.labelled)
        self.classes = tuple(classes)
        self.default_classes = frozenset(default_classes)
        self.num_frames = len(entries)
        self.notes = notes

    @property
    def description(self) -> str:
        """What it is, for the manifest."""
        return f"{len(self._entries)} pictures in files"

    def frames(self) -> Iterator[Frame]:
        """Every picture, read once.

        Raises `DatasetError` for a picture that does not decode, `LabelError` for one of another size than stated.
        """
        return (entry.frame() for entry in self._entries)


def coco_files(path: Path) -> list[Path]:
    """The label files of a COCO data set: `path` itself, or those in the folder; empty where there is none."""
    if path.is_file():
        return [path]
    return next((found for pattern in COCO_FILES if (found := sorted(path.glob(pattern)))), [])


def coco_source(path: Path) -> FileSource:
    """A JSON file, or a folder with JSON files in it or in `annotations/`.

    Several files are splits where their names say so (`instances_val.json`). `site`, `recording`, `camera` and `day` of
    an image entry are taken where they are; else the picture's folder stands for the recording.
    """
    files = coco_files(path)
    if not files:
        raise StorageError(f"no COCO file (*.json) in {path} or its annotations folder")
    root = path.parent if path.is_file() else path
    root = root.parent if root.name == "annotations" else root
    read = [read_coco(file) for file in files]
    for labels in read[1:]:
        if labels.counted_classes != read[0].counted_classes:
            expected, found = (", ".join(some.counted_classes) for some in (read[0], labels))
            raise LabelError(f"{labels.path}: expected the categories of {files[0].name}: {expected}; found {found}")
    entries = [entry for labels in read for entry in _coco_entries(labels, root, keep_split=len(read) > 1)]
    classes = dict.fromkeys(name for labels in read for name in labels.classes)
    notes = [note for labels in read for note in labels.notes()]
    return FileSource(entries, tuple(classes), read[0].counted_classes, notes)


def _coco_entries(labels: CocoLabels, root: Path, *, keep_split: bool) -> Iterator[Entry]:
    word = SPLIT_WORD.search(labels.path.stem.lower())
    split = word[1] if word else ""
    finder = _PictureFinder(root, labels.path, split)
    for image in labels.images:
        path, fields = finder.find(image.file_name), image.fields
        recording = str(fields.get("recording") or _recording_of(path, root))
        yield Entry(
            path=path,
            key=PictureKey(str(fields.get("site") or ""), recording, path.stem, split if keep_split else ""),
            annotations=image.annotations,
            label_file=labels.path,
            stated_wh=(int(fields["width"]), int(fields["height"])),
            camera=str(fields.get("camera") or ""),
            day=str(fields.get("day") or ""),
            attributes=dict(fields.get("attributes") or {}),
        )


def yolo_source(path: Path) -> FileSource:
    """A data.yaml, or the folder that holds one. A picture without a label file has no objects, and is counted.

    The set's own splits are kept unless a picture is in two of them (many a data.yaml names one folder for all).
    """
    data_yaml = existing_path(str(path if path.is_file() else path / "data.yaml"), what="data.yaml")
    described = read_data_yaml(data_yaml)
    splits_of: dict[Path, set[str]] = {}
    for split in SPLITS:
        for picture in described.pictures[split]:
            splits_of.setdefault(Path(os.path.normpath(picture)), set()).add(split)
    shared = sum(len(splits) > 1 for splits in splits_of.values())
    entries, unlabelled = [], 0
    for picture, splits in splits_of.items():
        label_file, recording = label_path_of(picture), _recording_of(picture, data_yaml.parent)
        unlabelled += not label_file.is_file()
        entries.append(
            Entry(
                path=picture,
                key=PictureKey("", recording, picture.stem, "" if shared else min(splits)),
                # In a picture of one pixel: the real size is known when the picture is read
                annotations=read_yolo_labels(label_file, described.classes, (1, 1)) if label_file.is_file() else (),
                label_file=label_file,
                relative=True,
            )
        )
    notes = [f"{unlabelled} pictures without a label file: taken as pictures without objects"] if unlabelled else []
    if shared:
        notes.append(f"the source's own splits share {shared} pictures: they are not used")
    return FileSource(entries, described.classes, described.classes, notes)


def read_picture(path: Path) -> bytes:
    """The bytes of a picture; `StorageError` where they cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"picture cannot be read: {path}: {error.strerror}") from error


def _scaled(annotation: Annotation, scale: tuple[int, int, int, int]) -> Annotation:
    if scale == (1, 1, 1, 1):
        return annotation
    x, y, width, height = (value * factor for value, factor in zip(annotation.xywh, scale, strict=True))
    return replace(annotation, xywh=(x, y, width, height))


def _recording_of(picture: Path, root: Path) -> str:
    """The folder of a picture below the source, which stands for its recording."""
    folder, top = Path(os.path.abspath(picture)).parent, Path(os.path.abspath(root))
    parts = folder.relative_to(top).parts if folder.is_relative_to(top) else folder.parts[-1:]
    return "-".join(part for part in parts if part not in ("images", "/")) or UNNAMED_RECORDING


class _PictureFinder:
    """Finds the pictures of a COCO file, which names them relative to a folder that it does not say.

    Folders that carry the name of the file's split come first: `train/0001.jpg` and `val/0001.jpg` are two pictures.
    """

    def __init__(self, root: Path, file: Path, split: str) -> None:
        self._root = root
        self._file = file
        below = [folder for place in (root / "images", root) if place.is_dir() for folder in sorted(place.iterdir())]
        named = [folder for folder in below if split and split in folder.name.lower()]
        near = [root / "images", root, file.parent, file.parent / "images"]
        self._folders = [folder for folder in dict.fromkeys([*named, *near, *below]) if folder.is_dir()]
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path:
        """The picture's path; `LabelError` where it is nowhere below the source, or in two places."""
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise LabelError(f"{self._file}: picture {name!r} lies outside the data set's folder")
        for folder in self._folders:
            if (folder / name).is_file():
                return folder / name
        if self._by_name is None:
            self._by_name = {}
            for path in sorted(self._root.rglob("*")):
                self._by_name.setdefault(path.name, []).append(path)
        found = self._by_name.get(Path(name).name, [])
        if len(found) > 1:
            raise LabelError(f"{self._file}: picture {name} may be {found[0]} or {found[1]}; give its folder too")
        if not found:
            raise LabelError(f"{self._file}: picture {name} not found below {self._root}; add it or remove its entry")
        return found[0]
