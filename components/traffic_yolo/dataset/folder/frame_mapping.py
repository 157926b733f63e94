"""Brings a frame's annotations under a class map and into its picture, and counts what that changed."""

from collections import Counter
from dataclasses import replace

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.formats.left_out import FLAT
from traffic_yolo.dataset.records import LEAST_SIDE_PX, Annotation, Frame, rounded_xywh

ROUNDING_PX = 1e-3  # an overhang below is that of rounded numbers, and leaves the area as it is
NOTED_CUT_PX = 0.5  # below, a box that sticks out is the rounding of a label file


class FrameMapping:
    """Maps one frame after another; `tally` counts changes by what the report says after the number."""

    def __init__(self, class_map: ClassMap, tally: Counter[str]) -> None:
        self._map = class_map
        self._tally = tally

    def mapped(self, frame: Frame) -> Frame:
        """The frame with its annotations under the class map, cut at the picture's edges, as our files can say them.

        Raises `LabelError` naming the place for a class that no rule names.
        """
        kept = []
        for annotation in frame.annotations:
            name, ignore = annotation.class_name, annotation.ignore
            fate, name = self._map.fate(name, ignored=ignore, where=_where(frame, annotation))
            if fate == "drop":
                self._tally[f"boxes of dropped class {name}"] += 1
                continue
            cut = self._cut(annotation, (frame.width, frame.height))
            if cut is None:
                continue
            ignore = ignore or fate == "ignore"
            xywh = rounded_xywh(cut.xywh)
            if (name, ignore, xywh) != (cut.class_name, cut.ignore, cut.xywh):
                cut = replace(cut, class_name=name, ignore=ignore, xywh=xywh)
            kept.append(cut)
        return replace(frame, annotations=tuple(kept))

    def _cut(self, annotation: Annotation, image_wh: tuple[int, int]) -> Annotation | None:
        """The annotation cut at the picture's edges; None where it lies outside."""
        x, y, width, height = annotation.xywh
        if min(width, height) < LEAST_SIDE_PX:
            self._tally[FLAT] += 1
            return None
        if x >= 0 and y >= 0 and x + width <= image_wh[0] and y + height <= image_wh[1]:
            return annotation  # bit for bit
        left, top = max(x, 0.0), max(y, 0.0)
        right, bottom = min(x + width, float(image_wh[0])), min(y + height, float(image_wh[1]))
        if min(right - left, bottom - top) < LEAST_SIDE_PX:
            self._tally["boxes wholly outside the picture left out"] += 1
            return None
        overhang = max(left - x, top - y, x + width - right, y + height - bottom)
        if overhang >= NOTED_CUT_PX:
            self._tally[f"boxes cut at the edge of the picture by {NOTED_CUT_PX:g} px or more"] += 1
        area = annotation.area if overhang < ROUNDING_PX else None
        return replace(annotation, xywh=(left, top, right - left, bottom - top), area=area)


def _where(frame: Frame, annotation: Annotation) -> str:
    number = f" annotation {annotation.number}" if annotation.number else ""
    return f"{frame.label_file}{number} ({frame.recording} {frame.scan})"
