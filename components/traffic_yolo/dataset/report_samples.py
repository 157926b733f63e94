"""Samples of a report: pictures with boxes drawn on them, small enough for a page."""

from collections.abc import Iterable, Sequence

from traffic_yolo.dataset.drawn_boxes import QUIET, SAMPLE_PIXELS, DrawnBox, class_colour, sample_jpeg, with_boxes
from traffic_yolo.dataset.picture_decode import decode_picture
from traffic_yolo.dataset.records import Frame
from traffic_yolo.errors import DatasetError
from traffic_yolo.html_report import Html, paragraph, picture, pictures


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
    return picture(sample_jpeg(with_boxes(image, boxes, pixels=pixels)), caption)


def _sample(frame: Frame, classes: Sequence[str]) -> Html | None:
    boxes = []
    for annotation in frame.annotations:
        x, y, width, height = annotation.xywh
        xyxy = (x, y, x + width, y + height)
        if annotation.counts:
            colour = class_colour(classes.index(annotation.class_name))
            boxes.append(DrawnBox(xyxy, colour, annotation.class_name))
        else:
            boxes.append(DrawnBox(xyxy, QUIET))
    caption = f"{frame.file_name}, site {frame.site or '-'}, {len(frame.annotations)} boxes"
    return draw_boxes(frame.picture(), boxes, caption)
