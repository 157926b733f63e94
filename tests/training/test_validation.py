"""The quick AP50: hand-counted cases."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.training.validation import ClassDetections, average_precision, match, suppress

IMAGE = LabelledImage(
    image_id=0,
    path=Path("a.jpg"),
    file_name="a.jpg",
    width=100,
    height=100,
    site="A",
    recording="r",
    boxes_xyxy=np.array([[0, 0, 10, 10], [50, 50, 70, 70], [80, 0, 100, 20]], np.float32),
    class_ids=np.array([0, 0, 1]),
    ignore=np.zeros(3, bool),
    is_crowd=np.zeros(3, bool),
)


def found(*rows: tuple[float, float, float, float, float]) -> ClassDetections:
    values = np.array(rows, np.float32).reshape(-1, 5)
    return ClassDetections(values[:, :4], values[:, 4])


def test_average_precision_by_hand() -> None:
    """Hit, miss, hit: precision 1 up to recall 1/2, then 2/3."""
    detections = found((0, 0, 10, 10, 0.9), (20, 20, 30, 30, 0.8), (50, 50, 70, 70, 0.7))
    assert average_precision([IMAGE], [detections], 0) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_detections_of_all_pictures_are_ranked_together() -> None:
    """The sure miss of the second picture comes first and halves every precision."""
    other = replace(IMAGE, boxes_xyxy=np.zeros((0, 4), np.float32), class_ids=np.zeros(0, np.int64))
    other = replace(other, ignore=np.zeros(0, bool), is_crowd=np.zeros(0, bool))
    detections = [found((80, 0, 100, 20, 0.5)), found((0, 0, 9, 9, 0.6))]
    assert average_precision([IMAGE, other], detections, 1) == pytest.approx(0.5)


def test_class_without_truth_has_no_average_precision() -> None:
    assert average_precision([IMAGE], [found((0, 0, 1, 1, 0.5))], 2) is None


def test_class_without_detections_scores_nothing() -> None:
    assert average_precision([IMAGE], [found()], 0) == 0


def test_second_detection_of_an_object_is_a_miss() -> None:
    hit, counted = match(np.array([[0, 0, 10, 10], [0, 0, 10, 9]], np.float32), IMAGE.boxes_xyxy[:1], np.zeros((0, 4)))
    assert (hit.tolist(), counted.tolist()) == ([True, False], [True, True])


def test_detection_on_an_ignored_box_counts_neither_way() -> None:
    ignored = replace(IMAGE, ignore=np.array([False, True, False]))
    detections = found((50, 50, 70, 70, 0.9), (52, 52, 60, 60, 0.8), (0, 0, 10, 10, 0.7))
    assert average_precision([ignored], [detections], 0) == pytest.approx(1.0)


def test_suppression_keeps_the_best_of_each_heap() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10], [0, 0, 10, 4]], np.float32)
    assert suppress(boxes).tolist() == [0, 2, 3]  # the last overlaps the first by 0.4


def test_suppressed_box_suppresses_nothing() -> None:
    boxes = np.array([[0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]], np.float32)
    assert suppress(boxes, 0.5).tolist() == [0, 2]  # 1 goes by 0; 2 overlaps 1 by 7/13 and 0 by 4/16
