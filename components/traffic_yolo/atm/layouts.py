"""Layouts: where in an ATM recording a reader finds what. They are YAML files; this module reads and checks them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from traffic_yolo.checked_values import CheckedValue, read_checked
from traffic_yolo.errors import RecordingError, StorageError
from traffic_yolo.messages import shown
from traffic_yolo.patterns import compiled, matched
from traffic_yolo.storage import AnyPath, input_path

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


def device_layout() -> Layout:
    """The layout that stands for the sensor itself where no recording says which: its classes' numbers and sizes."""
    return next(iter(builtin_layouts().values()))


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
        return _layout(read_checked(path, what="layout", error=RecordingError))
    except StorageError as error:
        raise RecordingError(str(error)) from error


def _groups(pattern: "re.Pattern[str]", name: str) -> dict[str, str]:
    match = matched(pattern, name)
    return {key: value for key, value in match.groupdict().items() if value} if match else {}


def _layout(document: CheckedValue) -> Layout:
    top = document.section(KEYS[""], required=KEYS[""])
    image, names = (top[key].section(KEYS[key], required=KEYS[key]) for key in ("image", "names"))
    divisor = names["intersection_divisor"]
    classes = _classes(top["classes"])
    return Layout(
        name=top["name"].text(),
        scan_group=_pattern(top["scan_group"], ("number",), required=True),
        image_dataset=image["dataset"].text(),
        nominal_size_wh=image["nominal_size_wh"].size_wh(),
        detections=_detections(top["detections"]),
        tracks=None if top["tracks"].value is None else _tracks(top["tracks"]),
        status_dataset=None if top["status"].value is None else top["status"].text(),
        classes=classes,
        nominal_sizes_m=_nominal_sizes(top["nominal_sizes_m"], set(classes.values())),
        file_name=_pattern(names["file"], NAME_GROUPS),
        folder_name=_pattern(names["folder"], NAME_GROUPS),
        intersection_divisor=None if divisor.value is None else divisor.whole(1),
    )


def _detections(value: CheckedValue) -> DetectionTable:
    section = value.section(KEYS["detections"], required=KEYS["detections"])
    box = section["box"].section(KEYS["detections.box"], required=KEYS["detections.box"])
    columns = section["columns"].texts(once=True)
    attributes = section["attributes"]
    attributes.texts(once=True)
    space = section["box_space_wh"]
    return DetectionTable(
        dataset=section["dataset"].text(),
        columns=columns,
        class_id=section["class_id"].one_of(columns),
        confidence=section["confidence"].one_of(columns),
        box=(
            box["x"].one_of(columns),
            box["y"].one_of(columns),
            box["width"].one_of(columns),
            box["height"].one_of(columns),
        ),
        box_anchor=section["box_anchor"].one_of(BOX_ANCHORS),
        box_space_wh=None if space.value == "picture" else space.size_wh("[width, height] in pixels, or picture"),
        end_of_list=section["end_of_list"].one_of(LIST_ENDS),
        attributes=tuple(name.one_of(columns) for name in attributes.items()),
    )


def _tracks(value: CheckedValue) -> TrackTable:
    section = value.section(KEYS["tracks"], required=KEYS["tracks"])
    return TrackTable(
        dataset=section["dataset"].text(),
        columns=section["columns"].texts(once=True),
        max_rows=section["max_rows"].whole(1),
    )


def _classes(value: CheckedValue) -> dict[int, str]:
    expected = "a mapping from class id to name"
    classes = {}
    for class_id, name in value.entries(expected):
        if type(class_id) is not int or class_id < 0:
            raise value.refusal("whole numbers from 0 as class ids", found=shown(class_id))
        classes[class_id] = name.text()
    if not classes:
        raise value.refusal(expected)
    if len(set(classes.values())) != len(classes):
        raise value.refusal("a name of its own for each class id")
    return classes


def _nominal_sizes(value: CheckedValue, class_names: set[str]) -> dict[str, tuple[float, float]]:
    sizes = {}
    for name, size in value.entries("a mapping from class name to [length, width]"):
        if name not in class_names:
            raise value.refusal(f"one of {', '.join(sorted(class_names))}", found=shown(name))
        sides = size.items("[length, width] in metres")
        if len(sides) != 2:
            raise size.refusal("[length, width] in metres")
        sizes[name] = (sides[0].number(above=0), sides[1].number(above=0))
    return sizes


def _pattern(value: CheckedValue, groups: tuple[str, ...], *, required: bool = False) -> "re.Pattern[str]":
    try:
        pattern = compiled(value.text())
    except ValueError as error:
        raise value.refusal(f"a regular expression ({error})") from error
    unknown = set(pattern.groupindex) - set(groups)
    if unknown or (required and set(groups) - set(pattern.groupindex)):
        raise value.refusal(f"a regular expression with the named groups {', '.join(groups)}")
    return pattern
