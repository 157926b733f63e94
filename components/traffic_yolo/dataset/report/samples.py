"""Samples of a report: pictures with boxes drawn on them, small enough for a page."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from traffic_yolo.dataset.pictures.choice import BLURRED, NONE
from traffic_yolo.dataset.pictures.decode import decode_picture
from traffic_yolo.dataset.pictures.drawn_boxes import (
    QUIET,
    SAMPLE_PIXELS,
    DrawnBox,
    class_colour,
    sample_jpeg,
    with_boxes,
)
from traffic_yolo.dataset.pictures.privacy_blur import for_people
from traffic_yolo.dataset.records import Frame
from traffic_yolo.errors import DatasetError
from traffic_yolo.html_report import Html, paragraph, picture, pictures

NO_PICTURES = "No pictures are shown (--pictures none)."
KnownBox = tuple[tuple[float, float, float, float], str]  # in the picture's pixels, and its class


def sample_pictures(frames: Sequence[Frame], classes: Sequence[str], *, pictures_shown: str = BLURRED) -> Html:
    """Frames side by side with the boxes of their annotations; grey ones do not count.

    `pictures_shown`: a word of `PictureChoice`.
    """
    if pictures_shown == NONE:
        return paragraph(NO_PICTURES)
    shown = [drawn for frame in frames if (drawn := _sample(frame, classes, pictures_shown)) is not None]
    return pictures(shown) if shown else paragraph("No pictures.")


def draw_boxes(
    data: bytes,
    boxes: Iterable[DrawnBox],
    caption: str,
    *,
    known: Sequence[KnownBox] = (),
    pictures_shown: str = BLURRED,
    pixels: int = SAMPLE_PIXELS,
    marks: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Html | None:
    """The picture made small, with boxes and a caption; None where it does not decode, or no picture is to be shown.

    `known`: (left, top, right, bottom) in pixels and class of all that is known to be in the picture, for its blur.
    `marks`: what a reader may choose it by, as `html_report.picture` takes it.
    """
    if pictures_shown == NONE:
        return None
    try:
        image = decode_picture(data, what=caption)
    except DatasetError:  # the checks say so
        return None
    if image is None:
        return None
    where = np.array([box for box, _ in known], np.float64).reshape(-1, 4)
    image = for_people(image, where, [name for _, name in known], pictures_shown)
    return picture(sample_jpeg(with_boxes(image, boxes, pixels=pixels)), caption, marks=marks)


def _sample(frame: Frame, classes: Sequence[str], pictures_shown: str) -> Html | None:
    boxes, known = [], []
    for annotation in frame.annotations:
        xyxy = annotation.xyxy
        known.append((xyxy, annotation.class_name))
        if annotation.counts:
            colour = class_colour(classes.index(annotation.class_name))
            boxes.append(DrawnBox(xyxy, colour, annotation.class_name))
        else:
            boxes.append(DrawnBox(xyxy, QUIET))
    caption = f"{frame.file_name}, site {frame.site or '-'}, {len(frame.annotations)} boxes"
    marks = {"class": sorted({name for _, name in known})}
    return draw_boxes(frame.picture(), boxes, caption, known=known, pictures_shown=pictures_shown, marks=marks)
