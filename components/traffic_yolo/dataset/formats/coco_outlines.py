"""COCO's outlines (`segmentation`: polygons, or run lengths of a mask), for annotations that state no box."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from traffic_yolo.dataset.coco_entries import LARGEST_SIDE, number_column, shown
from traffic_yolo.dataset.formats.shapes import Box, box_of_points, polygon_area
from traffic_yolo.errors import LabelError

MOST_GROUPS = 13  # of five bits, in which a run's length is written: more than 64 bits


def with_box(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An annotation with `bbox` (and `area`, where it has none) from its outline, where it states no box itself.

    The same entry where it has a box, or no outline. Raises `LabelError`, without a place, for an outline that is none.
    """
    if entry.get("bbox") not in (None, []) or not entry.get("segmentation"):
        return entry
    box, area = outline_box(entry["segmentation"])
    return {**entry, "bbox": list(box), "area": area if entry.get("area") is None else entry["area"]}


def outline_box(segmentation: Any) -> tuple[Box, float]:
    """The box (xywh, pixels) around an outline, and the area in it: of all its polygons, or of the mask's pixels.

    Raises `LabelError`, without a place, for anything else.
    """
    if isinstance(segmentation, dict):
        return _box_of_mask(segmentation)
    if not isinstance(segmentation, list) or not all(isinstance(polygon, list) for polygon in segmentation):
        raise LabelError(f"segmentation: expected lists of x, y, or a mask's counts; found {shown(segmentation)}")
    points: list[tuple[float, float]] = []
    area = 0.0
    for polygon in segmentation:
        values = number_column(polygon)
        if values is None or len(values) % 2 or len(values) < 6 or np.isnan(values).any():
            raise LabelError(f"segmentation: expected x, y of three points or more; found {shown(polygon)}")
        corners = list(zip(values[::2].tolist(), values[1::2].tolist(), strict=True))
        points += corners
        area += polygon_area(corners)
    return box_of_points(points), area


def _box_of_mask(mask: Mapping[str, Any]) -> tuple[Box, float]:
    """By the runs alone, column by column from the top left, the first one outside: no mask of pixels is made."""
    size, counts = mask.get("size"), mask.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(type(s) is int and 0 < s <= LARGEST_SIDE for s in size):
        raise LabelError(f"segmentation: expected size [height, width] of a mask; found {shown(size)}")
    height, width = size
    runs: Any = _runs_of_text(counts) if isinstance(counts, str) else counts
    good = isinstance(runs, list) and all(type(run) is int and 0 <= run <= height * width for run in runs)
    if not good or sum(runs) != height * width:
        raise LabelError(f"segmentation: expected counts of {height} x {width} pixels; found {shown(counts)}")
    ends = list(itertools.accumulate(runs))
    inside = [(start, end) for start, end in zip(ends[0::2], ends[1::2], strict=False) if end > start]
    if not inside:
        raise LabelError("segmentation: expected a mask with pixels in it, found an empty one")
    left, right = inside[0][0] // height, (inside[-1][1] - 1) // height
    tops, bottoms = [], []
    for start, end in inside:
        whole = start // height != (end - 1) // height  # goes on in the next column: both edges are touched
        tops.append(0 if whole else start % height)
        bottoms.append(height - 1 if whole else (end - 1) % height)
    box = (left, min(tops), right - left + 1, max(bottoms) - min(tops) + 1)
    return (float(box[0]), float(box[1]), float(box[2]), float(box[3])), float(
        sum(end - start for start, end in inside)
    )


def _runs_of_text(text: str) -> Sequence[int]:
    """The runs of COCO's compressed form: five bits a character from '0', the sixth for "more follows", low ones first.

    From the third on, a run is the difference from the one before the last. Raises `LabelError` for other characters.
    """
    runs: list[int] = []
    value = groups = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or groups >= MOST_GROUPS:
            raise LabelError(f"segmentation: expected a mask's compressed counts; found {shown(text)}")
        value |= (bits & 31) << 5 * groups
        groups += 1
        if bits & 32:
            continue
        if bits & 16:  # negative
            value -= 1 << 5 * groups
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = groups = 0
    if groups:
        raise LabelError(f"segmentation: expected a mask's compressed counts; found {shown(text)}")
    return runs
