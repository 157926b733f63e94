"""Pictures of streets for people to look at: number plates and heads blurred by the parts of boxes where they are.

Knows no plates and no faces: only where they lie in a box of a vehicle or a person. What no box marks stays as it is.
The pictures of a data set are not its business: copies for pages are.
"""

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.pictures.choice import FULL

Part = Literal["plate", "head", "whole"]

PERSON_WORDS = frozenset({"adult", "child", "pedestrian", "pedestrians", "people", "person", "worker"})
VEHICLE_WORDS = frozenset({
    "ambulance", "automobile", "bus", "car", "coach", "jeep", "lorry", "minibus", "minivan", "pickup", "suv", "taxi",
    "trailer", "train", "tram", "truck", "van", "vehicle",
})  # fmt: skip
# Shares of a box, (left, top, right, bottom). A plate hangs in the lower half of what a camera above the road sees,
# at 0.55 of the height in the highest of the reference's estate cars; boxes are a little narrow now and then.
PLATE_PART = (-0.03, 0.45, 1.03, 1.06)
WHOLE_PART = (-0.05, -0.08, 1.05, 1.05)
HEAD_SHARE, HEAD_WIDTHS = 0.35, 0.9  # of the height, but as many widths where only the upper body is in the picture
# A cell of the blur is one colour: a twelfth of a box is 17 cm of a car, where a letter of a plate has 6 cm, and 14 cm
# of a person. The picture's share holds where a corner of a near vehicle is all that its box has
CELLS_PER_BOX, CELLS_PER_PICTURE, LEAST_CELL_PX = 12, 60, 6


def part_of(class_name: str) -> Part:
    """Which part of a box is private, by the words of its class; a class that is not known is blurred as a whole.

    So are riders and what they ride: their boxes hold a head above and a plate below. "LONG_TRUCK" is two words.
    """
    words = set(class_name.lower().replace("_", " ").replace("-", " ").split())
    if words & PERSON_WORDS:
        return "head"
    return "plate" if words & VEHICLE_WORDS else "whole"


def private_parts(boxes_xyxy: NDArray[np.floating[Any]], class_names: Sequence[str]) -> NDArray[np.float64]:
    """(N, 4): for each box the part that is blurred, both as left, top, right, bottom in pixels; may lie outside.

    `class_names`: one for each of the N boxes; `ValueError` where their number differs.
    """
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    if len(boxes) != len(class_names):
        raise ValueError(f"expected a class name for each of {len(boxes)} boxes, found {len(class_names)}")
    sizes = boxes[:, 2:] - boxes[:, :2]  # (N, 2), width and height
    shares = np.array([_shares(name, *size) for name, size in zip(class_names, sizes.tolist(), strict=True)])
    parts: NDArray[np.float64] = np.tile(boxes[:, :2], 2) + np.tile(sizes, 2) * shares.reshape(-1, 4)
    return parts


def blurred(
    picture: NDArray[np.uint8], boxes_xyxy: NDArray[np.floating[Any]] | None, class_names: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """A copy of a picture, (H, W, C) or (H, W) in any order of channels, its private parts averaged over cells.

    `boxes_xyxy`: (N, 4) in the picture's pixels, of all that is known to be there, be it true or found; a box that is
    not finite or lies outside changes nothing. None where nobody has looked: then the whole picture is blurred, since
    anything may be in it.
    """
    copy = np.array(picture, copy=True)
    height, width = copy.shape[:2]
    if boxes_xyxy is None:
        _average(copy, (0, 0, width, height), _cell_px(copy, 0.0))
        return copy
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4)
    for box, part in zip(boxes, private_parts(boxes, class_names), strict=True):
        if not np.isfinite(box).all():
            continue
        left, top = (int(value) for value in np.clip(np.floor(part[:2]), 0, (width, height)))
        right, bottom = (int(value) for value in np.clip(np.ceil(part[2:]), 0, (width, height)))
        if left < right and top < bottom:
            _average(copy, (left, top, right, bottom), _cell_px(copy, float(max(box[2] - box[0], box[3] - box[1]))))
    return copy


def for_people(
    picture: NDArray[np.uint8], boxes_xyxy: NDArray[np.floating[Any]], class_names: Sequence[str], pictures: str
) -> NDArray[np.uint8]:
    """A picture as a page may show it by the word of `PictureChoice`: as it is where that is full, else `blurred`.

    A picture without a box is blurred as a whole: that nobody marked anything tells nothing of what is in it. Where the
    word is none, the caller has no picture to show.
    """
    if pictures == FULL:
        return picture
    return blurred(picture, boxes_xyxy if len(boxes_xyxy) else None, class_names)


def names_of(class_ids: Sequence[int], classes: Sequence[str]) -> list[str]:
    """The class of each box; "", which is blurred whole, for a region of all classes, whose number is below 0."""
    return [classes[class_id] if class_id >= 0 else "" for class_id in class_ids]


def _shares(class_name: str, width: float, height: float) -> tuple[float, float, float, float]:
    part = part_of(class_name)
    if part == "plate":
        return PLATE_PART
    left, top, right, bottom = WHOLE_PART
    if part == "head" and height > 0:
        bottom = min(bottom, max(HEAD_SHARE, HEAD_WIDTHS * width / height))
    return left, top, right, bottom


def _cell_px(picture: NDArray[np.uint8], longest_px: float) -> float:
    return max(float(LEAST_CELL_PX), int(picture.shape[0]) / CELLS_PER_PICTURE, longest_px / CELLS_PER_BOX)


def _average(picture: NDArray[np.uint8], window: tuple[int, int, int, int], cell_px: float) -> None:
    """Averages a window (left, top, right, bottom) over cells, with soft edges between them; in place."""
    left, top, right, bottom = window
    region = picture[top:bottom, left:right]
    height, width = region.shape[:2]
    cells = cv2.resize(
        region, (max(1, int(width / cell_px)), max(1, int(height / cell_px))), interpolation=cv2.INTER_AREA
    )
    region[...] = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR).reshape(region.shape)
