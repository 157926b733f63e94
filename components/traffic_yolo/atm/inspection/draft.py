"""Drafts a layout YAML from an inspection: what was found, what was guessed, and what a person must decide."""

import re

from traffic_yolo.atm.inspection.box_spaces import BoxSpace
from traffic_yolo.atm.inspection.inspect import Kind
from traffic_yolo.atm.inspection.structure import DataSetSummary
from traffic_yolo.atm.layouts import builtin_layouts, device_layout

CONFIDENCE_WORDS = ("conf", "score", "prob")
CLASS_WORDS = ("class", "cls", "label", "category", "type")
YAML_WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
TRACK_WORDS = ("xpos", "ypos", "xvel", "object", "track", "radar")


def draft_layout(kind: Kind, *, name: str = "unknown") -> str:
    """The text of a layout file that `read_layout` accepts, with a comment wherever something was guessed.

    "" where the files cannot be described by a layout: no scans, scans below another group, no table of boxes.
    """
    data_set = detections_of(kind)
    if not kind.sample.names or kind.sample.parent or data_set is None:
        return ""
    space = next((one for one in kind.boxes[data_set.name] if one.anchor != "corners"), None)
    if space is None:
        return ""
    columns, class_id, confidence = _column_names(data_set, space, kind)
    role = {key: columns[[c.name for c in data_set.columns].index(value)] for key, value in space.role_of.items()}
    if kind.pictures.size_wh is not None:
        width, height = kind.pictures.size_wh
        size_comment = "the most frequent size of a picture"
    else:
        width, height, size_comment = 1920, 1080, "GUESS: no picture was found"
    stated = "picture" if space.is_picture else f"[{space.space_wh[0]}, {space.space_wh[1]}]"
    corners = kind.boxes[data_set.name][0].anchor == "corners"
    order = "" if data_set.named else "   # GUESS: in the order of the file"
    lines = [
        f"# Drafted by `traffic-yolo atm inspect` from {len(kind.files)} files. Check every line marked GUESS.",
        f"name: {name}",
        "",
        f"scan_group: '{kind.sample.scan_pattern}'",
        "",
        "image:",
        f"  dataset: {_quoted(kind.pictures.data_set or 'Image')}",
        f"  nominal_size_wh: [{width}, {height}]   # {size_comment}",
        "",
        "detections:",
        f"  dataset: {_quoted(data_set.name)}",
        f"  columns: [{', '.join(map(_quoted, columns))}]{order}",
        f"  class_id: {_quoted(class_id)}   # GUESS",
        f"  confidence: {_quoted(confidence)}   # GUESS",
        "  box: {"
        + ", ".join(f"{key}: {_quoted(role[key])}" for key in ("x", "y", "width", "height"))
        + "}   # GUESS"
        + ("; corners (right, bottom) fit better, which a layout cannot say" if corners else ""),
        f"  box_anchor: {space.anchor}   # GUESS",
        f"  box_space_wh: {stated}   # {space.inside:.0%} of the boxes are inside, over {space.fill:.0%} of it",
        f"  end_of_list: {'zero_confidence' if data_set.padded else 'all_rows'}",
        "  attributes: []",
        "",
        *_tracks(kind, data_set.name),
        "",
        f"status: {_quoted(_status(kind)) if _status(kind) else 'null'}",
        "",
        *_classes(kind, data_set, class_id),
        "",
        "nominal_sizes_m: {}",
        "",
        "names:   # GUESS: the file's name without its suffix, and its folder's",
        *_names(kind),
        "  intersection_divisor: null",
    ]
    return "\n".join(lines) + "\n"


def detections_of(kind: Kind) -> DataSetSummary | None:
    """The table that most likely holds the detections: its boxes fit best, and it does not look like a radar's."""
    best: tuple[float, str] | None = None
    for name, spaces in kind.boxes.items():
        if not spaces:
            continue
        words = " ".join([name, *(column.name for column in kind.sample.data_sets[name].columns)]).lower()
        score = spaces[0].score - (0.5 if any(word in words for word in TRACK_WORDS) and "bbox" not in words else 0)
        if best is None or score > best[0]:
            best = (score, name)
    return kind.sample.data_sets[best[1]] if best is not None else None


def _column_names(data_set: DataSetSummary, space: BoxSpace, kind: Kind) -> tuple[list[str], str, str]:
    """(columns, class column, confidence column); columns of a plain table get the names of what they seem to be."""
    found = [column.name for column in data_set.columns]
    boxes = set(space.columns)
    free = [column for column in data_set.columns if column.name not in boxes]
    fractions = [c.name for c in free if not c.whole and c.low >= 0 and c.high <= 1]
    named = [c.name for c in free if any(word in c.name.lower() for word in CONFIDENCE_WORDS)]
    confidence = next(iter([*named, *fractions, *(c.name for c in free), *found]))
    candidates = [name for name in kind.classes.get(data_set.name, {}) if name not in boxes and name != confidence]
    by_name = [name for name in candidates if any(word in name.lower() for word in CLASS_WORDS)]
    class_id = next(iter([*by_name, *candidates, *(c.name for c in free if c.name != confidence), *found]))
    if data_set.named:
        return found, class_id, confidence
    renamed = {confidence: "confidence", class_id: "class_id"}
    renamed |= {column: role for role, column in space.role_of.items()}
    columns = [renamed.get(name, name) for name in found]
    return columns, "class_id", "confidence"


def _tracks(kind: Kind, detections: str) -> list[str]:
    known = {layout.tracks.dataset: layout.tracks for layout in builtin_layouts().values() if layout.tracks is not None}
    for name, data_set in kind.sample.data_sets.items():
        if name == detections or data_set.kind != "table":
            continue
        columns = [column.name for column in data_set.columns]
        if not data_set.named and name in known and len(known[name].columns) == len(columns):
            columns = list(known[name].columns)
        most = max(data_set.row_counts, default=1)
        return [
            "tracks:   # GUESS",
            f"  dataset: {_quoted(name)}",
            f"  columns: [{', '.join(map(_quoted, columns))}]",
            f"  max_rows: {max(256, most)}",
        ]
    return ["tracks: null"]


def _status(kind: Kind) -> str:
    return next((name for name, one in kind.sample.data_sets.items() if one.kind == "json"), "")


def _classes(kind: Kind, data_set: DataSetSummary, class_id: str) -> list[str]:
    known = device_layout().classes
    column = class_id
    if not data_set.named:
        candidates = kind.classes.get(data_set.name, {})
        column = next(iter(candidates), class_id)
    values = kind.classes.get(data_set.name, {}).get(column)
    found = sorted(int(value) for value in values) if values else sorted(known)
    if set(found) <= set(known):
        shown = ", ".join(f"{key}: {name}" for key, name in known.items())
        return [f"classes: {{{shown}}}   # GUESS: ATM's own; found: {', '.join(map(str, found))}"]
    shown = ", ".join(f"{key}: CLASS_{key}" for key in found)
    return [f"classes: {{{shown}}}   # GUESS: give them their names"]


def _names(kind: Kind) -> list[str]:
    for layout in builtin_layouts().values():
        if all(layout.file_name.fullmatch(file.stem) for file in kind.files):
            return [f"  file: '{layout.file_name.pattern}'", f"  folder: '{layout.folder_name.pattern}'"]
    day = r"(?P<day>\d{8})[_-]?(?P<time>\d{6}).*"
    if all(re.fullmatch(day, file.stem) for file in kind.files):
        return [f"  file: '{day}'", r"  folder: '(?P<day>\d{8})_(?:site)?(?P<site>.+)'"]
    return [r"  file: '(?P<number>.*?\d*)'", "  folder: '(?P<site>.+)'"]


def _quoted(name: str) -> str:
    """The name as YAML takes it for a text."""
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in (
        "null",
        "true",
        "false",
        "yes",
        "no",
        "on",
    ):
        return name if name.lower() not in ("y", "n") else f"'{name}'"
    return "'" + name.replace("'", "''") + "'"
