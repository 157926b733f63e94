"""Regions of interest: polygons in which the foot of a box must stand to be reported."""

import fnmatch
import math
from collections.abc import Sequence
from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.messages import shown as shown_value

Point = tuple[float, float]


@dataclass(frozen=True)
class Region:
    """A polygon of at least three corners in pixels. `sources`: the names that it is for, with wildcards."""

    corners_xy: tuple[Point, ...]
    sources: str = "*"

    @classmethod
    def parse(cls, text: str) -> "Region":
        """Of "X,Y X,Y X,Y" or "NAME=X,Y X,Y X,Y"; `OptionsError` for another form."""
        sources, separator, polygon = text.rpartition("=")
        try:
            corners = tuple((float(x), float(y)) for x, y in (corner.split(",") for corner in polygon.split()))
        except ValueError:
            corners = ()
        if len(corners) < 3 or not all(map(math.isfinite, sum(corners, ()))) or (separator and not sources):
            raise OptionsError(f"region: expected X,Y X,Y X,Y … in pixels, or NAME=X,Y …; found {shown_value(text)}")
        return cls(corners, sources if separator else "*")

    def is_for(self, name: str) -> bool:
        """Whether it is for the source of this name."""
        return fnmatch.fnmatchcase(name, self.sources)

    def check_inside(self, size_wh: tuple[int, int], *, where: str) -> None:
        """Raises `OptionsError` unless all corners lie in a picture of `size_wh`."""
        width, height = size_wh
        for x, y in self.corners_xy:
            if not (0 <= x <= width and 0 <= y <= height):
                raise OptionsError(f"region: {x:g},{y:g} lies outside {where}, which is {width} x {height} pixels")


def check_regions(regions: Sequence[Region], sources: Sequence[tuple[str, str, tuple[int, int] | None]]) -> None:
    """Raises `OptionsError` for a region of no source, and for one that leaves a picture.

    `sources`: (name in what is written, what people call it, its size where it is known) of each.
    """
    for region in regions:
        meant = [source for source in sources if region.is_for(source[0])]
        if not meant:
            names = ", ".join(name for name, _, _ in sources[:5])
            raise OptionsError(f"region: no SOURCE is called {region.sources!r}; there are {names}")
        for _, shown, size_wh in meant:
            if size_wh is not None:
                region.check_inside(size_wh, where=shown)
