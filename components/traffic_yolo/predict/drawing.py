"""Draws detections on a whole picture."""

import math
from collections import Counter

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.pictures.drawn_boxes import DrawnBox, class_colour, draw_boxes
from traffic_yolo.dataset.pictures.drawn_text import Lettering, write_on_plate, write_text
from traffic_yolo.predict.count_line import TO_LEFT, TO_RIGHT, CountLine
from traffic_yolo.predict.following import Followed

LINE_SHARE = 1 / 400  # of the picture's height: three pixels at 1080 lines
NOTHING = Followed()
LINE_BGR = (255, 255, 255)  # of count lines
TEXT_SHARE = 1 / 540  # letters of 16 pixels at 1080 lines


def drawn(
    image_bgr: NDArray[np.uint8],
    boxes_xyxy: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    classes: tuple[str, ...],
    followed: Followed = NOTHING,
) -> NDArray[np.uint8]:
    """A new picture with what `draw` draws."""
    image_bgr = image_bgr.copy()
    draw(image_bgr, boxes_xyxy, scores, class_ids, classes, followed)
    return image_bgr


def draw(
    image_bgr: NDArray[np.uint8],
    boxes_xyxy: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    classes: tuple[str, ...],
    followed: Followed = NOTHING,
) -> None:
    """Draws on (H, W, 3) uint8 BGR in place: boxes (K, 4) in its pixels, class and score above; the strong on top.

    With `followed`, a road user's number stands before its class, and at each count line, how many crossed it.
    """
    height = image_bgr.shape[0]
    line = max(1, round(height * LINE_SHARE))
    text_scale = max(1.0, height * TEXT_SHARE)
    tracks = followed.track_ids or (None,) * len(scores)
    boxes = []
    for box, score, class_id, track in zip(
        boxes_xyxy.tolist(), scores.tolist(), class_ids.tolist(), tracks, strict=True
    ):
        text = f"{classes[class_id]} {score:.2f}" if track is None else f"{track} {classes[class_id]} {score:.2f}"
        boxes.append(DrawnBox(tuple(box), class_colour(class_id), text, width=line))
    draw_boxes(image_bgr, reversed(boxes), text_scale=text_scale, write=write_on_plate)
    for count_line in followed.lines:
        _draw_line(image_bgr, count_line, followed.crossed, text_scale)


def _draw_line(
    image_bgr: NDArray[np.uint8], line: CountLine, crossed: Counter[tuple[str, str]], text_scale: float
) -> None:
    """A count line with its counts at both sides of its middle; in place."""
    start, end = (tuple(round(value) for value in point) for point in (line.start_xy, line.end_xy))
    width = max(2, round(2 * text_scale))
    cv2.arrowedLine(image_bgr, start, end, (0, 0, 0), width + 2, cv2.LINE_AA, tipLength=0.02)
    cv2.arrowedLine(image_bgr, start, end, LINE_BGR, width, cv2.LINE_AA, tipLength=0.02)
    (x1, y1), (x2, y2) = line.start_xy, line.end_xy
    length = math.hypot(x2 - x1, y2 - y1)
    lettering = Lettering(text_scale, 2, 4)
    to_right = np.array([y1 - y2, x2 - x1]) / length  # across the line, in pixels whose y grows downwards
    for direction, side in ((TO_RIGHT, to_right), (TO_LEFT, -to_right)):
        text = f"{line.name} {direction} {crossed[line.name, direction]}"
        text_width, text_height = lettering.size_wh(text)
        centre = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        # So far beyond the line that the text's rectangle clears it
        away = abs(side[0]) * text_width / 2 + abs(side[1]) * text_height / 2 + 4 * width
        left, middle = centre + side * away - np.array([text_width / 2, -text_height / 2])
        place = (round(float(left)), round(float(middle)))
        write_text(image_bgr, text, place, LINE_BGR, lettering)
