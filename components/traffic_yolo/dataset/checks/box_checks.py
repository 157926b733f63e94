"""Checks of the boxes of one frame. Each is a function from an observation to problems."""

import math
from collections.abc import Iterator

from traffic_yolo.dataset.checks.finding import Objection
from traffic_yolo.dataset.checks.observation import Observation, RawBox
from traffic_yolo.dataset.records import LEAST_SIDE_PX

NOTED_OVERHANG_PX = 0.5  # below, a box that sticks out is the rounding of a label file


def unknown_class(observation: Observation) -> Iterator[Objection]:
    """A class id or name that the source does not know."""
    for box in observation.boxes:
        if box.class_name is None:
            yield Objection("a class of the source", box.class_text, box.name)


def not_a_number(observation: Observation) -> Iterator[Objection]:
    """NaN or infinity in a box."""
    for box in observation.boxes:
        if not all(map(math.isfinite, box.xywh)):
            yield Objection("four finite numbers", _numbers(box), box.name)


def no_area(observation: Observation) -> Iterator[Objection]:
    """A box whose width or height is not above 0 (to 1/10,000 pixel)."""
    for box in observation.boxes:
        if all(map(math.isfinite, box.xywh)) and min(box.xywh[2:]) < LEAST_SIDE_PX:
            yield Objection("width and height above 0", _numbers(box), box.name)


def emptied_picture(observation: Observation) -> Iterator[Objection]:
    """A picture all of whose boxes are left out: it would pass for a picture without objects."""
    outside = sum(overhang is None for _, overhang, _ in _overhanging(observation))
    if outside and outside == len(observation.boxes):
        yield Objection("a box that can be kept", f"{outside} wholly outside the picture, and no other")


def outside_picture(observation: Observation) -> Iterator[Objection]:
    """A box wholly outside the picture; conversion leaves it out."""
    for box, overhang, size_wh in _overhanging(observation):
        if overhang is None:
            yield Objection(f"a box inside {size_wh[0]}x{size_wh[1]}", _numbers(box), box.name)


def sticks_out(observation: Observation) -> Iterator[Objection]:
    """A box partly outside the picture; conversion clamps it."""
    for box, overhang, size_wh in _overhanging(observation):
        if overhang is not None and overhang >= NOTED_OVERHANG_PX:
            found = f"{_numbers(box)}, clamped by {overhang:.1f} px"
            yield Objection(f"a box inside {size_wh[0]}x{size_wh[1]}", found, box.name)


def duplicate_box(observation: Observation) -> Iterator[Objection]:
    """Two boxes of one class that overlap by more than 0.95."""
    for first, second, iou in observation.same_places:
        if first.class_name == second.class_name:
            yield Objection("one box for each object", f"{first.name} at IoU {iou:.3f}", second.name)


def two_classes(observation: Observation) -> Iterator[Objection]:
    """Two boxes of different classes that overlap by more than 0.95."""
    for first, second, iou in observation.same_places:
        if first.class_name != second.class_name:
            yield Objection("one class for each object", f"{first.name} at IoU {iou:.3f}", second.name)


def empty_frame(observation: Observation) -> Iterator[Objection]:
    """A labelled frame without boxes."""
    if observation.label_file and observation.picture is not None and not observation.boxes:
        yield Objection("boxes, or a frame that is meant to be empty", "none")


def _overhanging(observation: Observation) -> Iterator[tuple[RawBox, float | None, tuple[int, int]]]:
    """Boxes that cross an edge, by how many pixels; None for one wholly outside."""
    size_wh = observation.size_wh
    if size_wh is None:
        return
    width, height = size_wh
    for box in observation.sound_boxes:
        left, top, right, bottom = box.xyxy
        if right <= 0 or bottom <= 0 or left >= width or top >= height:
            yield box, None, size_wh
        else:
            overhang = max(-left, -top, right - width, bottom - height)
            if overhang > 0:
                yield box, overhang, size_wh


def _numbers(box: RawBox) -> str:
    return "x, y, w, h = " + ", ".join(f"{value:.6g}" for value in box.xywh)
