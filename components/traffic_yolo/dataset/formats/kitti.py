"""KITTI object labels: one text file a picture, one box a line; 15 columns, and a score in results of a detector.

    type truncated occluded alpha left top right bottom height width length x y z rotation_y [score]

Corners are in pixels from 0. `DontCare` regions are ignored boxes. The columns of the third dimension are attributes.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.fields import number, plain_value
from traffic_yolo.dataset.formats.label_text import LabelText
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.provenance import SCORE, drawn_by
from traffic_yolo.dataset.formats.shapes import box_of_corners
from traffic_yolo.dataset.formats.text_labels import files_below, write_label_file
from traffic_yolo.dataset.problems import Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import Annotation, Frame, PictureLabels
from traffic_yolo.errors import LabelError, StorageError

DONT_CARE = "DontCare"
OWN_FOLDER = "label_2"  # as KITTI calls it, and nobody else
LABEL_FOLDERS = ("label_2", "label_02", "training/label_2", "labels")
# column -> (attribute, the text that says "unknown"); the dimensions and places are those of the object in metres
EXTRAS = {
    1: ("truncated", ("0", "-1")),
    2: ("occluded", ("0", "-1")),
    3: ("alpha", ("-10",)),
    8: ("height_m", ("-1",)),
    9: ("width_m", ("-1",)),
    10: ("length_m", ("-1",)),
    11: ("x_m", ("-1000",)),
    12: ("y_m", ("-1000",)),
    13: ("z_m", ("-1000",)),
    14: ("rotation_y", ("-10",)),
}
UNKNOWN = {1: "0", 2: "0", 3: "-10", 8: "-1", 9: "-1", 10: "-1", 11: "-1000", 12: "-1000", 13: "-1000", 14: "-10"}
LINE = re.compile(r"\S+(?: -?\d\S*){14,15}")


def kitti_folder(path: Path) -> Path | None:
    """The folder of KITTI label files that `path` is or holds; None where there is none.

    A folder called `label_2` with text files is one whatever stands in them: what is wrong there, its reader says.
    """
    folders = [*(path / name for name in LABEL_FOLDERS), path] if path.is_dir() else []
    return next((folder for folder in folders if folder.is_dir() and _is_label_folder(folder)), None)


class KittiReader:
    """A folder of label files, or the folder above it; see `base.LabelReader`.

    A box with a score is a model's: the score is its confidence, or, outside [0, 1], its attribute `score`. Classes are
    those in use, in alphabetical order: reading them takes a pass over all files.
    """

    is_video = False

    def __init__(self, path: Path, options: ReadOptions) -> None:
        folder = kitti_folder(path) or (path if path.is_dir() else None)
        if folder is None:
            raise StorageError(f"no folder of KITTI labels (label_2/*.txt) at {path}")
        self._folder = folder
        self.root = folder.parent if folder.name in LABEL_FOLDERS else folder
        self._left_out = LeftOut()
        self._text = LabelText(options.encoding)
        classes: set[str] = set()
        for file in files_below(folder, ".txt"):
            try:
                classes.update(line.split()[0] for _, line in self._text.lines(file))
            except LabelError as error:
                already_told(Problem("label-broken", str(error)))
        self.classes = (*sorted(classes - {DONT_CARE}), *sorted(classes & {DONT_CARE}))
        self.default_classes = frozenset(self.classes) - {DONT_CARE}

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """One picture a file, in the order of the files' names."""
        self._left_out.begin(on_problem)
        for file in files_below(self._folder, ".txt"):
            self._left_out.picture()
            try:
                found = [
                    read_kitti_line(line, f"{file} line {number_}", self._left_out, number_)
                    for number_, line in self._text.lines(file)
                ]
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))
                continue
            annotations = tuple(annotation for annotation in found if annotation)
            self._left_out.end_picture(str(file), len(annotations))
            name = file.relative_to(self._folder).with_suffix("").as_posix()
            yield PictureLabels(name=name, annotations=annotations, where=str(file))

    def notes(self) -> list[str]:
        """Boxes without area, reversed ones, and guesses of encodings."""
        found = [f"KITTI: {count} {what}" for what, count in sorted(self._left_out.items()) if count]
        return [*found, *self._text.notes()]


def read_kitti_line(line: str, where: str, left_out: LeftOut, line_number: int = 0) -> Annotation | None:
    """The box of a line; None for one without area, which `left_out` counts.

    Raises `LabelError` beginning with `where` for what is no such line.
    """
    parts = line.split()
    if len(parts) not in (15, 16):
        raise LabelError(
            f"{where}: expected 15 columns, or 16 with a score; found {len(parts)}; a blank in a class name is a "
            f"column more (write _), and lines of the tracking benchmark begin with frame and track"
        )
    values = [number(part, f"column {index}", where) for index, part in enumerate(parts[1:], start=2)]
    box, turned = box_of_corners(*values[3:7])
    xywh = left_out.sound(box, where, turned=turned)
    if xywh is None:
        return None
    attributes = {
        name: plain_value(_plain(parts[column]))
        for column, (name, unknown) in EXTRAS.items()
        if _plain(parts[column]) not in unknown
    }
    score = values[14] if len(parts) == 16 else None
    ignore = parts[0] == DONT_CARE
    try:
        drawn = drawn_by("", {} if ignore else attributes, score=score)
        return Annotation(parts[0], xywh, ignore=ignore, number=line_number, **drawn._asdict())
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error


class KittiWriter:
    """Writes `label_2/<recording>/<scan>.txt` into a folder; see `base.LabelWriter`."""

    picture_folder = "image_2"
    says_frames = False

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        del classes
        self._folder = folder / OWN_FOLDER
        self._folder.mkdir()

    def add(self, frame: Frame) -> list[Annotation | None]:
        """One file; an ignored or crowd box becomes a `DontCare` region."""
        lines = [kitti_line(annotation) for annotation in frame.annotations]
        write_label_file(self._folder / f"{frame.recording}/{frame.scan}.txt", lines)
        return [read_kitti_line(line, frame.file_name, LeftOut()) for line in lines]

    def complete(self) -> None:
        """Nothing is left to write."""


def kitti_line(annotation: Annotation) -> str:
    """The line of one box, corners to 1/10,000 pixel. An ignored or crowd box is a `DontCare` region."""
    attributes: Mapping[str, Any] = annotation.attributes
    name = "_".join(annotation.class_name.split()) if annotation.counts else DONT_CARE
    columns = [name, *(UNKNOWN.get(column, "") for column in range(1, 15))]
    if annotation.counts:
        for column, (attribute, _) in EXTRAS.items():
            value = attributes.get(attribute)
            if isinstance(value, int | float):
                columns[column] = f"{float(value):.6g}"
    else:
        columns[1:4] = ["-1", "-1", "-10"]
    x, y, width, height = annotation.xywh
    columns[4:8] = [_short(value) for value in (x, y, x + width, y + height)]
    score = annotation.confidence if annotation.confidence is not None else attributes.get(SCORE)
    if annotation.counts and isinstance(score, int | float):
        columns.append(f"{score:.6g}")
    return " ".join(columns)


def _short(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _plain(text: str) -> str:
    """A number without its needless zeros: `0.00` is `0`."""
    value = float(text)
    return str(int(value)) if value == int(value) else repr(value)


def _is_label_folder(folder: Path) -> bool:
    if folder.name == OWN_FOLDER and next(files_below(folder, ".txt"), None) is not None:
        return True
    return _looks_like_labels(folder)


def _looks_like_labels(folder: Path) -> bool:
    for file in files_below(folder, ".txt"):
        try:
            first = next((line for _, line in LabelText().lines(file)), "")
        except (LabelError, StorageError):
            return False
        if first:
            return LINE.fullmatch(" ".join(first.split())) is not None
    return False
