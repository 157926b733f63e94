"""YOLO text labels: one line a box, `class_id cx cy w h`, relative to the picture; `yolo_set` reads what lists a set.

The text cannot say iscrowd, ignore, confidence or who drew a box: such boxes are left out on writing and counted.
"""

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.darknet_data import darknet_data, read_darknet_data
from traffic_yolo.dataset.formats.fields import is_plain
from traffic_yolo.dataset.formats.label_text import LabelText
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.provenance import drawn_by
from traffic_yolo.dataset.formats.shapes import box_of_points, polygon_area
from traffic_yolo.dataset.formats.text_labels import write_label_file
from traffic_yolo.dataset.formats.yolo_beside import (
    few_labels,
    label_file_of,
    label_path_of,
    labels_without_picture,
)
from traffic_yolo.dataset.formats.yolo_set import read_data_yaml, yolo_file
from traffic_yolo.dataset.problems import THE_SET, Problem, ProblemSink, already_told, refuse, strict
from traffic_yolo.dataset.records import SPLITS, Annotation, Frame, PictureLabels
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.storage import existing_path

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
        class_id, values = _class_id(first), list(map(float, others))
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


def _class_id(word: str) -> int:
    """A class id, which array libraries write as 0.0 too; `ValueError` for anything else."""
    try:
        return int(word)
    except ValueError:
        value = float(word)
        if not value.is_integer():  # infinity and NaN are none either
            raise
        return int(value)


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
            "darknet.data": darknet_data(len(self._classes), "train", "train"),
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


def _name_of(picture: Path, root: Path) -> str:
    """A picture's path below the last folder called images, or below the set's own; else its name."""
    parts = picture.parts
    if "images" in parts[:-1]:
        return "/".join(parts[len(parts) - parts[::-1].index("images") :])
    return picture.relative_to(root).as_posix() if picture.is_relative_to(root) else picture.name
