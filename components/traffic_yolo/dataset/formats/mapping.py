"""The YAML file that tells the format `mapped` where a JSON or CSV label file of one's own has what.

file: csv                      # csv, json (one document) or jsonl (a document a line)
delimiter: ','                 # csv alone
records: frames                # json alone: the key of the list of records; left out: the file is the list
boxes: objects                 # json and jsonl: the key of a record's list of boxes; left out: a record is a box
fields:                        # our word: the file's (in JSON, a.b is b within a)
image: file                  # the picture's name; or recording and scan
class: label
box: [x1, y1, x2, y2]        # four fields, or one that holds four numbers
confidence: score
attributes: [colour, lane]
box: {order: xyxy, unit: pixels, one_based: false}
classes: {0: CAR, 1: BUS}      # what stands in the field `class`: our name; left out: it is the name
label_source: human            # who drew the boxes, where no field says it
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.records import LABEL_SOURCES
from traffic_yolo.errors import LabelError
from traffic_yolo.messages import shown, shown_names
from traffic_yolo.storage import read_yaml

FILES = ("csv", "json", "jsonl")
ORDERS = ("xyxy", "xywh", "cxcywh")
UNITS = ("pixels", "normalised")
PICTURE_FIELDS = ("image", "width", "height", "recording", "scan", "site", "camera", "day", "split")
BOX_FIELDS = ("class", "box", "confidence", "label_source", "ignore", "iscrowd", "attributes")
KEYS = ("file", "delimiter", "records", "boxes", "fields", "box", "classes", "label_source")


@dataclass(frozen=True)
class Mapping:
    """A mapping. `picture` and `box_fields`: our word -> the file's; `box` holds one field or four."""

    file: str
    delimiter: str
    records: str
    boxes: str
    picture: dict[str, str]
    box_fields: dict[str, str]
    box: tuple[str, ...]
    attributes: tuple[str, ...]
    order: str
    unit: str
    one_based: bool
    classes: dict[str, str]
    label_source: str


def read_mapping(path: Path) -> Mapping:
    """Reads and checks a mapping; `StorageError` or `LabelError` naming file, key, and what was expected there."""
    return _Parser(path).mapping(read_yaml(path, what="mapping", error=LabelError))


class _Parser:
    def __init__(self, path: Path) -> None:
        self._path = path

    def mapping(self, value: Any) -> Mapping:
        top = self.section(value, "the top level", KEYS, required=("file", "fields"))
        fields = self.section(top["fields"], "fields", (*PICTURE_FIELDS, *BOX_FIELDS), required=("class", "box"))
        box = self.section(top.get("box") or {}, "box", ("order", "unit", "one_based"))
        if "image" not in fields and not {"recording", "scan"} <= fields.keys():
            raise self.error("fields", "image, or recording and scan", fields)
        one_based = box.get("one_based", False)
        if not isinstance(one_based, bool):
            raise self.error("box.one_based", "true or false", one_based)
        unit = self.one_of(box.get("unit", "pixels"), "box.unit", UNITS)
        if one_based and unit != "pixels":
            raise self.error("box.one_based", "false where the unit is not pixels", one_based)
        file = self.one_of(top["file"], "file", FILES)
        where = fields["box"] if isinstance(fields["box"], list) else [fields["box"]]
        if len(where) not in (1, 4):
            raise self.error("fields.box", "one field, or a list of four", fields["box"])
        return Mapping(
            file=file,
            delimiter=self.text(top.get("delimiter", ","), "delimiter"),
            records=self.only_for(("json",), file, top, "records"),
            boxes=self.only_for(("json", "jsonl"), file, top, "boxes"),
            picture={name: self.text(fields[name], f"fields.{name}") for name in PICTURE_FIELDS if name in fields},
            box_fields={
                name: self.text(fields[name], f"fields.{name}")
                for name in BOX_FIELDS
                if name in fields and name not in ("box", "attributes")
            },
            box=tuple(self.text(name, "fields.box") for name in where),
            attributes=tuple(self.words(fields.get("attributes") or [], "fields.attributes")),
            order=self.one_of(box.get("order", "xyxy"), "box.order", ORDERS),
            unit=unit,
            one_based=one_based,
            classes=self.classes(top.get("classes") or {}),
            label_source=self.one_of(top.get("label_source", "human"), "label_source", LABEL_SOURCES),
        )

    def section(self, value: Any, key: str, known: tuple[str, ...], required: tuple[str, ...] = ()) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(key, f"a mapping with keys of {', '.join(known)}", value)
        unknown = [name for name in value if name not in known]
        missing = [name for name in required if name not in value]
        if unknown or missing:
            found = f"unknown: {shown_names(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}"
            raise LabelError(f"mapping {self._path}: wrong keys at {key} ({found}); known: {', '.join(known)}")
        return value

    def only_for(self, files: tuple[str, ...], file: str, top: dict[str, Any], key: str) -> str:
        if key not in top:
            return ""
        if file not in files:
            raise self.error(key, f"left out unless file is {' or '.join(files)}", top[key])
        return self.text(top[key], key)

    def text(self, value: Any, key: str) -> str:
        if not isinstance(value, str) or not value:
            raise self.error(key, "a text", value)
        return value

    def words(self, value: Any, key: str) -> list[str]:
        if not isinstance(value, list):
            raise self.error(key, "a list of fields", value)
        return [self.text(word, key) for word in value]

    def one_of(self, value: Any, key: str, choices: tuple[str, ...]) -> str:
        if value not in choices:
            raise self.error(key, f"one of {', '.join(choices)}", value)
        return str(value)

    def classes(self, value: Any) -> dict[str, str]:
        if not isinstance(value, dict):
            raise self.error("classes", "a mapping from what the file says to a class name", value)
        return {str(key): self.text(name, f"classes.{key}") for key, name in value.items()}

    def error(self, key: str, expected: str, found: Any) -> LabelError:
        return LabelError(f"mapping {self._path}: {key} must be {expected}; found {shown(found)}")
