"""YOLO text labels: one line a box, `class_id cx cy w h`, relative to the picture; and the files that list a set.

The text cannot say iscrowd, ignore, confidence or who drew a box: such boxes are left out on writing and counted.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import yaml

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.fields import is_plain
from traffic_yolo.dataset.formats.label_text import LabelText, path_of
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.provenance import drawn_by
from traffic_yolo.dataset.formats.shapes import box_of_points, polygon_area
from traffic_yolo.dataset.formats.text_labels import write_label_file
from traffic_yolo.dataset.formats.yolo_beside import (
    few_labels,
    label_file_of,
    label_path_of,
    labels_without_picture,
    pictures_below,
)
from traffic_yolo.dataset.problems import THE_SET, Problem, ProblemSink, already_told, refuse, strict
from traffic_yolo.dataset.records import ALL, SPLITS, Annotation, Frame, PictureLabels
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.messages import shown
from traffic_yolo.storage import existing_path, parse_yaml

# Kind of problem -> what the report says after the number
LOST = {
    "picture-left-out": "pictures of other kinds, or folders behind links, left out",
    "label-unpaired": "label files without a picture left out",
}


def yolo_lines(annotations: Sequence[Annotation], classes: Sequence[str], image_wh: tuple[int, int]) -> list[str]:
    """One line for each box that counts. A box is cut at the picture's edges, because Darknet drops centres outside."""
    class_ids = {name: class_id for class_id, name in enumerate(classes)}
    return [line for annotation in annotations if (line := _yolo_line(annotation, class_ids, image_wh))]


def _yolo_line(annotation: Annotation, class_ids: Mapping[str, int], image_wh: tuple[int, int]) -> str:
    """The line of a box; "" for one that does not count, or lies outside."""
    if not annotation.counts:
        return ""
    width, height = image_wh
    x, y, w, h = annotation.xywh
    left, top, right, bottom = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
    if right <= left or bottom <= top:
        return ""
    cx, cy = (left + right) / 2 / width, (top + bottom) / 2 / height
    class_id = class_ids[annotation.class_name]
    return f"{class_id} {cx:.8f} {cy:.8f} {(right - left) / width:.8f} {(bottom - top) / height:.8f}"


def read_back(
    annotations: Sequence[Annotation], classes: Sequence[str], image_wh: tuple[int, int]
) -> list[Annotation | None]:
    """What a reader gets of each box that `yolo_lines` writes; None for one that it leaves out."""
    class_ids = {name: class_id for class_id, name in enumerate(classes)}
    lines = (_yolo_line(annotation, class_ids, image_wh) for annotation in annotations)
    return [_read_line(line, classes, image_wh, "", LeftOut()) if line else None for line in lines]


def read_yolo_labels(
    path: Path,
    classes: Sequence[str],
    image_wh: tuple[int, int],
    left_out: LeftOut | None = None,
    *,
    keypoint_values: int = 0,
    text: LabelText | None = None,
) -> list[Annotation]:
    """The boxes of one label file in picture pixels; an empty file is a picture without objects.

    `keypoint_values`: numbers of key points that follow every box, which are left out. `text` reads the file.

    `left_out` counts boxes without area, which are left out, and negative sizes, which are mended; without it, both are
    refused. Raises `LabelError` naming file and line for a wrong count of numbers, an unknown class id, or numbers that
    are not relative sizes.
    """
    left_out = LeftOut(refuse) if left_out is None else left_out
    left_out.picture()
    lines = ((number, line, f"{path} line {number}") for number, line in (text or LabelText()).lines(path))
    read = [
        _read_line(line, classes, image_wh, where, left_out, number, keypoint_values) for number, line, where in lines
    ]
    found = [annotation for annotation in read if annotation is not None]
    left_out.end_picture(str(path), len(found))
    return found


def _read_line(
    line: str,
    classes: Sequence[str],
    image_wh: tuple[int, int],
    where: str,
    left_out: LeftOut,
    number: int = 0,
    keypoint_values: int = 0,
) -> Annotation | None:
    width, height = image_wh
    first, *others = line.split()
    try:
        if not is_plain(line):
            raise ValueError
        class_id, values = int(first), list(map(float, others))
    except ValueError as error:
        raise LabelError(f"{where}: expected 'class_id cx cy width height', found {line!r:.120}") from error
    if not 0 <= class_id < len(classes):
        raise LabelError(f"{where}: unknown class {class_id}; there are {len(classes)}, numbered from 0")
    area = confidence = None
    if keypoint_values:
        if len(values) != 4 + keypoint_values:
            expected = f"a box and {keypoint_values} numbers of key points, as kpt_shape says"
            raise LabelError(f"{where}: expected {expected}; found {line!r:.120}")
        del values[4:]
    elif _may_be_pose(values):
        raise LabelError(
            f"{where}: expected a box or an outline, found what may be a box with key points: {line!r:.120}; state "
            f"kpt_shape in the data.yaml, or remove the key points"
        )
    if len(values) >= 6 and len(values) % 2 == 0:  # the outline of a segmentation: x y of each corner
        points = list(zip(values[::2], values[1::2], strict=True))
        left, top, w, h = box_of_points(points)
        cx, cy, area = left + w / 2, top + h / 2, polygon_area(points) * width * height
    elif len(values) in (4, 5):
        cx, cy, w, h = values[:4]
        if len(values) == 5:  # what a detector writes when it is asked for confidences
            confidence = values[4]
    else:
        raise LabelError(f"{where}: expected 'class_id cx cy width height', found {line!r:.120}")
    if not all(math.isfinite(v) and -1 <= v <= 2 for v in (cx, cy, w, h)):
        raise LabelError(f"{where}: expected numbers relative to the picture (0 to 1), found {line!r:.120}")
    box = left_out.sound(((cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height), where)
    if box is None:
        return None
    try:
        drawn = drawn_by("", {}, confidence=confidence)
        return Annotation(classes[class_id], box, area=area, number=number, **drawn._asdict())
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error


def _may_be_pose(values: Sequence[float]) -> bool:
    """Whether numbers that count as an outline's are a box and key points of x, y and visibility (0, 1 or 2).

    An outline for which this holds too has every third number on the picture's edge.
    """
    seen = values[6::3]
    return len(values) >= 10 and (len(values) - 4) % 3 == 0 and all(value in (0.0, 1.0, 2.0) for value in seen)


class YoloWriter:
    """Writes `labels/<recording>/<scan>.txt`, and the lists for Darknet and ultralytics; see `base.LabelWriter`."""

    picture_folder = "images"
    says_frames = False

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self._folder = folder
        self._classes = tuple(classes)
        self._list = folder / "train.txt"
        self._list.touch()

    def add(self, frame: Frame) -> list[Annotation | None]:
        """One file; ignored and crowd boxes are left out, others cut at the picture's edges."""
        image_wh = frame.width, frame.height
        lines = yolo_lines(frame.annotations, self._classes, image_wh)
        write_label_file(self._folder / f"labels/{frame.recording}/{frame.scan}.txt", lines)
        with self._list.open("a", encoding="utf-8", newline="\n") as pictures:
            pictures.write(f"./images/{frame.file_name}\n")
        return read_back(frame.annotations, self._classes, image_wh)

    def complete(self) -> None:
        """Classes, and what Darknet and ultralytics start from: all pictures for training."""
        names = "".join(name + "\n" for name in self._classes)
        described = {"path": ".", "train": "train.txt", "val": "train.txt", "names": dict(enumerate(self._classes))}
        texts = {
            "classes.names": names,
            "data.yaml": yaml.safe_dump(described, sort_keys=False, allow_unicode=True),
            "darknet.data": _darknet_data(len(self._classes), "train", "train"),
        }
        for name, text in texts.items():
            (self._folder / name).write_text(text, encoding="utf-8", newline="\n")


class YoloReader:
    """A data.yaml, a Darknet .data file, or the folder that holds one of them; see `base.LabelReader`.

    A picture without a label file has no objects, and is counted. The set's own splits are kept unless a picture is in
    two of them (many a data.yaml names one folder for all).
    """

    is_video = False

    def __init__(self, path: Path, options: ReadOptions) -> None:
        described_by = existing_path(str(path), what="data set") if path.is_file() else yolo_file(path)
        if described_by is None:
            raise StorageError(f"no data.yaml or Darknet .data file in {path}")
        self._text = LabelText(options.encoding)
        described = (read_darknet_data if described_by.suffix == ".data" else read_data_yaml)(described_by, self._text)
        self.root = described_by.parent
        self.classes = described.classes
        self.default_classes = frozenset(described.classes)
        self._described = described
        self._splits_of: dict[Path, set[str]] = {}
        for split in SPLITS:
            for picture in described.pictures[split]:
                self._splits_of.setdefault(Path(os.path.normpath(picture)), set()).add(split)
        self._shared = sum(len(splits) > 1 for splits in self._splits_of.values())
        self._described_by = described_by
        self._unlabelled = self._outlines = 0
        self._lost: Counter[str] = Counter()
        self._left_out = LeftOut()

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """Every picture that the set lists, with the boxes of its text file in shares of the picture."""
        self._unlabelled = self._outlines = 0
        self._left_out.begin(on_problem)
        for picture, splits in self._splits_of.items():
            if not self._described.holds(picture):
                message = f"{self._described_by}: picture {picture} lies outside the data set's folder {self.root}"
                on_problem(Problem("picture-missing", message))
                continue
            label_file = label_file_of(picture)
            if label_file is None:
                self._unlabelled += 1
                message = f"{picture}: expected its labels in {label_path_of(picture)}, found none; taken as empty"
                on_problem(Problem("label-missing", message))
            try:
                # In a picture of one pixel: the real size is known when the picture is read
                annotations = (
                    read_yolo_labels(
                        label_file,
                        self.classes,
                        (1, 1),
                        self._left_out,
                        keypoint_values=self._described.keypoint_values,
                        text=self._text,
                    )
                    if label_file is not None
                    else []
                )
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))
                continue
            self._outlines += sum(annotation.area is not None for annotation in annotations)
            yield PictureLabels(
                name=_name_of(picture, self.root),
                annotations=tuple(annotations),
                where=str(label_file or label_path_of(picture)),
                relative=True,
                path=picture,
                own_split="" if self._shared else min(splits),
            )
        if self._unlabelled and self._unlabelled == len(self._splits_of):
            first = label_path_of(next(iter(self._splits_of)))
            message = (
                f"{self._described_by}: expected label files such as {first}, found none for any of "
                f"{self._unlabelled} pictures; put the labels there, or empty files for pictures without objects"
            )
            on_problem(Problem("label-broken", message, THE_SET))
        if on_problem is not already_told:
            self._tell_of_the_rest(on_problem)

    def _tell_of_the_rest(self, on_problem: ProblemSink) -> None:
        """What the set does not name, or would pass for empty; counted for the notes."""
        self._lost.clear()
        labelled = len(self._splits_of) - self._unlabelled
        few = few_labels(self._described_by, labelled, len(self._splits_of))
        beside = labels_without_picture(self._splits_of, self._described.folders)
        for problem in (*self._described.passed_over, *([few] if few is not None else []), *beside):
            self._lost[problem.kind] += 1
            on_problem(problem)

    def notes(self) -> list[str]:
        """Pictures without a label file, boxes left out or mended, and splits that share pictures."""
        notes = []
        if self._unlabelled:
            notes.append(f"{self._unlabelled} pictures without a label file: taken as pictures without objects")
        if self._described.keypoint_values:
            notes.append("YOLO: key points left out, boxes kept")
        notes += [f"YOLO: {self._lost[kind]} {what}" for kind, what in LOST.items() if self._lost[kind]]
        if self._outlines:
            notes.append(f"YOLO: {self._outlines} outlines left out, boxes kept")
        notes += [f"YOLO: {count} {what}" for what, count in sorted(self._left_out.items()) if count]
        if self._shared:
            notes.append(f"the source's own splits share {self._shared} pictures: they are not used")
        return notes + self._text.notes()


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
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[index] for index in range(len(names))]
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
            place = root / path_of(entry)  # which an absolute one replaces
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


def read_darknet_data(path: Path, text: LabelText | None = None) -> YoloSet:
    """Reads a Darknet .data file: `names`, `train`, `valid` (and `test`, which Darknet does not know).

    Darknet takes paths relative to the folder where it is started: here the file's own folder, or one above it. Raises
    `LabelError` for what it does not understand, `StorageError` for a file that is missing.
    """
    text = text or LabelText()
    entries: dict[str, str] = {}
    for number, line in text.lines(path):
        if line.startswith(("#", ";")):
            continue
        key, separator, value = line.partition("=")
        if not separator:
            raise LabelError(f"{path} line {number}: expected key = value, found {line!r:.80}")
        entries[key.strip()] = value.strip()
    if "names" not in entries:
        raise LabelError(
            f"{path}: expected 'names': the file with a class a line; found {', '.join(entries) or 'none'}"
        )
    names_file, _ = _started_from(path, entries["names"])
    names = [line for _, line in text.lines(names_file)]
    stated = entries.get("classes", str(len(names)))
    if stated != str(len(names)):
        raise LabelError(f"{path}: classes = {stated}, but {names_file} names {len(names)}")
    pictures: dict[str, tuple[Path, ...]] = {}
    places = {path.parent}
    for split, key in (("train", "train"), ("val", "valid"), ("test", "test")):
        pictures[split] = ()
        if key in entries:
            list_file, folder = _started_from(path, entries[key])
            pictures[split] = tuple(_listed(list_file, path, text))
            places |= {folder, list_file.parent}
    if not any(pictures.values()):
        raise LabelError(f"{path}: neither train nor valid names a picture")
    return YoloSet(tuple(names), pictures, frozenset(places))


def _started_from(data_file: Path, entry: str) -> tuple[Path, Path]:
    """(where a path of a .data file leads, what it starts from): the file's own folder, or one above it."""
    path = path_of(entry)
    if path.is_absolute():
        return path, path.parent
    for folder in data_file.absolute().parents:
        if (folder / path).is_file():
            return folder / path, folder
    raise StorageError(f"{data_file}: names {entry}, which is in no folder from {data_file.parent} upwards")


def _listed(list_file: Path, data_file: Path, text: LabelText) -> Iterator[Path]:
    """The pictures of a list; a relative one from the folder that the .data file's own paths are relative to."""
    base: Path | None = None
    for _, written in text.lines(list_file):
        line = path_of(written)
        if line.is_absolute():
            yield line
            continue
        if base is None:
            folders = [list_file.parent, *data_file.absolute().parents]
            base = next((folder for folder in folders if (folder / line).is_file()), list_file.parent)
        yield base / line


def _name_of(picture: Path, root: Path) -> str:
    """A picture's path below the last folder called images, or below the set's own; else its name."""
    parts = picture.parts
    if "images" in parts[:-1]:
        return "/".join(parts[len(parts) - parts[::-1].index("images") :])
    return picture.relative_to(root).as_posix() if picture.is_relative_to(root) else picture.name


def _list_of(place: Path, entry: str, data_yaml: Path, text: LabelText) -> list[Path]:
    """The pictures of a .txt list; relative ones from the list's own folder."""
    if place.suffix == ".txt" and place.is_file():
        return [place.parent / path_of(line) for _, line in text.lines(place)]
    raise StorageError(f"{data_yaml}: names {entry}, which is neither a folder nor a .txt list: {place}")


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
        return _darknet_data(num_classes, ALL, ALL)
    return _darknet_data(num_classes, "train", "test" if set(filled) == {"test"} else "val")


def _darknet_data(num_classes: int, train: str, valid: str) -> str:
    entries = {"classes": num_classes, "train": f"{train}.txt", "valid": f"{valid}.txt", "names": "classes.names"}
    return "".join(f"{key} = {value}\n" for key, value in entries.items()) + "backup = backup\n"
