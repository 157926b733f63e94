"""Pascal VOC: one XML file a picture, in a folder called `Annotations` or where the user says.

VOC counts pixels from 1, and both corners belong to the box; many tools write corners from 0 instead. `voc_origin` says
what a folder's files show of it; a note tells which rule was taken, and a finding names each file that disagrees.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.fields import CONFIDENCE, flag, number, plain_value, whole_number
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.provenance import SCORE, drawn_by
from traffic_yolo.dataset.formats.shapes import box_of_corners
from traffic_yolo.dataset.formats.text_labels import files_below
from traffic_yolo.dataset.formats.voc_origin import Origin, Shows, shown_by
from traffic_yolo.dataset.formats.xml_stream import XmlElement, root_tag, xml_elements
from traffic_yolo.dataset.problems import THE_SET, Problem, ProblemSink, already_told, strict
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
        folder = voc_folder(path)
        if folder is None:
            raise StorageError(f"no VOC file (*.xml with <{ROOT_TAG}>) at {path}")
        self._folder = folder
        self._only = path if path.is_file() else None
        self.root = folder.parent if folder.name == "Annotations" else folder
        self._split_of = _splits(self.root / "ImageSets" / "Main")
        self._left_out = LeftOut()
        self._disagreeing = 0
        classes: set[str] = set()
        shown: Counter[Shows] = Counter()
        for element in self._elements(already_told):
            corners = _corners_of(element)
            classes |= {box.text_of("name") for box in element.all("object")}
            if corners:
                shown[shown_by(corners)] += 1
        self._left_out.clear()
        self._origin = Origin.of(shown, options.voc_origin)
        self.classes = tuple(sorted(classes - {""}))
        self.default_classes = frozenset(self.classes)

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """One picture a file, in the order of the files' names."""
        self._left_out.begin(on_problem)
        self._disagreeing = 0
        if self._origin.mixed:
            message = f"{self._folder}: expected corners from 0 throughout, found many files with corners at 1"
            on_problem(Problem("origins-mixed", f"{message}; read from 0: --voc-origin 1 reads from 1", THE_SET))
        for element in self._elements(on_problem):
            try:
                yield self._picture(element, Path(element.attributes["file"]), on_problem)
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))

    def notes(self) -> list[str]:
        """How the corners were read, and what was left out."""
        by = "as voc_origin says" if self._origin.forced else "as most files show"
        rule = "from 1, both corners inside the box, as VOC says" if self._origin.from_one else f"from 0, {by}"
        found = [f"VOC: {count} {what}" for what, count in sorted(self._left_out.items()) if count]
        if self._disagreeing:
            found.append(f"VOC: {self._disagreeing} of {self._origin.files} files disagree with that")
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

    def _picture(self, element: XmlElement, file: Path, on_problem: ProblemSink) -> PictureLabels:
        size = element.find("size")
        stated = [size.text_of(side) if size else "" for side in ("width", "height")]
        width, height = (whole_number(side, "size", str(file)) if side else 0 for side in stated)
        annotations = []
        self._left_out.picture()
        shows = shown_by(_corners_of(element))
        first = self._origin.first_pixel(shows)
        if self._origin.disagrees(shows):
            self._disagreeing += 1
            message = (
                f"{file}: expected corners from 1 as in most of {self._origin.files} files, found {shows.value}; read "
                f"from {first:g}: --voc-origin 0 or 1 reads all alike"
            )
            on_problem(Problem("origins-mixed", message))
        for box in element.all("object"):
            annotation = self._annotation(box, first, f"{file} line {box.line}")
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

    def _annotation(self, box: XmlElement, first: float, where: str) -> Annotation | None:
        name, bounds = box.text_of("name"), box.find("bndbox")
        if not name or bounds is None:
            raise LabelError(f"{where}: an object without name or bndbox")
        left, top, right, bottom = (number(bounds.text_of(corner), corner, where) for corner in CORNERS)
        (left, top, width, height), turned = box_of_corners(left, top, right, bottom)
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


def _corners_of(element: XmlElement) -> list[tuple[float, float, float, float]]:
    """The corners of a file's boxes, as far as they are numbers."""
    found = []
    for box in element.all("object"):
        bounds = box.find("bndbox")
        if bounds is None:
            continue
        try:
            left, top, right, bottom = (number(bounds.text_of(corner), corner, "") for corner in CORNERS)
        except LabelError:
            continue
        found.append((left, top, right, bottom))
    return found


def _splits(folder: Path) -> dict[str, str]:
    split_of: dict[str, str] = {}
    for name, split in SPLIT_FILES.items():
        file = folder / f"{name}.txt"
        if file.is_file():
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            split_of |= {line.split()[0]: split for line in lines if line.strip()}
    return split_of
