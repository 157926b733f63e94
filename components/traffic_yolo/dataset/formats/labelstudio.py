"""Label Studio's JSON exports (JSON and JSON-MIN): a list of tasks, each a picture with its annotations.

Rectangles are boxes; polygons and ellipses become the boxes around them; other regions are left out and counted.
"""

import math
import mmap
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.fields import number, whole_number
from traffic_yolo.dataset.formats.json_stream import json_pieces
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.provenance import record_fields
from traffic_yolo.dataset.formats.shapes import Box, box_of_points, polygon_area
from traffic_yolo.dataset.pictures.finder import PictureFinder
from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.dataset.problems import Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import Annotation, PictureLabels
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.messages import shown

# Words that stand in every export, be it of tasks that nobody has looked at
WORDS = (b'"to_name"', b'"was_cancelled"', b'"annotation_id"', b'"rectanglelabels"', b'"predictions"')
UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")  # what Label Studio puts before the name of a picture that was uploaded
LABEL_KEYS = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
# What one says of a region beside its shape: type -> key of its value
SAID = {"choices": "choices", "textarea": "text", "number": "number", "rating": "rating", "taxonomy": "taxonomy"}
MACHINE = "prediction"  # `origin` of a region that nobody has changed since a model drew it
Task = Mapping[str, Any]


def labelstudio_files(path: Path) -> list[Path]:
    """The exports that `path` is, or that lie in the folder `path`, in the order of their names."""
    candidates = [path] if path.is_file() else sorted(path.glob("*.json")) if path.is_dir() else []
    return [file for file in candidates if _is_export(file)]


class LabelStudioReader:
    """A JSON export, or the folder that holds some; see `base.LabelReader`.

    Of a task, the annotation that was submitted counts; of several, the one marked as ground truth. Where there is
    none, the predictions do, as a model's labels. Tasks with neither are left out, for nobody has looked at them.
    Classes are those in use, in alphabetical order: reading them takes a pass over all files.
    """

    is_video = False

    def __init__(self, path: Path, options: ReadOptions) -> None:
        del options
        self._files = [path] if path.is_file() else labelstudio_files(path)
        if not self._files:
            raise StorageError(f"no Label Studio export (*.json with a list of tasks) at {path}")
        self.root = path.parent if path.is_file() else path
        self._left_out = LeftOut()
        classes = {annotation.class_name for labels in self.pictures(already_told) for annotation in labels.annotations}
        self._left_out.clear()
        self.classes = tuple(sorted(classes))
        self.default_classes = frozenset(classes)

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """One picture a task, in the files' order."""
        self._left_out.begin(on_problem)
        for file in self._files:
            for index, task in enumerate(_tasks(file), start=1):
                try:
                    labels = self._picture(task, _place(task, index, file))
                except LabelError as error:
                    on_problem(Problem("label-broken", str(error)))
                    continue
                if labels is not None:
                    yield labels

    def notes(self) -> list[str]:
        """Regions that became boxes, those that were left out, and tasks that nobody has looked at."""
        return [f"Label Studio: {count} {what}" for what, count in sorted(self._left_out.items()) if count]

    def _picture(self, task: Any, where: str) -> PictureLabels | None:
        if not isinstance(task, dict):
            raise LabelError(f"{where}: expected a task, found {shown(task)}")
        name, as_uploaded = _picture_of(task, where)
        path = self._uploaded(as_uploaded)
        name = name if path is None else as_uploaded
        where = f"{where} ({name})"
        self._left_out.picture()
        results, is_human = self._results(task, where)
        if results is None:
            return None
        regions = _regions(results, where)
        image_wh = _image_wh(regions, where)
        found = [
            read_region(region, f"{where} region {index}", image_wh, self._left_out, index, is_human=is_human)
            for index, region in enumerate(regions, start=1)
        ]
        annotations = tuple(annotation for annotation in found if annotation is not None)
        if not is_human and not annotations:  # nobody has said that there is nothing
            self._left_out["tasks left out on which a model found nothing"] += 1
            return None
        self._left_out.end_picture(where, len(annotations))
        return PictureLabels(name, annotations, where, image_wh=image_wh, relative=image_wh is None, path=path)

    def _uploaded(self, name: str) -> Path | None:
        """A picture that still has the name which Label Studio gave it; None where there is none."""
        try:
            return self._finder.find(name, where="") if name else None
        except LabelError:
            return None

    @cached_property
    def _finder(self) -> PictureFinder:
        return PictureFinder(self.root)

    def _results(self, task: Task, where: str) -> tuple[list[Any] | None, bool]:
        """(results of the annotation that counts, whether a human submitted it); no results: the task is left out."""
        if "data" not in task:  # JSON-MIN
            own = [value for value in task.values() if isinstance(value, list) and any(map(_is_plain_region, value))]
            if "annotation_id" not in task and not own:
                return self._nothing_said()
            return [{"value": region} for regions in own for region in regions], True
        submitted = [entry for entry in _entries(task, "annotations", where) if entry.get("was_cancelled") is not True]
        truths = [entry for entry in submitted if entry.get("ground_truth") is True]
        chosen = truths if len(truths) == 1 else submitted
        predicted = _entries(task, "predictions", where)
        for what, entries in (("annotations", chosen), ("predictions", [] if chosen else predicted)):
            if len(entries) > 1:
                raise LabelError(
                    f"{where}: expected one of {what}, found {len(entries)}; mark one as ground truth, or remove others"
                )
        for entries, is_human in ((chosen, True), (predicted, False)):
            if entries:
                results = entries[0].get("result")
                if not isinstance(results, list):
                    raise LabelError(f"{where}: expected a list under 'result'; found {shown(results)}")
                return results, is_human
        return self._nothing_said()

    def _nothing_said(self) -> tuple[None, bool]:
        self._left_out["tasks without an annotation left out"] += 1
        return None, False


def read_region(
    region: Sequence[Mapping[str, Any]],
    where: str,
    image_wh: tuple[int, int] | None,
    left_out: LeftOut,
    index: int = 0,
    *,
    is_human: bool = True,
) -> Annotation | None:
    """The box of a region, whose results are given: its shape, its label, what else was said of it.

    In pixels of a picture of the size `image_wh`, in shares of it without. None for what is no box, which `left_out`
    counts. `is_human`: it is part of an annotation, not of a prediction. Raises `LabelError` beginning with `where`.
    """
    shape = next((result for result in region if _has_shape(result["value"])), None)
    if shape is None:
        kinds = sorted({str(result.get("type") or "unknown") for result in region})
        if not set(kinds) <= set(SAID):  # which say something of the whole picture
            left_out.shape(f"of the kind {', '.join(kinds)}"[:80], where)
        return None
    names = [name for result in region for key in LABEL_KEYS for name in _names(result["value"].get(key), where)]
    if len(set(names)) > 1:
        raise LabelError(f"{where}: expected one label, found {shown(names)}")
    if not names:
        left_out.shape("without a label", where)
        return None
    box, area = _box_of(shape["value"], where, image_wh, left_out)
    sound = left_out.sound(box, where)
    if sound is None:
        return None
    attributes = _attributes(region, where)
    score = shape.get("score")
    if score is not None:
        score = number(score, "score", where)
    machine = not is_human or shape.get("origin") == MACHINE
    try:
        fields = record_fields(attributes, score=score, machine=machine)
        return Annotation(names[0], sound, area=area, number=index, **fields)
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error


def _box_of(
    value: Mapping[str, Any], where: str, image_wh: tuple[int, int] | None, left_out: LeftOut
) -> tuple[Box, float | None]:
    """The upright box (xywh) around a shape in hundredths of the picture, and the shape's area, None for the box's."""
    scale_x, scale_y = (side / 100 for side in image_wh or (1, 1))
    degrees = number(value.get("rotation") or 0, "rotation", where)
    if degrees % 360 and image_wh is None:
        raise LabelError(f"{where}: a shape is turned by {degrees:g} degrees, and the picture's size is not stated")
    if "points" in value:
        corners = value["points"]
        if not isinstance(corners, list) or len(corners) < 3 or not all(_is_pair(point) for point in corners):
            raise LabelError(f"{where}: points must be a list of three [x, y] or more; found {shown(corners)}")
        points = [(number(x, "points", where) * scale_x, number(y, "points", where) * scale_y) for x, y in corners]
        left_out["outlines left out, boxes kept"] += 1
        return box_of_points(points), polygon_area(points)
    x, y = number(value.get("x"), "x", where) * scale_x, number(value.get("y"), "y", where) * scale_y
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    if "radiusX" in value:
        across = number(value.get("radiusX"), "radiusX", where) * scale_x
        down = number(value.get("radiusY"), "radiusY", where) * scale_y
        half_width, half_height = math.hypot(across * cos, down * sin), math.hypot(across * sin, down * cos)
        left_out["outlines left out, boxes kept"] += 1
        return (x - half_width, y - half_height, 2 * half_width, 2 * half_height), math.pi * abs(across * down)
    width = number(value.get("width"), "width", where) * scale_x
    height = number(value.get("height"), "height", where) * scale_y
    if degrees % 360 == 0:
        return (x, y, width, height), None
    # Label Studio turns a rectangle about its top left corner, clockwise
    corners = [(0.0, 0.0), (width, 0.0), (width, height), (0.0, height)]
    left_out["turned boxes became the upright boxes around them"] += 1
    turned = [(x + across * cos - down * sin, y + across * sin + down * cos) for across, down in corners]
    return box_of_points(turned), abs(width * height)


def _attributes(region: Sequence[Mapping[str, Any]], where: str) -> dict[str, Any]:
    """What was said of a region: its meta data, and choices, texts and numbers by the names of their controls."""
    found: dict[str, Any] = {}
    for result in region:
        meta = result.get("meta")
        if isinstance(meta, dict):
            found |= meta
        key = SAID.get(str(result.get("type")))
        if key is not None and key in result["value"]:
            said = result["value"][key]
            name = result.get("from_name")
            if not isinstance(name, str) or not name:
                raise LabelError(f"{where}: from_name: expected a text; found {shown(name)}")
            found[name] = said[0] if isinstance(said, list) and len(said) == 1 else said
    return found


def _regions(results: Sequence[Any], where: str) -> list[list[Mapping[str, Any]]]:
    """The results by the region that they belong to; those that are no part of any are one of their own each."""
    regions: dict[Any, list[Mapping[str, Any]]] = {}
    for index, result in enumerate(results):
        if not isinstance(result, dict):
            raise LabelError(f"{where}: expected a result, found {shown(result)}")
        if result.get("type") == "relation":
            continue
        if not isinstance(result.get("value"), dict):
            raise LabelError(f"{where}: expected an object under 'value'; found {shown(result.get('value'))}")
        key = result.get("id")
        regions.setdefault(key if isinstance(key, str) and key else index, []).append(result)
    return list(regions.values())


def _image_wh(regions: Sequence[Sequence[Mapping[str, Any]]], where: str) -> tuple[int, int] | None:
    """The picture's size in pixels as its regions state it; None where none does."""
    sizes = set()
    for result in (result for region in regions for result in region):
        turned = result.get("image_rotation") or result["value"].get("image_rotation") or 0
        if number(turned, "image_rotation", where) % 360:
            raise LabelError(f"{where}: the picture was turned by {turned} degrees while it was labelled; turn it back")
        stated = [result.get(key, result["value"].get(key)) for key in ("original_width", "original_height")]
        if None not in stated:
            width, height = (whole_number(side, "original_width and original_height", where) for side in stated)
            sizes |= {(width, height)} if width and height else set()
    if len(sizes) > 1:
        raise LabelError(f"{where}: regions state different sizes of the picture: {shown(sorted(sizes))}")
    return next(iter(sizes), None)


def _picture_of(task: Task, where: str) -> tuple[str, str]:
    """The name of a task's picture: what its URL or path says below a folder `images`, else its last two parts.

    And the name under which Label Studio keeps a picture that was uploaded, "" for others.
    """
    data = task.get("data", task)
    if not isinstance(data, dict):
        raise LabelError(f"{where}: expected an object under 'data'; found {shown(data)}")
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    places = [texts["image"]] if texts.get("image") else [text for text in texts.values() if _names_picture(text)]
    if len(places) != 1:
        raise LabelError(f"{where}: expected one picture under 'data', as 'image'; found {shown(sorted(data))}")
    if places[0].startswith("data:"):
        raise LabelError(f"{where}: the task holds its picture itself; export it as a file, and name that")
    path, is_upload = _path_of(places[0])
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or "\0" in path:
        raise LabelError(f"{where}: expected the name of a picture; found {shown(places[0])}")
    if is_upload:
        return UPLOADED.sub("", parts[-1], count=1), parts[-1]
    if "images" in parts[:-1]:
        return "/".join(parts[len(parts) - parts[::-1].index("images") :]), ""
    return "/".join(parts if path == places[0] and not path.startswith("/") else parts[-2:]), ""


def _path_of(place: str) -> tuple[str, bool]:
    """The path within a URL (of a web server, a bucket, Label Studio's own), and whether the picture was uploaded."""
    try:
        url = urlsplit(place)
    except ValueError:  # a bracket in a name
        return place.replace("\\", "/"), False
    if url.path.endswith("/data/local-files/"):
        return next(iter(parse_qs(url.query).get("d", [])), ""), False
    if re.fullmatch("[a-z][a-z0-9+.-]+", url.scheme):
        return unquote(url.path), "/data/upload/" in url.path
    if "/data/upload/" in place:
        return unquote(url.path), True
    return place.replace("\\", "/"), False


def _names_picture(text: str) -> bool:
    return Path(_path_of(text)[0]).suffix.lower() in PICTURE_SUFFIXES


def _entries(task: Task, key: str, where: str) -> list[Mapping[str, Any]]:
    entries = task.get(key) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise LabelError(f"{where}: expected a list of objects under {key!r}; found {shown(entries)}")
    return entries


def _has_shape(value: Mapping[str, Any]) -> bool:
    return "points" in value or ("x" in value and "y" in value and ("width" in value or "radiusX" in value))


def _is_plain_region(value: Any) -> bool:
    return isinstance(value, dict) and any(key in value for key in LABEL_KEYS)


def _names(value: Any, where: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise LabelError(f"{where}: expected a list of labels; found {shown(value)}")
    return value


def _is_pair(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2


def _place(task: Any, index: int, file: Path) -> str:
    number_ = task.get("id") if isinstance(task, dict) else None
    return f"{file}: task {index if type(number_) is not int else number_}"


def _tasks(file: Path) -> Iterator[Any]:
    for key, elements in json_pieces(file):
        if key != "":
            raise LabelError(f"{file}: not an export of Label Studio: expected a list of tasks, found an object")
        yield from elements


def _is_export(file: Path) -> bool:
    """Whether a JSON file is a list, and has the words of an export in it."""
    if file.suffix != ".json" or not os.path.isfile(file) or file.stat().st_size == 0:
        return False
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        first = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        return first == b"[" and any(data.find(word) >= 0 for word in WORDS)
