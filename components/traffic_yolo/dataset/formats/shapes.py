"""Boxes of other shapes, for formats that draw more than boxes: what is kept of an outline is its box and its area."""

import math
from collections.abc import Sequence

Box = tuple[float, float, float, float]
Points = Sequence[tuple[float, float]]


def box_of_corners(left: float, top: float, right: float, bottom: float) -> tuple[Box, bool]:
    """The box (xywh) between two corners, and whether they stood the wrong way round in either direction."""
    turned = right < left or bottom < top
    left, right = (right, left) if right < left else (left, right)
    top, bottom = (bottom, top) if bottom < top else (top, bottom)
    # Rounding keeps 10.1 + 4.2 from becoming 14.299999999999999 on every journey through a format
    return (left, top, round(right - left, 6), round(bottom - top, 6)), turned


def ordered_xywh(box: Box) -> Box:
    """The box (xywh) with sizes from 0: a negative size reaches back from the corner."""
    x, y, width, height = box
    if width >= 0 and height >= 0:
        return box
    return min(x, x + width), min(y, y + height), abs(width), abs(height)


def box_of_points(points: Points) -> Box:
    """The box (xywh) around points. Raises `ValueError` where there is none."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def polygon_area(points: Points) -> float:
    """The area that an outline encloses (shoelace formula); for one that crosses itself, parts cancel."""
    pairs = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


def box_of_rotated(box: Box, degrees: float) -> Box:
    """The upright box (xywh) around a box that is turned about its centre."""
    x, y, width, height = box
    cos, sin = abs(math.cos(math.radians(degrees))), abs(math.sin(math.radians(degrees)))
    around_w, around_h = width * cos + height * sin, width * sin + height * cos
    return x + (width - around_w) / 2, y + (height - around_h) / 2, around_w, around_h
