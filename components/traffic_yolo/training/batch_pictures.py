"""Pictures of what a training is given, and of what it has learnt: batches with their boxes, truth against predictions.

Most mistakes of a recipe or of labels are seen at once in the first batches, after augmentation: shifted boxes, wrong
classes, objects that are too small to be seen at the network's size.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import cxcywh_to_xyxy
from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.dataset.pictures.choice import BLURRED, FULL
from traffic_yolo.dataset.pictures.drawn_boxes import (
    FALSE_RGB,
    IGNORED_RGB,
    MISSED_RGB,
    QUIET,
    RIGHT_RGB,
    TRUTH_RGB,
    DrawnBox,
    class_colour,
    sample_jpeg,
    with_boxes,
)
from traffic_yolo.dataset.pictures.privacy_blur import for_people, names_of
from traffic_yolo.detection.detect import read_rgb
from traffic_yolo.detection.nms import Detections
from traffic_yolo.html_report import Html, colour_key
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.matching import CORRECT, MATCH_IOU, NO_TRUTH, WRONG, match
from traffic_yolo.storage import write_bytes
from traffic_yolo.training.jpeg_caption import with_caption, without_caption
from traffic_yolo.training.loader import Batch

BATCHES_FOLDER, PREDICTIONS_FOLDER = "batches", "predictions"
SHOWN_BATCHES = 3  # of a run: the first ones
MOST_IN_BATCH = 9
SHOWN_PREDICTIONS = 6
TILE_PIXELS = 320 * 320  # of any shape
BATCH_BYTES = 100_000  # of three batches and six pictures a page stays below 1 MB
GAP_PX = 4
BLURRED_NOTE = "; plates and heads blurred"  # ends the caption of a picture that is

log = logging.getLogger(__name__)

UInt8Array = NDArray[np.uint8]


@dataclass(frozen=True)
class ShownPicture:
    """JPEG bytes, a plain-text caption and marks, as `html_report.picture` takes them; `name` is one for a file."""

    name: str
    jpeg: bytes
    caption: str
    marks: Mapping[str, Sequence[str]] = field(default_factory=dict)


def batch_picture(
    batch: Batch, classes: Sequence[str], *, iteration: int, pictures_shown: str = BLURRED
) -> ShownPicture:
    """The first pictures of a batch side by side, as the network gets them, with the boxes that it is trained towards.

    A class has a colour and its name; what is trained neither as object nor as background is grey and hatched.
    `pictures_shown`: blurred or full, as in `PictureChoice`.
    """
    images = batch.images[:MOST_IN_BATCH].permute(0, 2, 3, 1).cpu().numpy()  # (B, H, W, 3) RGB
    height, width = images.shape[1:3]
    tiles = []
    for number, image in enumerate(images):
        truths = batch.truths.of_images(number, number + 1)
        boxes = cxcywh_to_xyxy(truths.boxes_cxcywh_norm) * np.array([width, height] * 2, np.float32)
        drawn = [
            _trained_box(box, int(class_id), bool(ignore), classes)
            for box, class_id, ignore in zip(boxes.tolist(), truths.class_ids, truths.ignore, strict=True)
        ]
        names = names_of(truths.class_ids.tolist(), classes)
        shown_bgr = for_people(np.ascontiguousarray(image[..., ::-1]), boxes, names, pictures_shown)
        tiles.append(with_boxes(shown_bgr, drawn, pixels=TILE_PIXELS))
    shown = f"{len(tiles)} of its {len(batch.images)} pictures" if len(tiles) < len(batch.images) else "all pictures"
    caption = f"Batch of iteration {iteration}: {shown}, {len(batch.truths.class_ids)} boxes in all"
    caption += "" if pictures_shown == FULL else BLURRED_NOTE
    return ShownPicture(_batch_name(iteration), sample_jpeg(_grid(tiles), most_bytes=BATCH_BYTES), caption)


def prediction_pictures(
    images: Sequence[LabelledImage],
    truth: GroundTruth,
    found: Detections,
    *,
    confidence_threshold: float,
    most: int = SHOWN_PREDICTIONS,
    read: Callable[[LabelledImage], UInt8Array] = read_rgb,
    pictures_shown: str = BLURRED,
) -> list[ShownPicture]:
    """The pictures of a split with most missed and false boxes, worst first; fewer than `most` where all else is right.

    `images` are the truth's, in its order; `found` are detections after NMS, of which those not above
    `confidence_threshold` are left out. Matched as `evaluate` does, at IoU 0.5. `read` gives a picture's pixels
    (H, W, 3) uint8 RGB. `pictures_shown`: blurred, by the true boxes and those found, or full. Raises `EvaluationError`
    for detections of other pictures, and what `read` raises.
    """
    found = found.select(found.scores > np.float32(confidence_threshold))
    matching = match(found, truth, iou=MATCH_IOU)
    outcomes = np.empty(len(found), np.int8)
    outcomes[matching.order] = matching.outcomes
    missed = ~truth.ignore
    missed[matching.truths[matching.truths != NO_TRUTH]] = False
    pictures = truth.picture_indices(found.image_ids)
    count = len(truth.image_ids)
    false_in = np.bincount(pictures[outcomes == WRONG], minlength=count)
    missed_in = np.bincount(truth.truth_pictures[missed], minlength=count)
    worst = np.argsort(-(false_in + missed_in), kind="stable")[:most]
    shown: list[ShownPicture] = []
    for index in worst.tolist():
        if not false_in[index] + missed_in[index]:
            break
        true, mine = np.flatnonzero(truth.truth_pictures == index), np.flatnonzero(pictures == index)
        boxes = _true_boxes(truth, true, missed)
        boxes += _found_boxes(found, mine, outcomes, truth.classes)
        names = names_of([*truth.class_ids[true].tolist(), *found.class_ids[mine].tolist()], truth.classes)
        where = np.array([box.xyxy for box in boxes]).reshape(-1, 4)
        image = for_people(np.ascontiguousarray(read(images[index])[..., ::-1]), where, names, pictures_shown)
        jpeg = sample_jpeg(with_boxes(image, boxes))
        caption = f"{images[index].file_name}: {missed_in[index]} missed, {false_in[index]} false"
        erring = {
            *found.class_ids[mine[outcomes[mine] == WRONG]].tolist(),
            *truth.class_ids[true[missed[true]]].tolist(),
        }
        kinds = [word for word, count in (("missed", missed_in[index]), ("false", false_in[index])) if count]
        marks = {"error": kinds, "class": names_of(sorted(erring), truth.classes)}
        shown.append(ShownPicture(f"{len(shown) + 1:02d}", jpeg, caption, marks))
    return shown


def prediction_key() -> Html:
    """What the colours of `prediction_pictures` mean."""
    named = {"right": RIGHT_RGB, "false": FALSE_RGB, "missed": MISSED_RGB, "found truth": TRUTH_RGB}
    return colour_key([*named.items(), ("does not count", IGNORED_RGB)])


def write_pictures(folder: Path, shown: Sequence[ShownPicture]) -> list[Path]:
    """Writes each as `<name>.jpg`, its caption inside, into a folder, which is made; returns the paths, in order.

    Raises `StorageError`.
    """
    paths = [folder / f"{picture.name}.jpg" for picture in shown]
    for path, picture in zip(paths, shown, strict=True):
        write_bytes(path, with_caption(picture.jpeg, picture.caption))
    return paths


def written_batches(folder: Path, *, pictures_shown: str = FULL) -> list[ShownPicture]:
    """The pictures of a run's first batches that lie in a folder, whichever process of the run made them, in order.

    One that cannot be read, or is no JPEG with a caption, is left out with a warning. `pictures_shown`: where it is
    blurred, so is one that a run wrote as it was, before it was interrupted and went on with another choice.
    """
    found = []
    for iteration in range(1, SHOWN_BATCHES + 1):
        path = folder / f"{_batch_name(iteration)}.jpg"
        try:
            jpeg, caption = without_caption(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            log.warning("%s is not shown in the report: %s", path, error)
            continue
        if pictures_shown != FULL and not caption.endswith(BLURRED_NOTE):
            log.warning("%s is not shown in the report: it was made with other --pictures", path)
            continue
        found.append(ShownPicture(path.stem, jpeg, caption))
    return found


def _batch_name(iteration: int) -> str:
    return f"{iteration:06d}"


def _trained_box(box: Sequence[float], class_id: int, ignore: bool, classes: Sequence[str]) -> DrawnBox:
    left, top, right, bottom = box
    if ignore:
        return DrawnBox((left, top, right, bottom), QUIET, hatched=True)
    return DrawnBox((left, top, right, bottom), class_colour(class_id), classes[class_id])


def _true_boxes(truth: GroundTruth, rows: NDArray[np.intp], missed: NDArray[np.bool_]) -> list[DrawnBox]:
    drawn = []
    for row in rows.tolist():
        x, y, width, height = truth.boxes_xywh[row].tolist()
        xyxy = (x, y, x + width, y + height)
        if truth.ignore[row]:
            drawn.append(DrawnBox(xyxy, IGNORED_RGB, hatched=True))
        elif missed[row]:
            drawn.append(DrawnBox(xyxy, MISSED_RGB, f"missed {truth.classes[truth.class_ids[row]]}", width=2))
        else:
            drawn.append(DrawnBox(xyxy, TRUTH_RGB))
    return drawn


def _found_boxes(
    found: Detections, rows: NDArray[np.intp], outcomes: NDArray[np.int8], classes: Sequence[str]
) -> list[DrawnBox]:
    drawn = []
    for row in rows.tolist():
        left, top, right, bottom = found.boxes_xyxy[row].tolist()
        outcome = int(outcomes[row])
        colour = RIGHT_RGB if outcome == CORRECT else FALSE_RGB if outcome == WRONG else IGNORED_RGB
        text = f"{classes[found.class_ids[row]]} {found.scores[row]:.2f}"
        drawn.append(DrawnBox((left, top, right, bottom), colour, text, width=2 if outcome == WRONG else 1))
    return drawn


def _grid(tiles: Sequence[UInt8Array]) -> UInt8Array:
    """Tiles (h, w, 3) of one size, as nearly square as they come, with white gaps between."""
    columns = round(len(tiles) ** 0.5 + 0.49)
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    page = np.full((rows * (height + GAP_PX) - GAP_PX, columns * (width + GAP_PX) - GAP_PX, 3), 255, np.uint8)
    for number, tile in enumerate(tiles):
        top, left = (number // columns) * (height + GAP_PX), (number % columns) * (width + GAP_PX)
        page[top : top + height, left : left + width] = tile
    return page
