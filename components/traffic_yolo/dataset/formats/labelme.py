"""LabelMe: one JSON file a picture, with `shapes` of points.

Rectangles are boxes; polygons and circles become the boxes around them; other shapes are left out and counted.
"""

import base64
import math
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.fields import number, whole_number
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.provenance import record_fields
from traffic_yolo.dataset.formats.shapes import Box, Points, box_of_points, polygon_area
from traffic_yolo.dataset.formats.text_labels import files_below
from traffic_yolo.dataset.problems import Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import Annotation, PictureLabels
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.messages import shown
from traffic_yolo.storage import json_value, parse_json

TURNED_BOXES = ("oriented_rectangle", "rotation")  # four corners
SHAPE_KEYS = ("group_id", "description", "score", "confidence")  # the last two: tools that predict into LabelMe files


def labelme_files(path: Path) -> Iterator[Path]:
    """The LabelMe files that `path` is or that lie below it, in the order of their paths."""
    candidates = [path] if path.is_file() else files_below(path, ".json")
    return (file for file in candidates if _is_labelme(file))


class LabelmeReader:
    """A folder of LabelMe files, or one of them; see `base.LabelReader`.

    Classes are those in use, in alphabetical order: reading them takes a pass over all files.
    """

    is_video = False

    def __init__(self, path: Path, options: ReadOptions) -> None:
        del options
        self._path = path
        self.root = path.parent if path.is_file() else path
        self._left_out = LeftOut()
        self._empty = True
        classes: set[str] = set()
        for _, content in self._contents(already_told):
            self._empty = False
            shapes = content.get("shapes")
            for shape in shapes if isinstance(shapes, list) else []:
                if isinstance(shape, dict) and isinstance(shape.get("label"), str):
                    classes.add(shape["label"])
        self._left_out.clear()
        if self._empty:
            raise StorageError(f"no LabelMe file (*.json with shapes) at {path}")
        self.classes = tuple(sorted(classes))
        self.default_classes = frozenset(self.classes)

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """One picture a file."""
        self._left_out.begin(on_problem)
        for file, content in self._contents(on_problem):
            try:
                yield self._picture(file, content)
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))

    def notes(self) -> list[str]:
        """Shapes that became boxes, and those that were left out."""
        return [f"LabelMe: {count} {what}" for what, count in sorted(self._left_out.items()) if count]

    def _contents(self, on_problem: ProblemSink) -> Iterator[tuple[Path, dict[str, Any]]]:
        for file in [self._path] if self._path.is_file() else files_below(self._path, ".json"):
            try:
                content = parse_json(_bytes(file), where=str(file), error=LabelError, holds_pictures=True)
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))
                continue
            if isinstance(content, dict) and "shapes" in content:
                yield file, content
            else:
                self._left_out["other JSON files passed over"] += 1

    def _picture(self, file: Path, content: dict[str, Any]) -> PictureLabels:
        shapes, stated, data = (content.get(key) for key in ("shapes", "imagePath", "imageData"))
        if not isinstance(shapes, list):
            raise LabelError(f"{file}: expected a list under 'shapes'; found {type(shapes).__name__}")
        if stated is not None and not isinstance(stated, str):
            raise LabelError(f"{file}: imagePath must be a text; found {shown(stated)}")
        name = _picture_beside(file, stated or "", holds_picture=bool(data)).relative_to(self.root).as_posix()
        if data is not None and not isinstance(data, str):
            raise LabelError(f"{file}: imageData must be a text; found {shown(data)}")
        width, height = (
            whole_number(content[key], key, str(file)) if content.get(key) is not None else 0
            for key in ("imageWidth", "imageHeight")
        )
        annotations = []
        self._left_out.picture()
        for index, shape in enumerate(shapes, start=1):
            annotation = self._annotation(shape, index, f"{file} shape {index}")
            if annotation is not None:
                annotations.append(annotation)
        self._left_out.end_picture(str(file), len(annotations))
        flags = content.get("flags")
        return PictureLabels(
            name=name,
            annotations=tuple(annotations),
            where=str(file),
            image_wh=(width, height) if width and height else None,
            attributes={key: value for key, value in flags.items() if value} if isinstance(flags, dict) else {},
            embedded=partial(_embedded_picture, data, str(file)) if data else None,
        )

    def _annotation(self, shape: Any, index: int, where: str) -> Annotation | None:
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"]:
            raise LabelError(f"{where}: expected a shape with a label; found {shape!r:.60}")
        kind = shape.get("shape_type") or "polygon"  # files of old versions do not say it
        found = self._box(str(kind), _points(shape.get("points"), where), where)
        if found is None:
            return None
        box, area = found
        if self._left_out.sound(box, where) is None:
            return None
        try:
            return Annotation(shape["label"], box, area=area, number=index, **record_fields(_attributes(shape)))
        except LabelError as error:
            raise LabelError(f"{where}: {error}") from error

    def _box(self, kind: str, points: Points, where: str) -> tuple[Box, float | None] | None:
        if kind == "rectangle":
            if len(points) < 2:
                raise LabelError(f"{where}: a rectangle has two corners; found {len(points)}")
            return box_of_points(points), None  # LabelMe keeps two corners as the mouse went: any order is right
        if kind == "mask" and len(points) == 2:  # drawn pixels, whose box the points are
            self._left_out["outlines left out, boxes kept"] += 1
            return box_of_points(points), None
        if kind in ("polygon", *TURNED_BOXES) and len(points) > 2:
            self._left_out["outlines left out, boxes kept"] += 1
            return box_of_points(points), polygon_area(points)
        if kind == "circle" and len(points) == 2:
            (x, y), edge = points
            radius = math.dist((x, y), edge)
            self._left_out["outlines left out, boxes kept"] += 1
            return (x - radius, y - radius, 2 * radius, 2 * radius), math.pi * radius**2
        self._left_out.shape(f"of the kind {kind}", where)
        return None


def _attributes(shape: dict[str, Any]) -> dict[str, Any]:
    """What a shape says beside its outline: flags that are set, keys of LabelMe and of its kin, their attributes."""
    attributes: dict[str, Any] = {}
    for key, keep_false in (("attributes", True), ("flags", False)):
        found = shape.get(key)
        if isinstance(found, dict):
            attributes |= {name: value for name, value in found.items() if keep_false or value}
    attributes |= {key: shape[key] for key in SHAPE_KEYS if shape.get(key) not in (None, "")}
    # LabelMe's own detector ("AI text to annotation") writes its score into the description, as JSON
    described = _json_object(shape.get("description"))
    if "score" in described:
        attributes.setdefault("score", described["score"])
    return attributes


def _json_object(text: Any) -> dict[str, Any]:
    try:
        found = json_value(text) if isinstance(text, str) and text.lstrip().startswith("{") else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _points(value: Any, where: str) -> Points:
    if not isinstance(value, list) or not all(isinstance(point, list) and len(point) == 2 for point in value):
        raise LabelError(f"{where}: points must be a list of [x, y]; found {value!r:.60}")
    return [(number(x, "points", where), number(y, "points", where)) for x, y in value]


def _picture_beside(file: Path, stated: str, *, holds_picture: bool) -> Path:
    """Where the picture of a label file lies: beside it and called like it, with the suffix that `imagePath` states.

    Where that is missing and `imagePath` names another picture beside the label file, that one. Its folders are not
    looked at: they may lead over somebody's desk. `holds_picture`: it needs a suffix, for none is looked for.
    """
    named = Path(stated.replace("\\", "/")).name if "\0" not in stated else ""
    suffix = Path(named).suffix or (".png" if holds_picture else "")
    like_the_file, other = file.with_suffix(suffix), file.parent / named
    return other if named and not os.path.isfile(like_the_file) and os.path.isfile(other) else like_the_file


def _embedded_picture(text: str, where: str) -> bytes:
    """The bytes of `imageData`, in base64, with or without the head of a data URI; `LabelError` for anything else."""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except ValueError as error:
        raise LabelError(f"{where}: expected a picture in base64 under imageData; found {shown(text)}") from error


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StorageError(f"label file cannot be read: {file}: {error.strerror}") from error


def _is_labelme(file: Path) -> bool:
    """By the words that only LabelMe writes; a file that holds its picture has them at its beginning or its end."""
    if file.suffix != ".json" or not file.is_file():
        return False
    with file.open("rb") as opened:
        head = opened.read(4096)
        opened.seek(max(0, file.stat().st_size - 4096))
        around = head + opened.read()
    return b'"shapes"' in around and (b'"imagePath"' in around or b'"shape_type"' in around)
