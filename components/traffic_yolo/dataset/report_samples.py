"""Pictures with boxes drawn on them, small enough for a report."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.picture_decode import decode_picture
from traffic_yolo.dataset.records import Frame
from traffic_yolo.errors import DatasetError
from traffic_yolo.html_report import Html, paragraph, picture, pictures

SAMPLE_PIXELS = 480 * 270  # of any shape
SAMPLE_QUALITIES = (75, 60, 45, 30)  # the first that is small enough
SAMPLE_BYTES = 60_000
# Colours of classes in samples, RGB; told apart by the colour-blind (Okabe and Ito's palette)
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
QUIET = (160, 160, 160)  # boxes that do not count

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class DrawnBox:
    """A box in the picture's pixels (left, top, right, bottom), its colour in RGB, and what is written above it."""

    xyxy: tuple[float, float, float, float]
    colour: tuple[int, int, int]
    text: str = ""


def sample_pictures(frames: Sequence[Frame], classes: Sequence[str]) -> Html:
    """Frames side by side with the boxes of their annotations; grey ones do not count."""
    shown = [drawn for frame in frames if (drawn := _sample(frame, classes)) is not None]
    return pictures(shown) if shown else paragraph("No pictures.")


def draw_boxes(data: bytes, boxes: Iterable[DrawnBox], caption: str, *, pixels: int = SAMPLE_PIXELS) -> Html | None:
    """The picture made small, with boxes and a caption; None where it does not decode."""
    try:
        image = decode_picture(data, what=caption)
    except DatasetError:  # the checks say so
        return None
    if image is None:
        return None
    height, width = image.shape[:2]
    scale = min(1.0, (pixels / (width * height)) ** 0.5)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    for box in boxes:
        left, top, right, bottom = (round(float(np.clip(value * scale, -9999, 9999))) for value in box.xyxy)
        colour = box.colour[::-1]
        cv2.rectangle(small, (left, top), (right, bottom), (0, 0, 0), 2)
        cv2.rectangle(small, (left, top), (right, bottom), colour, 1)
        if box.text:
            _write(small, box.text, (left, top - 2 if top > 12 else bottom + 10), colour)
    return picture(_encoded(small), caption)


def _encoded(image: Picture) -> bytes:
    """JPEG bytes, of the best quality that keeps a page of many pictures small."""
    data = b""
    for quality in SAMPLE_QUALITIES:
        data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= SAMPLE_BYTES:
            break
    return data


def _write(image: Picture, text: str, place: tuple[int, int], colour: tuple[int, ...]) -> None:
    """Text with a dark rim, so that it reads on light and on dark ground; in place."""
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_PLAIN, 0.75, (0, 0, 0), 2, cv2.LINE_AA)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_PLAIN, 0.75, colour, 1, cv2.LINE_AA)


def _sample(frame: Frame, classes: Sequence[str]) -> Html | None:
    boxes = []
    for annotation in frame.annotations:
        x, y, width, height = annotation.xywh
        xyxy = (x, y, x + width, y + height)
        if annotation.counts:
            colour = PALETTE[classes.index(annotation.class_name) % len(PALETTE)]
            boxes.append(DrawnBox(xyxy, colour, annotation.class_name))
        else:
            boxes.append(DrawnBox(xyxy, QUIET))
    caption = f"{frame.file_name}, site {frame.site or '-'}, {len(frame.annotations)} boxes"
    return draw_boxes(frame.picture(), boxes, caption)
