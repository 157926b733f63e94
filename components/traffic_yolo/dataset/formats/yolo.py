"""YOLO text labels: one line a box, `class_id cx cy w h`, relative to the picture; and the files that list a set.

The text cannot say iscrowd, ignore, confidence or who drew a box: such boxes are left out on writing and counted.
"""

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.problems import Problem, ProblemSink, strict
from traffic_yolo.dataset.records import SPLITS, Annotation, PictureLabels
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.storage import existing_path

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


def yolo_lines(annotations: Sequence[Annotation], classes: Sequence[str], image_wh: tuple[int, int]) -> list[str]:
    """One line for each box that counts. A box is cut at the picture's edges, because Darknet drops centres outside."""
    class_ids = {name: class_id for class_id, name in enumerate(classes)}
    width, height = image_wh
    lines = []
    for annotation in annotations:
        if not annotation.counts:
            continue
        x, y, w, h = annotation.xywh
        left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
        if right <= left or bottom <= top:
            continue
        numbers = (
            (left + right) / 2 / width,
            (top + bottom) / 2 / height,
            (right - left) / width,
            (bottom - top) / height,
        )
        lines.append(f"{class_ids[annotation.class_name]} " + " ".join(f"{number:.8f}" for number in numbers))
    return lines


def read_yolo_labels(path: Path, classes: Sequence[str], image_wh: tuple[int, int]) -> list[Annotation]:
    """The boxes of one label file in picture pixels; an empty file is a picture without objects.

    Raises `LabelError` naming file and line for a wrong count of numbers, an unknown class id, or numbers that are not
    relative sizes.
    """
    width, height = image_wh
    annotations = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        parts = line.split()
        if not parts:
            continue
        where = f"{path} line {number}"
        try:
            class_id, (cx, cy, w, h) = int(parts[0]), map(float, parts[1:])
        except ValueError as error:
            raise LabelError(f"{where}: expected 'class_id cx cy width height', found {line.strip()!r}") from error
        if not 0 <= class_id < len(classes):
            raise LabelError(f"{where}: unknown class {class_id}; there are {len(classes)}, numbered from 0")
        if not all(math.isfinite(v) and -1 <= v <= 2 for v in (cx, cy, w, h)) or w <= 0 or h <= 0:
            raise LabelError(f"{where}: expected numbers relative to the picture (0 to 1), found {line.strip()!r}")
        box = ((cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height)
        annotations.append(Annotation(classes[class_id], box, number=number))
    return annotations


def label_path_of(picture: Path) -> Path:
    """The label file of a picture by the usual rule: the last folder called `images` becomes `labels`."""
    parts = list(picture.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


class YoloReader:
    """A data.yaml, or the folder that holds one; see `base.LabelReader`.

    A picture without a label file has no objects, and is counted. The set's own splits are kept unless a picture is in
    two of them (many a data.yaml names one folder for all).
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        del options
        data_yaml = existing_path(str(path if path.is_file() else path / "data.yaml"), what="data.yaml")
        described = read_data_yaml(data_yaml)
        self.root = data_yaml.parent
        self.classes = described.classes
        self.default_classes = frozenset(described.classes)
        self._splits_of: dict[Path, set[str]] = {}
        for split in SPLITS:
            for picture in described.pictures[split]:
                self._splits_of.setdefault(Path(os.path.normpath(picture)), set()).add(split)
        self._shared = sum(len(splits) > 1 for splits in self._splits_of.values())
        self._unlabelled = 0

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """Every picture that the set lists, with the boxes of its text file in shares of the picture."""
        self._unlabelled = 0
        for picture, splits in self._splits_of.items():
            label_file = label_path_of(picture)
            exists = label_file.is_file()
            self._unlabelled += not exists
            try:
                # In a picture of one pixel: the real size is known when the picture is read
                annotations = read_yolo_labels(label_file, self.classes, (1, 1)) if exists else []
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))
                continue
            yield PictureLabels(
                name=picture.name,
                annotations=tuple(annotations),
                where=str(label_file),
                relative=True,
                path=picture,
                own_split="" if self._shared else min(splits),
            )

    def notes(self) -> list[str]:
        """Pictures without a label file, and splits that share pictures."""
        notes = []
        if self._unlabelled:
            notes.append(f"{self._unlabelled} pictures without a label file: taken as pictures without objects")
        if self._shared:
            notes.append(f"the source's own splits share {self._shared} pictures: they are not used")
        return notes


@dataclass(frozen=True)
class YoloSet:
    """What a data.yaml says: classes by class id, and the pictures of each of its splits."""

    classes: tuple[str, ...]
    pictures: dict[str, tuple[Path, ...]]


def read_data_yaml(path: Path) -> YoloSet:
    """Reads a data.yaml: `names` as a list or by number; each split a folder, a .txt list, or a list of these.

    Raises `LabelError` for what it does not understand, `StorageError` for a file or folder that is missing.
    """
    try:
        value: Any = yaml.safe_load(_text(path))
    except yaml.YAMLError as error:
        raise LabelError(f"{path}: not YAML") from error
    names = value.get("names") if isinstance(value, dict) else None
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names:
        raise LabelError(f"{path}: expected 'names': a list of classes, or numbers from 0 to names; found {names!r}")
    root = path.parent / str(value.get("path") or ".")
    root = root if root.is_dir() else path.parent
    pictures = {}
    for split in ("train", "val", "test"):
        entries = value.get(split) or []
        entries = entries if isinstance(entries, list) else [entries]
        pictures[split] = tuple(picture for entry in entries for picture in _pictures(root, str(entry), path))
    if not any(pictures.values()):
        raise LabelError(f"{path}: none of train, val, test names a picture")
    return YoloSet(tuple(map(str, names)), pictures)


def _pictures(root: Path, entry: str, data_yaml: Path) -> list[Path]:
    place = Path(entry) if Path(entry).is_absolute() else root / entry
    if place.is_dir():
        found = (path for path in place.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
        return sorted(path for path in found if not path.name.startswith("."))
    if place.suffix == ".txt" and place.is_file():
        lines = [line.strip() for line in _text(place).splitlines() if line.strip()]
        return [Path(line) if Path(line).is_absolute() else place.parent / line for line in lines]
    raise StorageError(f"{data_yaml}: names {entry}, which is neither a folder nor a .txt list: {place}")


def data_yaml_text(classes: Sequence[str]) -> str:
    """A data.yaml for the folder it stands in, as ultralytics' and our own reader take it."""
    described = {
        "path": ".",
        "train": "train.txt",
        "val": "val.txt",
        "test": "test.txt",
        "names": dict(enumerate(classes)),
    }
    return yaml.safe_dump(described, sort_keys=False, allow_unicode=True)


def darknet_data_text(num_classes: int) -> str:
    """A Darknet .data file; its paths are relative to the data set's folder, where darknet is to be started."""
    entries = {"classes": num_classes, "train": "train.txt", "valid": "val.txt", "names": "classes.names"}
    return "".join(f"{key} = {value}\n" for key, value in entries.items()) + "backup = backup\n"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"label file cannot be read: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path}: not UTF-8 text (byte {error.start})") from error
