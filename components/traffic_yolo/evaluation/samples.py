"""Pictures of an evaluation with true and reported boxes drawn in by kind of error, as small JPEGs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.dataset.pictures.choice import BLURRED, NONE
from traffic_yolo.dataset.pictures.drawn_boxes import FALSE_RGB, IGNORED_RGB, MISSED_RGB, RIGHT_RGB, TRUTH_RGB
from traffic_yolo.dataset.pictures.privacy_blur import for_people, names_of
from traffic_yolo.dataset.report.samples import NO_PICTURES
from traffic_yolo.detection.detect import read_rgb
from traffic_yolo.detection.nms import Detections
from traffic_yolo.evaluation.error_split import KIND_NAMES, MISSED, NO_KIND, ErrorSplit
from traffic_yolo.html_report import Html, colour_key, paragraph, picture, pictures
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.matching import CORRECT, WRONG

WORST, SPREAD = 6, 4
WIDTH = 480  # pixels
JPEG_QUALITIES = (80, 65, 50, 35)
LETTER_PX, LINE_PX = 6, 9  # of the labels
BUDGET_BYTES = 390_000  # of all pictures together; base64 makes 520 kB of it, which leaves 480 kB of 1 MB

# By kind, told apart by colour-blind readers and on dark and bright asphalt
KIND_RGB = {
    "classification": (204, 121, 167),
    "localisation": (240, 165, 0),
    "both": (165, 110, 60),
    "duplicate": (86, 180, 233),
    "background": FALSE_RGB,
    "missed": MISSED_RGB,
}


@dataclass(frozen=True)
class Samples:
    """HTML: the pictures with most errors, and some spread evenly over the rest."""

    worst: Html
    spread: Html


def errors_per_picture(detections: Detections, truth: GroundTruth, errors: ErrorSplit) -> NDArray[np.int64]:
    """Wrong detections and undetected boxes of each picture (M,)."""
    wrong = truth.picture_indices(detections.image_ids[errors.outcomes == WRONG])
    count = len(truth.image_ids)
    return np.bincount(wrong, minlength=count) + np.bincount(truth.truth_pictures[errors.undetected], minlength=count)


def choose_pictures(errors: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Indices of the pictures with most errors, worst first, and of others spread evenly over the rest."""
    worst = [int(index) for index in np.argsort(-errors, kind="stable")[:WORST] if errors[index]]
    rest = [index for index in range(len(errors)) if index not in worst]
    places = np.linspace(0, len(rest) - 1, min(SPREAD, len(rest)))
    return worst, [rest[round(place)] for place in places.tolist()]


def sample_pictures(
    images: Sequence[LabelledImage],
    detections: Detections,
    truth: GroundTruth,
    errors: ErrorSplit,
    *,
    pictures_shown: str = BLURRED,
) -> Samples:
    """`errors` is the split of exactly these detections; `images` are the truth's pictures, in its order.

    `pictures_shown`: a word of `PictureChoice`; blurred by the true boxes and the detections.
    """
    if pictures_shown == NONE:
        return Samples(paragraph(NO_PICTURES), paragraph(NO_PICTURES))
    counts = errors_per_picture(detections, truth, errors)
    worst, spread = choose_pictures(counts)
    drawn = {
        index: _draw(index, images[index], detections, truth, errors, pictures_shown) for index in [*worst, *spread]
    }
    jpegs = _within_budget(drawn)

    def shown(indices: Sequence[int]) -> Html:
        return pictures(
            picture(jpegs[index], _caption(images[index], truth, counts, index), marks=_marks(index, images[index]))
            for index in indices
        )

    def _marks(index: int, image: LabelledImage) -> dict[str, list[str]]:
        return error_marks(index, image.image_id, detections, truth, errors)

    key = colour_key([("right", RIGHT_RGB), *KIND_RGB.items(), ("found truth", TRUTH_RGB), ("ignored", IGNORED_RGB)])
    return Samples(Html(key + shown(worst)), shown(spread))


def error_marks(
    index: int, image_id: int, detections: Detections, truth: GroundTruth, errors: ErrorSplit
) -> dict[str, list[str]]:
    """What a reader may choose the picture of an index by: the kinds of its errors, and the classes that err there.

    The class of an error is that of the detection, or of the true box for one that nothing found.
    """
    wrong = np.flatnonzero((detections.image_ids == image_id) & (errors.kinds != NO_KIND))
    undetected = np.flatnonzero(errors.undetected & (truth.truth_pictures == index))
    kinds = {KIND_NAMES[kind] for kind in errors.kinds[wrong].tolist()} | (
        {KIND_NAMES[MISSED]} if len(undetected) else set()
    )
    class_ids = {*detections.class_ids[wrong].tolist(), *truth.class_ids[undetected].tolist()}
    return {
        "error": [name for name in KIND_NAMES if name in kinds],
        "class": names_of(sorted(class_ids), truth.classes),
    }


def _caption(image: LabelledImage, truth: GroundTruth, counts: NDArray[np.int64], index: int) -> str:
    true = int((~truth.ignore & (truth.truth_pictures == index)).sum())
    return f"{image.file_name}: {true} true, {int(counts[index])} errors"


def _within_budget(drawn: dict[int, NDArray[np.uint8]]) -> dict[int, bytes]:
    """JPEGs at the best quality at which all of them together stay small."""
    jpegs: dict[int, bytes] = {}
    for quality in JPEG_QUALITIES:
        jpegs = {index: _jpeg(rgb, quality) for index, rgb in drawn.items()}
        if sum(map(len, jpegs.values())) <= BUDGET_BYTES:
            break
    return jpegs


class _Label(NamedTuple):
    """A text whose lower left corner lies at (x, y) of the small picture."""

    x: float
    y: float
    text: str
    rgb: tuple[int, int, int]


def _draw(
    index: int,
    image: LabelledImage,
    detections: Detections,
    truth: GroundTruth,
    errors: ErrorSplit,
    pictures_shown: str,
) -> NDArray[np.uint8]:
    true = np.flatnonzero(truth.truth_pictures == index)
    mine = np.flatnonzero(detections.image_ids == image.image_id)
    rgb = for_people(read_rgb(image), *_known(true, mine, detections, truth), pictures_shown)
    scale = min(1.0, WIDTH / rgb.shape[1])
    canvas = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    of_truths = _draw_truths(canvas, true, scale, truth, errors)
    of_detections = _draw_detections(canvas, mine, scale, detections, errors)
    _write(canvas, [*of_detections, *of_truths])
    return canvas


def _known(
    true: NDArray[np.intp], mine: NDArray[np.intp], detections: Detections, truth: GroundTruth
) -> tuple[NDArray[np.float64], list[str]]:
    """Boxes (N, 4), left, top, right, bottom, and classes of all that is labelled or found in a picture."""
    corners = truth.boxes_xywh[true].astype(np.float64)
    corners[:, 2:] += corners[:, :2]
    class_ids = [*truth.class_ids[true].tolist(), *detections.class_ids[mine].tolist()]
    return np.concatenate([corners, detections.boxes_xyxy[mine]]), names_of(class_ids, truth.classes)


def _draw_truths(
    canvas: NDArray[np.uint8], rows: NDArray[np.intp], scale: float, truth: GroundTruth, errors: ErrorSplit
) -> list[_Label]:
    labels = []
    for row in rows.tolist():
        x, y, width, height = (truth.boxes_xywh[row] * scale).tolist()
        undetected = bool(errors.undetected[row])
        colour = IGNORED_RGB if truth.ignore[row] else KIND_RGB["missed"] if undetected else TRUTH_RGB
        _rectangle(canvas, (x, y, x + width, y + height), colour, 2 if undetected else 1)
        if undetected:
            labels.append(_Label(x, y + height + 10, f"missed {truth.classes[truth.class_ids[row]]}", colour))
    return labels


def _draw_detections(
    canvas: NDArray[np.uint8], rows: NDArray[np.intp], scale: float, detections: Detections, errors: ErrorSplit
) -> list[_Label]:
    labels = []
    for row in rows.tolist():
        kind, outcome = int(errors.kinds[row]), int(errors.outcomes[row])
        colour = RIGHT_RGB if outcome == CORRECT else IGNORED_RGB if kind == NO_KIND else KIND_RGB[KIND_NAMES[kind]]
        left, top, right, bottom = (detections.boxes_xyxy[row] * scale).tolist()
        _rectangle(canvas, (left, top, right, bottom), colour, 2)
        text = f"{errors.classes[detections.class_ids[row]]} {detections.scores[row]:.2f}"
        labels.append(_Label(left, max(9.0, top - 3), text, colour))
    return labels


def _write(canvas: NDArray[np.uint8], labels: Sequence[_Label]) -> None:
    """Writes labels, but for those that would lie on an earlier one: the colour of the box still tells its kind."""
    taken: list[_Label] = []
    for label in labels:
        end = label.x + LETTER_PX * len(label.text)
        if any(
            abs(label.y - other.y) < LINE_PX and label.x < other.x + LETTER_PX * len(other.text) and other.x < end
            for other in taken
        ):
            continue
        taken.append(label)
        place = (round(label.x), min(round(label.y), canvas.shape[0] - 3))
        for ink, thickness in (((0, 0, 0), 2), (label.rgb, 1)):  # a dark rim keeps text readable on any picture
            cv2.putText(canvas, label.text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.32, ink, thickness, cv2.LINE_AA)


def _rectangle(
    canvas: NDArray[np.uint8], box: tuple[float, float, float, float], colour: tuple[int, int, int], width: int
) -> None:
    left, top, right, bottom = map(round, box)
    cv2.rectangle(canvas, (left, top), (right, bottom), colour, width)


def _jpeg(rgb: NDArray[np.uint8], quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "OpenCV could not encode a JPEG"
    return bytes(data.tobytes())
