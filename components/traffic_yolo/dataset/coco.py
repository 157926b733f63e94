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
    """A whole file. `classes` in the order of the category ids; `degenerate` counts boxes without area, left out."""

    path: Path
    classes: tuple[str, ...]
    images: tuple[CocoImage, ...]
    degenerate: int


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
        degenerate = 0
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
            found[entry["image_id"]].append(_annotation(entry, box, categories))
        images = tuple(CocoImage(image, tuple(found[image["id"]])) for image in content["images"])
        for image in images:
            str(image.file_name), int(image.fields["width"]), int(image.fields["height"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, LabelError):
            raise
        raise LabelError(f"{path}: not a COCO instances file: {type(error).__name__} {error}") from error
    return CocoLabels(path, tuple(categories.values()), images, degenerate)


def _box(value: Any, where: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{where}: bbox must be four numbers x, y, width, height; found {value!r}") from error
    if not all(map(math.isfinite, (x, y, width, height))):
        raise LabelError(f"{where}: bbox must be finite; found {value!r}")
    return x, y, width, height


def _annotation(
    entry: Mapping[str, Any], box: tuple[float, float, float, float], names: Mapping[int, str]
) -> Annotation:
    confidence = entry.get("confidence")
    return Annotation(
        class_name=names[entry["category_id"]],
        xywh=box,
        label_source=str(entry.get("label_source", "human")),
        confidence=None if confidence is None else float(confidence),
        is_crowd=bool(entry.get("iscrowd", 0)),
        ignore=bool(entry.get("ignore", 0)),
        attributes=dict(entry.get("attributes") or {}),
    )


def coco_document(frames: Sequence[tuple[int, Frame]], classes: Sequence[str], *, description: str) -> dict[str, Any]:
    """The content of an instances file: pictures with their ids, annotations numbered from 1 in the pictures' order.

    An ignored box whose class is none of `classes` is written under the first category, with its own class in
    `attributes["class_name"]`: an ignore region speaks for every class, and COCO wants a category.
    """
    class_ids = {name: class_id for class_id, name in enumerate(classes)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, frame in frames:
        images.append(
            {
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
        )
        for annotation in frame.annotations:
            known = annotation.class_name in class_ids
            attributes = dict(annotation.attributes) | ({} if known else {"class_name": annotation.class_name})
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": category_id(class_ids.get(annotation.class_name, 0)),
                    "bbox": [round(value, 4) for value in annotation.xywh],
                    "area": round(annotation.xywh[2] * annotation.xywh[3], 4),
                    "iscrowd": int(annotation.is_crowd),
                    "ignore": int(annotation.ignore),
                    "label_source": annotation.label_source,
                    "confidence": annotation.confidence,
                    "attributes": attributes,
                }
            )
    return {
        "info": {"description": description},
        "categories": [{"id": category_id(index), "name": name} for index, name in enumerate(classes)],
        "images": images,
        "annotations": annotations,
    }
