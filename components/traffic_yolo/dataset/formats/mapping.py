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

from dataclasses import dataclass, replace
from pathlib import Path

from traffic_yolo.checked_values import CheckedValue, read_checked
from traffic_yolo.dataset.records import LABEL_SOURCES
from traffic_yolo.errors import LabelError

FILES = ("csv", "json", "jsonl")
ORDERS = ("xyxy", "xywh", "cxcywh")
UNITS = ("pixels", "normalised")
PICTURE_FIELDS = ("image", "width", "height", "recording", "scan", "site", "camera", "day", "split")
BOX_FIELDS = ("class", "box", "confidence", "label_source", "ignore", "iscrowd", "attributes")
KEYS = ("file", "delimiter", "records", "boxes", "fields", "box", "classes", "label_source")
DEFAULTS = {"delimiter": ",", "box": None, "classes": None, "label_source": "human"}
BOX_DEFAULTS = {"order": "xyxy", "unit": "pixels", "one_based": False}


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
    document = read_checked(path, what="mapping", error=LabelError)
    top = document.section(KEYS, required=("file", "fields"), defaults=DEFAULTS)
    fields = top["fields"].section((*PICTURE_FIELDS, *BOX_FIELDS), required=("class", "box"))
    if "image" not in fields and not {"recording", "scan"} <= fields.keys():
        raise top["fields"].refusal("image, or recording and scan")
    box = _or_empty(top["box"]).section(tuple(BOX_DEFAULTS), defaults=BOX_DEFAULTS)
    unit, one_based = box["unit"].one_of(UNITS), box["one_based"].flag()
    if one_based and unit != "pixels":
        raise box["one_based"].refusal("false where the unit is not pixels")
    file = top["file"].one_of(FILES)
    where = fields["box"].items() if isinstance(fields["box"].value, list) else [fields["box"]]
    if len(where) not in (1, 4):
        raise fields["box"].refusal("one field, or a list of four")
    attributes = fields.get("attributes")
    return Mapping(
        file=file,
        delimiter=top["delimiter"].text(),
        records=_only_for(("json",), file, top.get("records")),
        boxes=_only_for(("json", "jsonl"), file, top.get("boxes")),
        picture={name: fields[name].text() for name in PICTURE_FIELDS if name in fields},
        box_fields={
            name: fields[name].text() for name in BOX_FIELDS if name in fields and name not in ("box", "attributes")
        },
        box=tuple(each.text() for each in where),
        attributes=() if attributes is None or attributes.value is None else attributes.texts("a list of fields"),
        order=box["order"].one_of(ORDERS),
        unit=unit,
        one_based=one_based,
        classes={
            str(key): name.text()
            for key, name in _or_empty(top["classes"]).entries("a mapping from what the file says to a class name")
        },
        label_source=top["label_source"].one_of(LABEL_SOURCES),
    )


def _or_empty(value: CheckedValue) -> CheckedValue:
    """A section that is there without content has none."""
    return replace(value, value={}) if value.value is None else value


def _only_for(files: tuple[str, ...], file: str, value: CheckedValue | None) -> str:
    if value is None:
        return ""
    if file not in files:
        raise value.refusal(f"nothing here unless file is {' or '.join(files)}", advice="leave it out")
    return value.text()
