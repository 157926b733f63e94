"""Pictures of batches, and of truth against predictions: what is drawn is what the training had and the network said."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth
from traffic_yolo.training.batch_pictures import (
    MOST_IN_BATCH,
    batch_picture,
    prediction_key,
    prediction_pictures,
    write_pictures,
    written_batches,
)
from traffic_yolo.training.loader import Batch
from traffic_yolo.training.targets import Truths, join_truths

CLASSES = ("car", "bus")


def batch_of(count: int, truths: Truths) -> Batch:
    return Batch(torch.full((count, 3, 64, 96), 120, dtype=torch.uint8), truths)


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def test_boxes_of_a_batch_lie_in_their_own_pictures() -> None:
    box = np.array([[0.5, 0.5, 0.5, 0.5]], np.float32)
    nothing = np.zeros((0, 4), np.float32)
    truths = join_truths([nothing, box], [np.zeros(0, np.int64), np.array([1])], [np.zeros(0, bool), np.array([False])])
    shown = batch_picture(batch_of(2, truths), CLASSES, iteration=7)
    pixels = decoded(shown.jpeg).astype(int)
    assert pixels.shape[:2] == (64, 2 * 96 + 4)
    first, second = pixels[:, :90], pixels[:, 100:]
    assert abs(first - 120).max() < 30
    assert abs(second - 120).max() > 60
    assert abs(second[40:44, 40:56] - 120).max() < 30  # inside the box
    assert (shown.name, shown.caption) == (
        "000007",
        "Batch of iteration 7: all pictures, 1 boxes in all; plates and heads blurred",
    )


def test_what_is_trained_as_neither_is_hatched() -> None:
    box = np.array([[0.5, 0.5, 0.8, 0.8]], np.float32)
    pictures = [
        decoded(
            batch_picture(
                batch_of(1, join_truths([box], [np.array([0])], [np.array([ignore])])), CLASSES, iteration=1
            ).jpeg
        )
        for ignore in (False, True)
    ]
    inside = np.s_[24:50, 20:76]
    assert [bool(picture[inside].std() > 8) for picture in pictures] == [False, True]


def test_a_large_batch_shows_its_first_pictures_and_says_so() -> None:
    truths = join_truths([np.zeros((0, 4), np.float32)] * 64, [np.zeros(0, np.int64)] * 64, [np.zeros(0, bool)] * 64)
    shown = batch_picture(batch_of(64, truths), CLASSES, iteration=1)
    assert (
        shown.caption
        == f"Batch of iteration 1: {MOST_IN_BATCH} of its 64 pictures, 0 boxes in all; plates and heads blurred"
    )
    assert decoded(shown.jpeg).shape[:2] == (3 * 68 - 4, 3 * 100 - 4)


def test_pictures_are_written_under_their_names(tmp_path: Path) -> None:
    truths = join_truths([np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, bool)])
    (path,) = write_pictures(tmp_path / "batches", [batch_picture(batch_of(1, truths), CLASSES, iteration=2)])
    assert path == tmp_path / "batches" / "000002.jpg"
    assert cv2.imread(str(path)).shape == (64, 96, 3)


def test_batches_that_were_written_come_back_and_others_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    truths = join_truths([np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, bool)])
    shown = [batch_picture(batch_of(1, truths), CLASSES, iteration=iteration) for iteration in (1, 3, 4)]
    write_pictures(tmp_path, shown)
    (tmp_path / "000002.jpg").write_bytes(b"half")
    (tmp_path / "mine.jpg").write_bytes(shown[0].jpeg)
    assert written_batches(tmp_path) == shown[:2]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / '000002.jpg'} is not shown in the report: expected a JPEG with a JFIF header, found other bytes"
    ]
    assert written_batches(tmp_path / "nothing") == []


@pytest.fixture
def split() -> tuple[list[LabelledImage], GroundTruth]:
    """Three pictures with two cars each; in the last one half is an ignore region."""
    images, boxes, classes, ignore = [], [], [], []
    for number in range(3):
        mine = np.array([[10, 10, 40, 40], [60, 10, 90, 40]], np.float32)
        none = np.zeros(2, bool)
        images.append(
            LabelledImage(
                number, Path("x"), f"{number}.jpg", 100, 80, "A", "r", mine, np.zeros(2, np.int64), none, none
            )
        )
        boxes += [[10, 10, 30, 30], [60, 10, 30, 30]]
        classes += [0, 0]
        ignore += [False, False]
    boxes.append([0, 50, 100, 30])
    truth = GroundTruth(
        CLASSES, np.arange(3), np.array([0, 0, 1, 1, 2, 2, 2]), np.array(boxes, float), np.array([*classes, ALL_CLASSES]),
        np.full(7, 900.0), np.array([*ignore, True]),
    )  # fmt: skip
    return images, truth


def found(*rows: tuple[int, list[float], float]) -> Detections:
    ids, boxes, scores = zip(*rows, strict=True)
    return Detections(
        np.array(ids), np.array(boxes, np.float32), np.array(scores, np.float32), np.zeros(len(ids), np.int64)
    )


LEFT, RIGHT, BELOW = [10.0, 10, 40, 40], [60.0, 10, 90, 40], [20.0, 55, 40, 75]


def grey(image: LabelledImage) -> NDArray[np.uint8]:
    return np.full((image.height, image.width, 3), 120, np.uint8)


def test_the_worst_pictures_come_first_and_right_ones_not_at_all(
    split: tuple[list[LabelledImage], GroundTruth],
) -> None:
    images, truth = split
    detections = found(
        (0, LEFT, 0.9), (0, RIGHT, 0.8),  # all right
        (1, LEFT, 0.9), (1, BELOW, 0.7), (1, RIGHT, 0.1),  # one false, one missed: below the threshold
        (2, LEFT, 0.9), (2, BELOW, 0.7),  # one missed; what lies in the ignore region does not count
    )  # fmt: skip
    shown = prediction_pictures(images, truth, detections, confidence_threshold=0.25, read=grey)
    assert [picture.caption for picture in shown] == ["1.jpg: 1 missed, 1 false", "2.jpg: 1 missed, 0 false"]
    assert [picture.name for picture in shown] == ["01", "02"]
    assert len(prediction_pictures(images, truth, detections, confidence_threshold=0.25, most=1, read=grey)) == 1
    pixels = decoded(shown[0].jpeg).astype(int)
    red = (pixels[..., 0] - pixels[..., 1] > 60) & (pixels[..., 0] - pixels[..., 2] > 60)
    rows, columns = np.nonzero(red)
    assert rows.min() > 40  # the false box lies below, the true ones above
    assert columns.min() >= 15


def test_without_any_detection_every_box_is_missed(split: tuple[list[LabelledImage], GroundTruth]) -> None:
    images, truth = split
    shown = prediction_pictures(images, truth, Detections.none(), confidence_threshold=0.25, read=grey)
    assert [picture.caption for picture in shown] == [f"{n}.jpg: 2 missed, 0 false" for n in range(3)]


def test_detections_of_other_pictures_are_refused(split: tuple[list[LabelledImage], GroundTruth]) -> None:
    images, truth = split
    with pytest.raises(EvaluationError, match="detections for picture 7"):
        prediction_pictures(images, truth, found((7, LEFT, 0.9)), confidence_threshold=0.25, read=grey)


def test_the_key_names_what_is_drawn() -> None:
    assert all(word in prediction_key() for word in ("right", "false", "missed", "does not count"))


def test_plates_of_a_batch_and_of_predictions_are_blurred_unless_all_is_to_be_shown(
    split: tuple[list[LabelledImage], GroundTruth],
) -> None:
    stripes = np.zeros((3, 64, 96), np.uint8)
    stripes[:, ::4] = 255
    box = np.array([[0.5, 0.5, 0.8, 0.8]], np.float32)
    batch = Batch(torch.from_numpy(stripes)[None], join_truths([box], [np.array([0])], [np.array([False])]))
    images, truth = split

    def striped(image: LabelledImage) -> NDArray[np.uint8]:
        height, width = grey(image).shape[:2]
        picture = np.zeros((height, width, 3), np.uint8)
        picture[::4] = 255
        return picture

    def stripes_left(word: str) -> list[float]:
        """How much of the stripes is left where the plate would be: of the batch, and of a picture with predictions."""
        given = decoded(batch_picture(batch, CLASSES, iteration=1, pictures_shown=word).jpeg)
        nothing = found((0, LEFT, 0.01))
        shown = prediction_pictures(images, truth, nothing, confidence_threshold=0.1, read=striped, pictures_shown=word)
        parts = given[40:54, 24:72], decoded(shown[0].jpeg)[28:38, 14:36]
        return [float(part.astype(float).mean(axis=(1, 2)).std()) for part in parts]

    for blurred, full in zip(stripes_left("blurred"), stripes_left("full"), strict=True):
        assert blurred < 0.3 * full
        assert full > 50


def test_a_batch_that_was_written_as_it_was_is_not_shown_by_a_run_that_goes_on_blurred(tmp_path: Path) -> None:
    nothing = join_truths([np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)], [np.zeros(0, bool)])
    for iteration, word in ((1, "full"), (2, "blurred")):
        shown = batch_picture(batch_of(1, nothing), CLASSES, iteration=iteration, pictures_shown=word)
        write_pictures(tmp_path, [shown])
    assert [one.name for one in written_batches(tmp_path, pictures_shown="blurred")] == ["000002"]
    assert [one.name for one in written_batches(tmp_path, pictures_shown="full")] == ["000001", "000002"]
