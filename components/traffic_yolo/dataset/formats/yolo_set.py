"""The files that describe a YOLO set: data.yaml of ultralytics, .data of Darknet, and lists of pictures."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from traffic_yolo.dataset.formats.label_text import LabelText, path_of
from traffic_yolo.dataset.formats.yolo_beside import label_file_of, pictures_below
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.records import ALL, SPLITS
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.messages import shown
from traffic_yolo.storage import parse_yaml


@dataclass(frozen=True)
class YoloSet:
    """What a data.yaml says: classes by class id, and the pictures of each of its splits.

    `places`: folders that the description itself names, its own among them, below which all pictures have to lie;
    `folders`: those of them whose pictures are all meant. `keypoint_values`: numbers that follow every box.
    `passed_over`: what those folders hold and no reader takes.
    """

    classes: tuple[str, ...]
    pictures: dict[str, tuple[Path, ...]]
    places: frozenset[Path]
    folders: tuple[Path, ...] = ()
    keypoint_values: int = 0
    passed_over: tuple[Problem, ...] = ()

    def holds(self, picture: Path) -> bool:
        """Whether a picture lies below one of the places."""
        return not self._above.isdisjoint(Path(os.path.abspath(picture)).parents)

    @cached_property
    def _above(self) -> frozenset[Path]:
        return frozenset(Path(os.path.abspath(place)) for place in self.places)


def read_data_yaml(path: Path, text: LabelText | None = None) -> YoloSet:
    """Reads a data.yaml: `names` as a list or by number; each split a folder, a .txt list, or a list of these.

    Raises `LabelError` for what it does not understand, `StorageError` for a file or folder that is missing.
    """
    text = text or LabelText()
    value = parse_yaml(text.description(path), where=f"data set description {path}", error=LabelError)
    names = value.get("names") if isinstance(value, dict) else None
    if isinstance(names, dict):
        names = _in_order(names) or names
    if isinstance(names, list) and value.get("nc", len(names)) != len(names):
        raise LabelError(f"{path}: nc is {value['nc']}, but names has {len(names)} classes")
    if not isinstance(names, list) or not names:
        expected = "a list of classes, or numbers from 0 to names"
        raise LabelError(f"{path}: expected 'names': {expected}; found {shown(names)}")
    root = path.parent / path_of(str(value.get("path") or "."))
    root = root if root.is_dir() else path.parent
    pictures: dict[str, tuple[Path, ...]] = {}
    places = {path.parent, root}
    folders: dict[Path, None] = {}
    passed_over: dict[Problem, None] = {}
    for split in ("train", "val", "test"):
        entries = value.get(split) or []
        entries = entries if isinstance(entries, list) else [entries]
        found: list[Path] = []
        for entry in map(str, entries):
            place = _place_of(root, entry, path)
            if place.is_dir():
                below, left = pictures_below(place)
                found += below
                folders[place] = None
                passed_over |= dict.fromkeys(left)
            else:
                found += _list_of(place, entry, path, text)
            places.add(place if place.is_dir() else place.parent)
        pictures[split] = tuple(found)
    if not any(pictures.values()):
        raise LabelError(f"{path}: none of train, val, test names a picture")
    return YoloSet(
        tuple(map(str, names)),
        pictures,
        frozenset(places),
        tuple(folders),
        _keypoint_values(value.get("kpt_shape"), path),
        tuple(passed_over),
    )


def _in_order(names: Mapping[Any, Any]) -> list[Any]:
    """The classes of a mapping from class ids, which may be texts; none where those are not the numbers from 0."""
    by_number = {str(key): name for key, name in names.items()}  # 0 and "0" are one id
    numbers = [str(index) for index in range(len(names))]
    return [by_number[number] for number in numbers] if set(numbers) == set(by_number) else []


def _place_of(root: Path, entry: str, data_yaml: Path) -> Path:
    """Where a folder or list of a data.yaml lies; an absolute one is what it says.

    Roboflow writes `../train/images` for the folder `train/images` beside the data.yaml. Raises `LabelError` where
    both are there.
    """
    written = root / path_of(entry)
    first, *others = path_of(entry).parts or (".",)
    beside = root.joinpath(*others)
    if first != ".." or not others or not beside.exists():
        return written
    if written.exists():
        raise LabelError(f"{data_yaml}: {entry} may be {written.resolve()} or {beside}; write the one that is meant")
    return beside


def _keypoint_values(shape: object, path: Path) -> int:
    """How many numbers follow a box by `kpt_shape`, [number of key points, 2 or 3 numbers each]; 0 without it."""
    if shape is None:
        return 0
    if not isinstance(shape, list) or [type(side) for side in shape] != [int, int] or shape[1] not in (2, 3):
        raise LabelError(f"{path}: expected kpt_shape [number of key points, 2 or 3]; found {shown(shape)}")
    return max(int(shape[0]), 0) * int(shape[1])


def yolo_file(folder: Path) -> Path | None:
    """The data.yaml of a folder, or its only Darknet .data file; None where it has neither."""
    if (folder / "data.yaml").is_file():
        return folder / "data.yaml"
    found = [path for path in sorted(folder.glob("*.data")) if path.is_file()] if folder.is_dir() else []
    return found[0] if len(found) == 1 else None


# The lists of a .data file by split; Darknet knows no `test`
DARKNET_LISTS = {"train": "train", "val": "valid", "test": "test"}


def darknet_entries(path: Path, text: LabelText | None = None) -> dict[str, str]:
    """The lines `key = value` of a Darknet .data file. Of a key that stands twice the first counts, as in Darknet.

    Raises `LabelError` for any other line, `StorageError` for a file that cannot be read.
    """
    entries: dict[str, str] = {}
    for number, line in (text or LabelText()).lines(path):
        if line.startswith(("#", ";")):
            continue
        key, separator, value = line.partition("=")
        if not separator:
            raise LabelError(f"{path} line {number}: expected key = value, found {line!r:.80}")
        entries.setdefault(key.strip(), value.strip())
    return entries


def read_darknet_data(
    path: Path, text: LabelText | None = None, *, splits: Collection[str] = tuple(DARKNET_LISTS)
) -> YoloSet:
    """Reads a Darknet .data file: `names`, and the lists `train`, `valid` (and `test`, which Darknet does not know).

    Darknet takes paths relative to the folder where it is started: here the file's own folder, one above it, or the
    present one. `splits`: those whose lists are read; the others are empty, and their files may be missing. Raises
    `LabelError` for what it does not understand, `StorageError` for a file that is missing.
    """
    text = text or LabelText()
    entries = darknet_entries(path, text)
    if not entries.get("names"):
        raise LabelError(
            f"{path}: expected 'names': the file with a class a line; found {', '.join(entries) or 'none'}"
        )
    names_file, _ = _started_from(path, entries["names"])
    names = [line for _, line in text.lines(names_file)]
    stated = entries.get("classes", str(len(names)))
    if stated != str(len(names)):
        raise LabelError(f"{path}: classes = {stated}, but {names_file} names {len(names)}")
    pictures: dict[str, tuple[Path, ...]] = dict.fromkeys(DARKNET_LISTS, ())
    places = {path.parent}
    for split, key in DARKNET_LISTS.items():
        if split in splits and entries.get(key):
            list_file, folder = _started_from(path, entries[key])
            pictures[split] = tuple(_listed(list_file, path, text))
            places |= {folder, list_file.parent}
    if not any(pictures.values()):
        keys = " or ".join(DARKNET_LISTS[split] for split in splits if split != "test")
        raise LabelError(f"{path}: expected {keys} = a file with a picture a line, found none")
    return YoloSet(tuple(names), pictures, frozenset(places))


def _started_from(data_file: Path, entry: str) -> tuple[Path, Path]:
    """(where a path of a .data file leads, what it starts from): the file's own folder, one above it, or ours."""
    path = path_of(entry)
    if path.is_absolute():
        return path, path.parent
    for folder in (*data_file.absolute().parents, Path.cwd()):
        if (folder / path).is_file():
            return folder / path, folder
    inside = data_file.parent / _without_data(path)  # CVAT's archives have no folder of this name
    if inside.is_file():
        return inside, data_file.parent
    raise StorageError(
        f"{data_file}: names {entry}, which is in no folder from {data_file.parent} upwards, nor in {Path.cwd()}"
    )


def _listed(list_file: Path, data_file: Path, text: LabelText) -> Iterator[Path]:
    """The pictures of a list; a relative one from the folder that the .data file's own paths are relative to."""
    lines = [path_of(line) for _, line in text.lines(list_file)]
    base = _Base.of(lines, [list_file.parent, *data_file.absolute().parents, Path.cwd()])
    yield from map(base.path, lines)


@dataclass(frozen=True)
class _Base:
    """What the relative paths of a list start from; `cut`: they begin with a folder `data` that is not there.

    CVAT's exports ("YOLO 1.1") are to be unpacked into a folder `data` where Darknet is started, and name it.
    """

    folder: Path
    cut: bool = False

    @classmethod
    def of(cls, lines: Sequence[Path], folders: Sequence[Path]) -> "_Base":
        """By the first relative path: the first of the folders where it, or its label file, is; else the first."""
        first = next((line for line in lines if not line.is_absolute()), None)
        if first is None:
            return cls(folders[0])
        tries = [cls(folder) for folder in folders] + [cls(folders[0], cut=True)]
        found = (base for base in tries if base.path(first).is_file())
        labelled = (base for base in tries if label_file_of(base.path(first)) is not None)
        return next(found, next(labelled, tries[0]))

    def path(self, line: Path) -> Path:
        return self.folder / (_without_data(line) if self.cut else line)


def _without_data(path: Path) -> Path:
    return Path(*path.parts[1:]) if path.parts[:1] == ("data",) else path


def _list_of(place: Path, entry: str, data_yaml: Path, text: LabelText) -> list[Path]:
    """The pictures of a .txt list; relative ones from the list's own folder."""
    if place.suffix == ".txt" and place.is_file():
        lines = [path_of(line) for _, line in text.lines(place)]
        base = _Base.of(lines, [place.parent])
        return [base.path(line) for line in lines]
    raise StorageError(
        f"{data_yaml}: names {entry}, which is neither a folder nor a .txt list: {place}; add it, or remove the line"
    )


def data_yaml_text(classes: Sequence[str], splits: Sequence[str] = SPLITS) -> str:
    """A data.yaml for the folder it stands in, as ultralytics' and our own reader take it.

    A set without splits has its one list for training and for validation, for ultralytics wants both.
    """
    lists = {split: f"{split}.txt" for split in splits}
    if ALL in splits:
        lists = dict.fromkeys(("train", "val"), f"{ALL}.txt")
    described = {"path": ".", **lists, "names": dict(enumerate(classes))}
    return yaml.safe_dump(described, sort_keys=False, allow_unicode=True)


def darknet_data_text(num_classes: int, splits: Sequence[str], filled: Sequence[str]) -> str:
    """A Darknet .data file; its paths are relative to the data set's folder, where darknet is to be started.

    `filled` are the `splits` with pictures. Darknet's `valid` is the validation split; that of a set which has nothing
    but a test split, on which nothing can be trained or chosen, is that.
    """
    if ALL in splits:
        return darknet_data(num_classes, ALL, ALL)
    return darknet_data(num_classes, "train", "test" if set(filled) == {"test"} else "val")


def darknet_data(num_classes: int, train: str, valid: str) -> str:
    """A Darknet .data file of these lists."""
    entries = {"classes": num_classes, "train": f"{train}.txt", "valid": f"{valid}.txt", "names": "classes.names"}
    return "".join(f"{key} = {value}\n" for key, value in entries.items()) + "backup = backup\n"
