"""A line on a picture at which road users are counted."""

import math
import re
from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown as shown_value

TO_LEFT, TO_RIGHT = "to_left", "to_right"
Point = tuple[float, float]


@dataclass(frozen=True)
class CountLine:
    """A line from `start_xy` to `end_xy` in pixels. Who looks along it has `to_left` and `to_right` at the sides."""

    name: str
    start_xy: Point
    end_xy: Point

    @classmethod
    def parse(cls, text: str) -> "CountLine":
        """Of "NAME=X,Y,X,Y"; `OptionsError` for another form, and for a line of no length."""
        name, separator, numbers = text.partition("=")
        parts = numbers.split(",")
        try:
            x1, y1, x2, y2 = (float(part) for part in parts)
        except ValueError:
            x1 = y1 = x2 = y2 = math.nan
        if not separator or not re.fullmatch(r"[\w.-]+", name) or not all(map(math.isfinite, (x1, y1, x2, y2))):
            raise OptionsError(f"count_line: expected NAME=X,Y,X,Y in pixels, found {shown_value(text)}")
        if (x1, y1) == (x2, y2):
            raise OptionsError(f"count_line: {name} begins where it ends; expected two points")
        return cls(name, (x1, y1), (x2, y2))

    def check_inside(self, size_wh: tuple[int, int], *, where: str) -> None:
        """Raises `OptionsError` unless both ends lie in a picture of `size_wh`: one of another size was meant."""
        width, height = size_wh
        for x, y in (self.start_xy, self.end_xy):
            if not (0 <= x <= width and 0 <= y <= height):
                raise OptionsError(
                    f"count_line: {self.name}: {x:g},{y:g} lies outside {where}, which is {width} x {height} pixels"
                )

    def distance(self, point_xy: Point) -> float:
        """How far a point is from the endless line in pixels: above 0 to its right, below 0 to its left."""
        (x1, y1), (x2, y2) = self.start_xy, self.end_xy
        return _cross(self.start_xy, self.end_xy, point_xy) / math.hypot(x2 - x1, y2 - y1)

    def is_met_by(self, from_xy: Point, to_xy: Point) -> bool:
        """Whether a path that changes sides meets the line between its ends, which belong to it."""
        return _cross(from_xy, to_xy, self.start_xy) * _cross(from_xy, to_xy, self.end_xy) <= 0


def _cross(from_xy: Point, to_xy: Point, point_xy: Point) -> float:
    """Above 0 where the point is to the right of the way from one to the other; y grows downwards."""
    (x1, y1), (x2, y2), (x, y) = from_xy, to_xy, point_xy
    return (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1)
