"""Layouts: where in an ATM recording a reader finds what. They are YAML files; this module reads and checks them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from traffic_yolo.errors import RecordingError, StorageError
from traffic_yolo.messages import shown, shown_names
from traffic_yolo.patterns import compiled, matched
from traffic_yolo.storage import AnyPath, input_path, read_yaml

SCHEMA_PATH = Path(__file__).with_name("layout.schema.json")  # for editors and others; we say more ourselves
LAYOUT_FOLDER = Path(__file__).with_name("layouts")
BOX_ANCHORS = ("top_left", "centre")
LIST_ENDS = ("zero_confidence", "all_rows")
SCAN_DIGITS = 18  # more fit no 64-bit number, and no device counts so far
NAME_GROUPS = ("day", "time", "camera", "site", "number")

KEYS: dict[str, tuple[str, ...]] = {
    "": ("name", "scan_group", "image", "detections", "tracks", "status", "classes", "nominal_sizes_m", "names"),
    "image": ("dataset", "nominal_size_wh"),
    "detections": (
        "dataset", "columns", "class_id", "confidence", "box", "box_anchor", "box_space_wh", "end_of_list",
        "attributes",
    ),
    "detections.box": ("x", "y", "width", "height"),
    "tracks": ("dataset", "columns", "max_rows"),
    "names": ("file", "folder", "intersection_divisor"),
}  # fmt: skip


@dataclass(frozen=True)
class DetectionTable:
    """The data set of the device's own detections."""

    dataset: str
    columns: tuple[str, ...]
    class_id: str
    confidence: str
    box: tuple[str, str, str, str]  # the columns of x, y, width, height
    box_anchor: str  # one of BOX_ANCHORS
    box_space_wh: tuple[int, int] | None  # None: boxes are in the picture's own pixels
    end_of_list: str  # one of LIST_ENDS
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class TrackTable:
    """The data set of radar or fusion tracks."""

    dataset: str
    columns: tuple[str, ...]
    max_rows: int


@dataclass(frozen=True)
class RecordingName:
    """What the names of a recording's file and folder say; an empty string where they do not say it."""

    day: str = ""
    time: str = ""
    camera: str = ""
    site: str = ""


@dataclass(frozen=True)
class Layout:
    """One layout, as its YAML file says it."""

    name: str
    scan_group: "re.Pattern[str]"
    image_dataset: str
    nominal_size_wh: tuple[int, int]
    detections: DetectionTable
    tracks: TrackTable | None
    status_dataset: str | None
    classes: Mapping[int, str]
    nominal_sizes_m: Mapping[str, tuple[float, float]]  # class name -> length, width
    file_name: "re.Pattern[str]"
    folder_name: "re.Pattern[str]"
    intersection_divisor: int | None

    def scan_number(self, group_name: str) -> int | None:
        """The number of the scan in a group of this name, or None where the group is no scan.

        Raises `ValueError` for a number of more than 18 digits, which nothing that counts scans holds.
        """
        match = matched(self.scan_group, group_name)
        if match is None:
            return None
        digits = match["number"] or ""
        if not digits.isdecimal() or len(digits) > SCAN_DIGITS:
            raise ValueError(f"expected a scan number of 1 to {SCAN_DIGITS} digits, found {len(digits)} characters")
        return int(digits)

    def describe_name(self, path: Path) -> RecordingName:
        """Day, time, camera and site by the names of a recording's file and folder.

        The folder's day counts before the file's. Without a site in the folder's name, the site is `intersection<n>`
        where the file name has the camera's ip, else the folder's whole name.
        """
        in_file = _groups(self.file_name, path.stem)
        in_folder = _groups(self.folder_name, path.absolute().parent.name)
        found = {**in_file, **in_folder}
        camera = found.get("camera", "")
        site = found.get("site", "") or self._intersection(camera) or path.absolute().parent.name
        return RecordingName(day=found.get("day", ""), time=found.get("time", ""), camera=camera, site=site)

    def _intersection(self, camera: str) -> str:
        last = camera.rpartition(".")[2]
        if self.intersection_divisor is None or not last.isdigit():
            return ""
        return f"intersection{int(last) // self.intersection_divisor}"


@cache
def builtin_layouts() -> Mapping[str, Layout]:
    """The layouts that come with the package, by name, in alphabetical order."""
    layouts = [read_layout(path) for path in sorted(LAYOUT_FOLDER.glob("*.yaml"))]
    return {layout.name: layout for layout in layouts}


def load_layout(name_or_path: AnyPath) -> Layout:
    """A built-in layout by name, or the layout in a YAML file by its location; `RecordingError` for what is neither."""
    layouts = builtin_layouts()
    if str(name_or_path) in layouts:
        return layouts[str(name_or_path)]
    path = input_path(name_or_path, what="layout")
    if not path.is_file():
        raise RecordingError(
            f"unknown layout {str(name_or_path)!r}; expected one of {', '.join(layouts)}, or a YAML file"
        )
    return read_layout(path)


def read_layout(path: AnyPath) -> Layout:
    """The layout in a YAML file; `RecordingError` names the file, the key, and what was expected there."""
    path = input_path(path, what="layout")
    try:
        value = read_yaml(path, what="layout", error=RecordingError)
    except StorageError as error:
        raise RecordingError(str(error)) from error
    return _Parser(path).layout(value)


def _groups(pattern: "re.Pattern[str]", name: str) -> dict[str, str]:
    match = matched(pattern, name)
    return {key: value for key, value in match.groupdict().items() if value} if match else {}


class _Parser:
    """Turns the YAML value of one file into a `Layout`; each method checks one kind of value."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def layout(self, value: Any) -> Layout:
        top = self.section(value, "")
        image = self.section(top["image"], "image")
        names = self.section(top["names"], "names")
        divisor = names["intersection_divisor"]
        classes = self.classes(top["classes"])
        return Layout(
            name=self.text(top["name"], "name"),
            scan_group=self.pattern(top["scan_group"], "scan_group", ("number",), required=True),
            image_dataset=self.text(image["dataset"], "image.dataset"),
            nominal_size_wh=self.size(image["nominal_size_wh"], "image.nominal_size_wh"),
            detections=self.detections(top["detections"]),
            tracks=None if top["tracks"] is None else self.tracks(top["tracks"]),
            status_dataset=None if top["status"] is None else self.text(top["status"], "status"),
            classes=classes,
            nominal_sizes_m=self.nominal_sizes(top["nominal_sizes_m"], set(classes.values())),
            file_name=self.pattern(names["file"], "names.file", NAME_GROUPS),
            folder_name=self.pattern(names["folder"], "names.folder", NAME_GROUPS),
            intersection_divisor=None if divisor is None else self.positive(divisor, "names.intersection_divisor"),
        )

    def detections(self, value: Any) -> DetectionTable:
        section = self.section(value, "detections")
        box = self.section(section["box"], "detections.box")
        columns = self.words(section["columns"], "detections.columns")
        space = section["box_space_wh"]

        def column(name: Any, key: str) -> str:
            return self.one_of(name, f"detections.{key}", columns)

        return DetectionTable(
            dataset=self.text(section["dataset"], "detections.dataset"),
            columns=columns,
            class_id=column(section["class_id"], "class_id"),
            confidence=column(section["confidence"], "confidence"),
            box=(
                column(box["x"], "box.x"),
                column(box["y"], "box.y"),
                column(box["width"], "box.width"),
                column(box["height"], "box.height"),
            ),
            box_anchor=self.one_of(section["box_anchor"], "detections.box_anchor", BOX_ANCHORS),
            box_space_wh=None if space == "picture" else self.size(space, "detections.box_space_wh", or_word="picture"),
            end_of_list=self.one_of(section["end_of_list"], "detections.end_of_list", LIST_ENDS),
            attributes=tuple(
                column(name, "attributes") for name in self.words(section["attributes"], "detections.attributes")
            ),
        )

    def tracks(self, value: Any) -> TrackTable:
        section = self.section(value, "tracks")
        return TrackTable(
            dataset=self.text(section["dataset"], "tracks.dataset"),
            columns=self.words(section["columns"], "tracks.columns"),
            max_rows=self.positive(section["max_rows"], "tracks.max_rows"),
        )

    def section(self, value: Any, key: str) -> dict[str, Any]:
        expected = KEYS[key]
        where = key or "the top level"
        if not isinstance(value, dict):
            raise self.error(where, f"a mapping with the keys {', '.join(expected)}", value)
        unknown = [name for name in value if name not in expected]
        missing = [name for name in expected if name not in value]
        if unknown or missing:
            found = f"unknown: {shown_names(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}"
            raise RecordingError(f"layout {self.path}: wrong keys at {where} ({found}); known: {', '.join(expected)}")
        return value

    def classes(self, value: Any) -> dict[int, str]:
        if not isinstance(value, dict) or not value:
            raise self.error("classes", "a mapping from class id to name", value)
        for class_id, name in value.items():
            if isinstance(class_id, bool) or not isinstance(class_id, int) or class_id < 0:
                raise self.error("classes", "whole numbers from 0 as class ids", class_id)
            self.text(name, f"classes.{class_id}")
        if len(set(value.values())) != len(value):
            raise self.error("classes", "a name of its own for each class id", value)
        return dict(value)

    def nominal_sizes(self, value: Any, class_names: set[str]) -> dict[str, tuple[float, float]]:
        if not isinstance(value, dict):
            raise self.error("nominal_sizes_m", "a mapping from class name to [length, width]", value)
        sizes = {}
        for name, size in value.items():
            self.one_of(name, "nominal_sizes_m", tuple(sorted(class_names)))
            numbers = isinstance(size, list) and all(isinstance(side, int | float) and side > 0 for side in size)
            if not numbers or len(size) != 2:
                raise self.error(f"nominal_sizes_m.{name}", "[length, width] in metres", size)
            sizes[name] = (float(size[0]), float(size[1]))
        return sizes

    def text(self, value: Any, key: str) -> str:
        if not isinstance(value, str) or not value:
            raise self.error(key, "a text", value)
        return value

    def words(self, value: Any, key: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
            raise self.error(key, "a list of names", value)
        if len(set(value)) != len(value):
            raise self.error(key, "each name once", value)
        return tuple(value)

    def one_of(self, value: Any, key: str, choices: tuple[str, ...]) -> str:
        if value not in choices:
            raise self.error(key, f"one of {', '.join(choices)}", value)
        return str(value)

    def positive(self, value: Any, key: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(key, "a whole number from 1", value)
        return value

    def size(self, value: Any, key: str, *, or_word: str = "") -> tuple[int, int]:
        if not isinstance(value, list) or len(value) != 2:
            raise self.error(key, "[width, height] in pixels" + (f", or {or_word}" if or_word else ""), value)
        return self.positive(value[0], key), self.positive(value[1], key)

    def pattern(self, value: Any, key: str, groups: tuple[str, ...], *, required: bool = False) -> "re.Pattern[str]":
        try:
            pattern = compiled(self.text(value, key))
        except ValueError as error:
            raise self.error(key, f"a regular expression ({error})", value) from error
        unknown = set(pattern.groupindex) - set(groups)
        if unknown or (required and set(groups) - set(pattern.groupindex)):
            raise self.error(key, f"a regular expression with the named groups {', '.join(groups)}", value)
        return pattern

    def error(self, key: str, expected: str, found: Any) -> RecordingError:
        return RecordingError(f"layout {self.path}: {key} must be {expected}; found {shown(found)}")
