"""Pascal VOC: one XML file a picture, in a folder called `Annotations` or where the user says.

VOC counts pixels from 1, and both corners belong to the box; many tools write corners from 0 instead. A folder where
any corner is 0 or between two pixels is taken for one of theirs; otherwise VOC's rule holds. A note says which.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.fields import CONFIDENCE, flag, number, plain_value, whole_number
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.provenance import SCORE, drawn_by
from traffic_yolo.dataset.formats.shapes import box_of_corners
from traffic_yolo.dataset.formats.text_labels import files_below
from traffic_yolo.dataset.formats.xml_stream import XmlElement, root_tag, xml_elements
from traffic_yolo.dataset.problems import Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import Annotation, PictureLabels
from traffic_yolo.errors import LabelError, StorageError

ROOT_TAG = "annotation"
CORNERS = ("xmin", "ymin", "xmax", "ymax")
SPLIT_FILES = {"train": "train", "val": "val", "test": "test"}


def voc_folder(path: Path) -> Path | None:
    """The folder of VOC files that `path` is or holds; None where there is none."""
    if path.is_file():
        return path.parent if path.suffix == ".xml" and root_tag(path) == ROOT_TAG else None
    for folder in (path / "Annotations", path):
        first = next(files_below(folder, ".xml"), None) if folder.is_dir() else None
        if first is not None and root_tag(first) == ROOT_TAG:
            return folder
    return None


class VocReader:
    """A folder of VOC files, or one of them; see `base.LabelReader`.

    `difficult` boxes are ignored ones. Lists in `ImageSets/Main` give the splits. Classes are those in use, in
    alphabetical order: reading them takes a pass over all files.
    """

    is_video = False

    def __init__(self, path: Path, options: ReadOptions) -> None:
        del options
        folder = voc_folder(path)
        if folder is None:
            raise StorageError(f"no VOC file (*.xml with <{ROOT_TAG}>) at {path}")
        self._folder = folder
        self._only = path if path.is_file() else None
        self.root = folder.parent if folder.name == "Annotations" else folder
        self._split_of = _splits(self.root / "ImageSets" / "Main")
        self._left_out = LeftOut()
        self._from_one = True
        classes: set[str] = set()
        for element in self._elements(already_told):
            for box in element.all("object"):
                classes.add(box.text_of("name"))
                self._from_one &= _counts_from_one(box)
        self._left_out.clear()
        self.classes = tuple(sorted(classes - {""}))
        self.default_classes = frozenset(self.classes)

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """One picture a file, in the order of the files' names."""
        self._left_out.begin(on_problem)
        for element in self._elements(on_problem):
            try:
                yield self._picture(element, Path(element.attributes["file"]))
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))

    def notes(self) -> list[str]:
        """How the corners were read, and what was left out."""
        rule = "from 1, both corners inside the box, as VOC says" if self._from_one else "from 0, as these corners show"
        found = [f"VOC: {count} {what}" for what, count in sorted(self._left_out.items()) if count]
        return [f"VOC: pixels counted {rule}", *found]

    def _elements(self, on_problem: ProblemSink) -> Iterator[XmlElement]:
        """The outermost element of every file, with the file's path as its attribute `file`."""
        for file in [self._only] if self._only else files_below(self._folder, ".xml"):
            try:
                found = False
                for element in xml_elements(file, (ROOT_TAG,)):
                    found = True
                    element.attributes["file"] = str(file)
                    yield element
                self._left_out["other XML files passed over"] += not found
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))

    def _picture(self, element: XmlElement, file: Path) -> PictureLabels:
        size = element.find("size")
        stated = [size.text_of(side) if size else "" for side in ("width", "height")]
        width, height = (whole_number(side, "size", str(file)) if side else 0 for side in stated)
        annotations = []
        self._left_out.picture()
        for box in element.all("object"):
            annotation = self._annotation(box, f"{file} line {box.line}")
            if annotation is not None:
                annotations.append(annotation)
        self._left_out.end_picture(str(file), len(annotations))
        relative = file.relative_to(self._folder).with_suffix("").as_posix()
        file_name = element.text_of("filename")
        # Its folder below Annotations counts, and its name: `filename` often is the name on somebody's desk
        suffix = Path(file_name).suffix if Path(file_name).stem == file.stem else ""
        return PictureLabels(
            name=relative + suffix,
            annotations=tuple(annotations),
            where=str(file),
            image_wh=(width, height) if width and height else None,
            own_split=self._split_of.get(relative, ""),
        )

    def _annotation(self, box: XmlElement, where: str) -> Annotation | None:
        name, bounds = box.text_of("name"), box.find("bndbox")
        if not name or bounds is None:
            raise LabelError(f"{where}: an object without name or bndbox")
        left, top, right, bottom = (number(bounds.text_of(corner), corner, where) for corner in CORNERS)
        (left, top, width, height), turned = box_of_corners(left, top, right, bottom)
        first = 1.0 if self._from_one else 0.0
        self._left_out["parts of objects left out"] += sum(1 for _ in box.all("part"))
        xywh = self._left_out.sound((left - first, top - first, width + first, height + first), where, turned=turned)
        if xywh is None:
            return None
        attributes: dict[str, Any] = {}
        for key in ("truncated", "occluded"):
            if box.text_of(key) not in ("", "0"):
                attributes[key] = plain_value(box.text_of(key))
        if box.text_of("pose") not in ("", "Unspecified"):
            attributes["pose"] = box.text_of("pose")
        for key in (CONFIDENCE, SCORE):  # VOC has neither; tools that predict into VOC files write them
            if box.text_of(key):
                attributes[key] = plain_value(box.text_of(key))
        difficult = flag(box.text_of("difficult"), "difficult", where)
        try:
            return Annotation(name, xywh, ignore=difficult, number=box.line, **drawn_by("", attributes)._asdict())
        except LabelError as error:
            raise LabelError(f"{where}: {error}") from error


def _counts_from_one(box: XmlElement) -> bool:
    """Whether a box may be one that counts its pixels from 1."""
    bounds = box.find("bndbox")
    if bounds is None:
        return True
    try:
        corners = [float(bounds.text_of(corner)) for corner in CORNERS]
    except ValueError:
        return True
    return corners[0] >= 1 and corners[1] >= 1 and all(corner.is_integer() for corner in corners)


def _splits(folder: Path) -> dict[str, str]:
    split_of: dict[str, str] = {}
    for name, split in SPLIT_FILES.items():
        file = folder / f"{name}.txt"
        if file.is_file():
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            split_of |= {line.split()[0]: split for line in lines if line.strip()}
    return split_of
