"""Human labels of synthetic recordings: COCO with the ATM's own class ids, one entry for each picture and object.

What a person could not label is left out or marked. No label: less than 5 % of the object shows, or its box is narrower
or lower than 3 pixels in a picture of 540 rows. `ignore` is 1 where less than 25 % of the object shows, less than 25 %
of its box is inside the picture, or the box is lower than 8 pixels at 540 rows. All others count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traffic_yolo.atm.synthetic.frame import SeenObject

LEAST_VISIBLE, LEAST_SIDE_PX = 0.05, 3.0
CLEAR_VISIBLE, CLEAR_INSIDE, CLEAR_HEIGHT_PX = 0.25, 0.25, 8.0
OCCLUDED_BELOW = 0.8  # visible share below which a label says occluded
ROWS = 540


@dataclass(frozen=True)
class LabelledScan:
    """One picture with its labels; ids are given when the file is put together."""

    image: Mapping[str, Any]
    annotations: tuple[Mapping[str, Any], ...]


def label_objects(
    objects: Sequence[SeenObject], class_ids: Mapping[str, int], image_wh: tuple[int, int]
) -> list[dict[str, Any]]:
    """Annotations (without ids) of the objects that a person could label, boxes in pixels rounded to 3 decimals."""
    scale = image_wh[1] / ROWS
    annotations = []
    for seen in objects:
        left, top, right, bottom = seen.box_xyxy
        width, height = right - left, bottom - top
        if seen.visible < LEAST_VISIBLE or min(width, height) < LEAST_SIDE_PX * scale:
            continue
        clear = seen.visible >= CLEAR_VISIBLE and seen.inside >= CLEAR_INSIDE and height >= CLEAR_HEIGHT_PX * scale
        annotations.append({
            "category_id": class_ids[seen.actor.class_name],
            "iscrowd": 0,
            "bbox": [round(left, 3), round(top, 3), round(width, 3), round(height, 3)],
            "area": round(width * height, 3),
            "ignore": int(not clear),
            "attributes": {
                "occluded": seen.visible < OCCLUDED_BELOW,
                "truncated": seen.inside < 0.999,
                "visible": round(seen.visible, 3),
                "track": seen.actor.number,
            },
        })  # fmt: skip
    return annotations


def labels_file(scans: Sequence[LabelledScan], classes: Mapping[int, str]) -> dict[str, Any]:
    """The whole of `human_labels.json`; images and annotations are numbered from 1 in order."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, scan in enumerate(scans, start=1):
        images.append({"id": image_id, **scan.image})
        for annotation in scan.annotations:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
    return {
        "info": {"description": "exact labels of the synthetic recordings beside this file"},
        "categories": [{"id": class_id, "name": name} for class_id, name in classes.items()],
        "images": images,
        "annotations": annotations,
    }
