"""COCO instances files: read into annotations by picture, written from them. Boxes stay floats."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.data_set import category_id
from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.errors import LabelError
from traffic_yolo.storage import read_json

IGNORED = "ignored"


@dataclass(frozen=True)
class CocoImage:
    """One entry of `images` with its annotations; `fields` holds every key of the entry."""

    fields: Mapping[str, Any]
    annotations: tuple[Annotation, ...]

    @property
    def file_name(self) -> str:
        """The picture's name as the file gives it."""
        return str(self.fields["file_name"])


@dataclass(frozen=True)
class CocoLabels:
    """A whole file. `classes` in the order of the category ids; `ignored_classes` are those that our writer set apart.

    Left out and counted: `degenerate` boxes without area, `outlines` (segmentation masks; their area is kept).
    """

    path: Path
    classes: tuple[str, ...]
    images: tuple[CocoImage, ...]
    degenerate: int = 0
    outlines: int = 0
    ignored_classes: frozenset[str] = frozenset()

    @property
    def counted_classes(self) -> tuple[str, ...]:
        """`classes` without the ignored ones."""
        return tuple(name for name in self.classes if name not in self.ignored_classes)

    def notes(self) -> list[str]:
        """Lines for the report about what was left out."""
        found = ((self.degenerate, "boxes without area left out"), (self.outlines, "outlines left out, boxes kept"))
        return [f"{self.path.name}: {count} {what}" for count, what in found if count]


def read_coco(path: Path) -> CocoLabels:
    """Reads an instances file.

    Raises `StorageError` where it is no JSON, `LabelError` for a missing key, an id that occurs twice, an annotation
    of an unknown picture or category, or a box that is not four finite numbers.
    """
    content = read_json(path, what="COCO file")
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise LabelError(f"{path}: not a COCO instances file; expected a list under {key!r}")
    try:
        categories = {c["id"]: str(c["name"]) for c in sorted(content["categories"], key=lambda c: int(c["id"]))}
        found: dict[int, list[Annotation]] = {image["id"]: [] for image in content["images"]}
        if len(found) != len(content["images"]) or len(categories) != len(content["categories"]):
            raise LabelError(f"{path}: an image or category id occurs twice")
        degenerate = outlines = 0
        for entry in content["annotations"]:
            where = f"{path}: annotation {entry.get('id')}"
            if entry["image_id"] not in found:
                raise LabelError(f"{where}: no image {entry['image_id']} in the file; remove it or add the image")
            if entry["category_id"] not in categories:
                raise LabelError(f"{where}: no category {entry['category_id']}; known: {sorted(categories)}")
            box = _box(entry["bbox"], where)
            if box[2] <= 0 or box[3] <= 0:
                degenerate += 1
                continue
            outlines += bool(entry.get("segmentation"))
            found[entry["image_id"]].append(_annotation(entry, box, categories, where))
        images = tuple(CocoImage(_checked_image(image), tuple(found[image["id"]])) for image in content["images"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, LabelError):
            raise
        raise LabelError(f"{path}: not a COCO instances file: {type(error).__name__} {error}") from error
    ignored = frozenset(str(c["name"]) for c in content["categories"] if c.get("supercategory") == IGNORED)
    return CocoLabels(path, tuple(categories.values()), images, degenerate, outlines, ignored)


def _checked_image(image: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entry itself; raises what the caller turns into `LabelError` where a reader later would stumble."""
    if not isinstance(image["file_name"], str) or int(image["width"]) <= 0 or int(image["height"]) <= 0:
        raise ValueError(f"image {image['id']}: expected file_name, width and height")
    return image


def _box(value: Any, where: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{where}: bbox must be four numbers x, y, width, height; found {value!r}") from error
    if not all(map(math.isfinite, (x, y, width, height))):
        raise LabelError(f"{where}: bbox must be finite; found {value!r}")
    return x, y, width, height


def _annotation(
    entry: Mapping[str, Any], box: tuple[float, float, float, float], names: Mapping[int, str], where: str
) -> Annotation:
    confidence, area = entry.get("confidence"), entry.get("area")
    # An area that is the box's own says nothing new (files round it to two to four places)
    own_area = area is not None and abs(float(area) - box[2] * box[3]) > 1e-3 * box[2] * box[3] + 1e-2
    try:
        return Annotation(
            class_name=names[entry["category_id"]],
            xywh=box,
            label_source=str(entry.get("label_source", "human")),
            confidence=None if confidence is None else float(confidence),
            is_crowd=bool(entry.get("iscrowd", 0)),
            ignore=bool(entry.get("ignore", 0)),
            area=float(area) if area is not None and own_area else None,
            number=int(entry["id"]),
            attributes=dict(entry.get("attributes") or {}),
        )
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error


def coco_document(frames: Sequence[tuple[int, Frame]], classes: Sequence[str], *, description: str) -> dict[str, Any]:
    """The content of an instances file: pictures with their ids, annotations numbered from 1 in the pictures' order.

    Classes that occur only in ignored boxes get categories after those of `classes`, with the supercategory `IGNORED`,
    so that no reader mistakes such a box for a class of ours. Boxes and areas are rounded to 1/10,000 pixel.
    """
    used = {annotation.class_name for _, frame in frames for annotation in frame.annotations}
    names = [*classes, *sorted(used - set(classes))]
    ids = {name: category_id(index) for index, name in enumerate(names)}
    annotations: list[dict[str, Any]] = []
    for image_id, frame in frames:
        for annotation in frame.annotations:
            entry = {"id": len(annotations) + 1, "image_id": image_id, "category_id": ids[annotation.class_name]}
            annotations.append(entry | _annotation_fields(annotation))
    return {
        "info": {"description": description},
        "categories": [
            {"id": ids[name], "name": name} | ({"supercategory": IGNORED} if index >= len(classes) else {})
            for index, name in enumerate(names)
        ],
        "images": [_image_fields(image_id, frame) for image_id, frame in frames],
        "annotations": annotations,
    }


def _image_fields(image_id: int, frame: Frame) -> dict[str, Any]:
    return {
        "id": image_id,
        "file_name": frame.file_name,
        "width": frame.width,
        "height": frame.height,
        "recording": frame.recording,
        "scan": frame.scan,
        "site": frame.site,
        "camera": frame.camera,
        "day": frame.day,
        "attributes": dict(frame.attributes),
    }


def _annotation_fields(annotation: Annotation) -> dict[str, Any]:
    area = annotation.xywh[2] * annotation.xywh[3] if annotation.area is None else annotation.area
    return {
        "bbox": [round(value, 4) for value in annotation.xywh],
        "area": round(area, 4),
        "iscrowd": int(annotation.is_crowd),
        "ignore": int(annotation.ignore),
        "label_source": annotation.label_source,
        "confidence": annotation.confidence,
        "attributes": dict(annotation.attributes),
    }
