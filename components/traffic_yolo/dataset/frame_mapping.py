"""Brings a frame's annotations under a class map and into its picture, and counts what that changed."""

from collections import Counter
from dataclasses import replace

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.records import Annotation, Frame

NOTED_CUT_PX = 0.5  # below, a box that sticks out is the rounding of a label file


class FrameMapping:
    """Maps one frame after another; `tally` counts changes by what the report says after the number."""

    def __init__(self, class_map: ClassMap, tally: Counter[str]) -> None:
        self._map = class_map
        self._tally = tally

    def mapped(self, frame: Frame) -> Frame:
        """The frame with its annotations under the class map, cut at the picture's edges.

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
            if name != cut.class_name or ignore != cut.ignore:
                cut = replace(cut, class_name=name, ignore=ignore)
            kept.append(cut)
        return replace(frame, annotations=tuple(kept))

    def _cut(self, annotation: Annotation, image_wh: tuple[int, int]) -> Annotation | None:
        """The annotation cut at the picture's edges; None where it lies outside."""
        x, y, width, height = annotation.xywh
        if x >= 0 and y >= 0 and x + width <= image_wh[0] and y + height <= image_wh[1]:
            return annotation  # bit for bit
        left, top = max(x, 0.0), max(y, 0.0)
        right, bottom = min(x + width, float(image_wh[0])), min(y + height, float(image_wh[1]))
        if right <= left or bottom <= top:
            self._tally["boxes wholly outside the picture left out"] += 1
            return None
        if max(left - x, top - y, x + width - right, y + height - bottom) >= NOTED_CUT_PX:
            self._tally[f"boxes cut at the edge of the picture by {NOTED_CUT_PX:g} px or more"] += 1
        return replace(annotation, xywh=(left, top, right - left, bottom - top), area=None)


def _where(frame: Frame, annotation: Annotation) -> str:
    number = f" annotation {annotation.number}" if annotation.number else ""
    return f"{frame.label_file}{number} ({frame.recording} {frame.scan})"
