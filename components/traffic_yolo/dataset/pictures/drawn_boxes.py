"""Boxes drawn on pictures: colours, labels, and JPEGs small enough for a page of many."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.pictures.drawn_text import Lettering, write_text

SAMPLE_PIXELS = 480 * 270  # of any shape
SAMPLE_QUALITIES = (75, 60, 45, 30)  # the first that is small enough
SAMPLE_BYTES = 60_000
# Colours of classes in samples, RGB; told apart by the colour-blind (Okabe and Ito's palette)
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
QUIET = (160, 160, 160)  # boxes that do not count
# What became of true and of reported boxes, told apart by colour-blind readers and on dark and bright asphalt
RIGHT_RGB, TRUTH_RGB, IGNORED_RGB = (0, 190, 120), (255, 255, 255), (150, 150, 150)
MISSED_RGB, FALSE_RGB = (240, 228, 66), (230, 60, 30)
HATCH_PX = 9  # between two lines of a hatched box

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class DrawnBox:
    """A box in the picture's pixels (left, top, right, bottom), its colour in RGB, and what is written above it.

    `hatched` fills it with slanting lines: what is inside does not count. `width`: of its line, in drawn pixels.
    """

    xyxy: tuple[float, float, float, float]
    colour: tuple[int, int, int]
    text: str = ""
    hatched: bool = False
    width: int = 1


def class_colour(class_id: int) -> tuple[int, int, int]:
    """RGB; beyond the palette's end colours come again."""
    return PALETTE[class_id % len(PALETTE)]


def with_boxes(
    image_bgr: Picture, boxes: Iterable[DrawnBox], *, pixels: int = SAMPLE_PIXELS, text_scale: float = 1.0
) -> Picture:
    """A new picture, made small enough for `pixels`, with boxes on it; (H, W, 3) uint8 BGR as OpenCV has it.

    `text_scale`: of the texts, whose letters are 8 pixels high at 1.
    """
    height, width = image_bgr.shape[:2]
    scale = min(1.0, (pixels / (width * height)) ** 0.5)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(image_bgr, size_wh, interpolation=cv2.INTER_AREA), np.uint8)  # of its own memory
    draw_boxes(small, boxes, scale=scale, text_scale=text_scale)
    return small


def draw_boxes(
    image_bgr: Picture,
    boxes: Iterable[DrawnBox],
    *,
    scale: float = 1.0,
    text_scale: float = 1.0,
    write: Callable[[Picture, str, tuple[int, int], tuple[int, ...], Lettering], None] = write_text,
) -> None:
    """Draws on (H, W, 3) uint8 BGR in place; boxes are multiplied by `scale`; `text_scale` as in `with_boxes`.

    `write`: how texts are written, `drawn_text.write_text` or `write_on_plate`.
    """
    lettering = Lettering(0.75 * text_scale, line := max(1, round(text_scale)), line + 1)
    labels: list[tuple[DrawnBox, tuple[int, int]]] = []
    for box in boxes:
        left, top, right, bottom = (round(min(max(value * scale, -9999), 9999)) for value in box.xyxy)
        colour = box.colour[::-1]
        if box.hatched:
            _hatch(image_bgr, (left, top, right, bottom), colour)
        _outline(image_bgr, (left, top, right, bottom), colour, box.width)
        if box.text:
            above = top - 2 if top > 12 * text_scale else bottom + round(10 * text_scale)
            labels.append((box, (left, above)))
    taken: list[tuple[float, float, float, float]] = []
    # The last box lies on top, so its text comes first; where there is no room, the colour still tells what a box is
    for box, (x, y) in reversed(labels):
        place = _text_place(box.text, (x, y), image_bgr.shape[1], lettering)
        if not any(_overlap(place, other) for other in taken):
            taken.append(place)
            write(image_bgr, box.text, (round(place[0]), y), box.colour[::-1], lettering)


def _text_place(
    text: str, start: tuple[int, int], width: int, lettering: Lettering
) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of a text that begins at `start`, moved to the left where it would leave the picture."""
    wide, high = lettering.size_wh(text)
    left = max(0, min(start[0], width - wide))
    return left, start[1] - high, left + wide, start[1] + 1


def _overlap(one: tuple[float, float, float, float], other: tuple[float, float, float, float]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def sample_jpeg(image_bgr: Picture, *, most_bytes: int = SAMPLE_BYTES) -> bytes:
    """JPEG bytes, of the best quality that keeps a page of many pictures small."""
    data = b""
    for quality in SAMPLE_QUALITIES:
        data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= most_bytes:
            break
    return data


def _outline(image: Picture, box: tuple[int, int, int, int], colour: tuple[int, ...], width: int) -> None:
    """A line of `width` pixels, the middle one on the box's edge, with a dark pixel on either side; in place.

    Of lines of one pixel each: OpenCV draws a thick one as four polygons, which takes three times as long, and as five
    pixels where three are asked for.
    """
    left, top, right, bottom = box
    outer, inner = -(width // 2), (width - 1) // 2
    for inset in (outer - 1, inner + 1, *range(outer, inner + 1)):
        corner, opposite = (left + inset, top + inset), (right - inset, bottom - inset)
        if inset <= 0 or (corner[0] <= opposite[0] and corner[1] <= opposite[1]):
            cv2.rectangle(image, corner, opposite, colour if outer <= inset <= inner else (0, 0, 0), 1)


def _hatch(image: Picture, box: tuple[int, int, int, int], colour: tuple[int, ...]) -> None:
    """Lines from lower left to upper right inside a box; in place."""
    left, top, right, bottom = (
        int(np.clip(value, 0, most)) for value, most in zip(box, (image.shape[1], image.shape[0]) * 2, strict=True)
    )
    window = image[top:bottom, left:right]
    height, width = window.shape[:2]
    for start in range(HATCH_PX, height + width, HATCH_PX):
        cv2.line(window, (start, 0), (start - height, height), colour, 1, cv2.LINE_AA)
