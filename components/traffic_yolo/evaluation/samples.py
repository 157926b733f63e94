"""A few pictures of an evaluation with true and reported boxes drawn in, as small JPEGs."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.evaluation.detect import read_rgb
from traffic_yolo.evaluation.matching import WRONG, Matching
from traffic_yolo.evaluation.nms import Detections
from traffic_yolo.html_report import Html, picture, pictures

COUNT = 6
WIDTH = 480  # pixels; six pictures of this width stay well below 500 kB as data URIs
JPEG_QUALITY = 78

TRUTH_RGB, CORRECT_RGB, WRONG_RGB, IGNORED_RGB = (255, 255, 255), (60, 200, 90), (255, 90, 40), (150, 150, 150)


def choose_samples(images: Sequence[LabelledImage], detections: Detections, matching: Matching) -> list[int]:
    """Indices of up to `COUNT` pictures: half of them those with most false and missed boxes, half spread evenly."""
    place = {image.image_id: index for index, image in enumerate(images)}
    errors = np.array([int((~image.ignore & ~image.is_crowd).sum()) for image in images])
    for row, outcome, truth in zip(matching.order, matching.outcomes, matching.truths, strict=True):
        index = place[int(detections.image_ids[row])]
        errors[index] += int(outcome == WRONG) - int(outcome != WRONG and truth >= 0)
    worst = [int(index) for index in np.argsort(-errors, kind="stable")[: COUNT // 2]]
    rest = [index for index in range(len(images)) if index not in worst]
    wanted = min(COUNT - len(worst), len(rest))
    return worst + [rest[round(index)] for index in np.linspace(0, len(rest) - 1, wanted).tolist()]


def sample_pictures(
    images: Sequence[LabelledImage], detections: Detections, matching: Matching, classes: Sequence[str]
) -> Html:
    """The chosen pictures side by side, as HTML. `matching` is that of exactly these detections."""
    outcome_of = np.zeros(len(detections), np.int8)
    outcome_of[matching.order] = matching.outcomes
    shown = []
    for index in choose_samples(images, detections, matching):
        image = images[index]
        mine = np.flatnonzero(detections.image_ids == image.image_id)
        drawn = _draw(read_rgb(image), image, detections.select(mine), outcome_of[mine], classes)
        shown.append(picture(_jpeg(drawn), f"{image.file_name}: {len(image.class_ids)} true, {len(mine)} reported"))
    return pictures(shown)


def _draw(
    rgb: NDArray[np.uint8],
    image: LabelledImage,
    detections: Detections,
    outcomes: NDArray[np.int8],
    classes: Sequence[str],
) -> NDArray[np.uint8]:
    scale = min(1.0, WIDTH / rgb.shape[1])
    canvas = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for box in image.boxes_xyxy * scale:
        _rectangle(canvas, box, TRUTH_RGB, 1)
    colours = {1: CORRECT_RGB, 0: WRONG_RGB, -1: IGNORED_RGB}
    for box, score, class_id, outcome in zip(
        detections.boxes_xyxy * scale, detections.scores, detections.class_ids, outcomes, strict=True
    ):
        colour = colours[int(outcome)]
        _rectangle(canvas, box, colour, 2)
        x, y = round(float(box[0])), max(9, round(float(box[1])) - 3)
        text = f"{classes[class_id]} {score:.2f}"
        for ink, thickness in (((0, 0, 0), 2), (colour, 1)):  # a dark rim keeps the text readable on any picture
            cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.32, ink, thickness, cv2.LINE_AA)
    return np.asarray(canvas, np.uint8)


def _rectangle(canvas: NDArray[np.uint8], box: NDArray[np.float32], colour: tuple[int, int, int], width: int) -> None:
    left, top, right, bottom = (round(float(value)) for value in box)
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, width)


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    assert done, "OpenCV could not encode a JPEG"
    return bytes(data.tobytes())
