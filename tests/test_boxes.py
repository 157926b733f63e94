"""Box geometry: hand-computed values, round trips and bounds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from traffic_yolo import boxes

pixels = st.floats(-2000, 2000, width=32)


def test_iou_of_two_overlapping_boxes_is_the_hand_computed_one() -> None:
    a = np.array([[0.0, 0.0, 10.0, 10.0]])
    b = np.array([[5.0, 5.0, 15.0, 15.0], [20.0, 20.0, 30.0, 30.0], [0.0, 0.0, 10.0, 10.0]])
    assert boxes.pairwise_iou(a, b) == pytest.approx(np.array([[25 / 175, 0.0, 1.0]]))


def test_boxes_without_area_have_iou_zero_and_not_nan() -> None:
    point = np.array([[3.0, 3.0, 3.0, 3.0]])
    assert boxes.pairwise_iou(point, point).tolist() == [[0.0]]


def test_a_box_turned_inside_out_has_no_area() -> None:
    assert boxes.area_xyxy(np.array([10.0, 10.0, 0.0, 0.0])) == 0


@given(arrays(np.float64, (5, 4), elements=pixels))
def test_conversions_return_to_where_they_started(numbers: np.ndarray) -> None:
    np.testing.assert_allclose(boxes.xyxy_to_xywh(boxes.xywh_to_xyxy(numbers)), numbers, atol=1e-9)
    np.testing.assert_allclose(boxes.xyxy_to_cxcywh(boxes.cxcywh_to_xyxy(numbers)), numbers, atol=1e-9)


@given(arrays(np.float64, (4, 4), elements=pixels), arrays(np.float64, (3, 4), elements=pixels))
def test_iou_is_symmetric_and_between_zero_and_one(a: np.ndarray, b: np.ndarray) -> None:
    iou = boxes.pairwise_iou(a, b)
    assert iou.shape == (4, 3)
    assert (iou >= 0).all()
    assert (iou <= 1 + 1e-12).all()
    np.testing.assert_array_equal(iou, boxes.pairwise_iou(b, a).T)


def test_iou_of_sizes_is_that_of_boxes_on_one_corner() -> None:
    a, b = np.array([[10.0, 20.0], [0.0, 0.0]]), np.array([[20.0, 10.0], [10.0, 20.0], [0.0, 0.0]])
    assert boxes.pairwise_shape_iou(a, b) == pytest.approx(np.array([[1 / 3, 1, 0], [0, 0, 0]]))
    on_corner = [np.concatenate([np.zeros_like(sizes), sizes], axis=1) for sizes in (a, b)]
    np.testing.assert_array_equal(boxes.pairwise_shape_iou(a, b), boxes.pairwise_iou(*on_corner))


def test_clipping_keeps_a_box_inside_the_picture() -> None:
    clipped = boxes.clip_xyxy(np.array([[-5.0, 2.0, 30.0, 50.0], [100.0, 5.0, 120.0, 6.0]]), (40, 20))
    assert clipped.tolist() == [[0, 2, 20, 40], [20, 5, 20, 6]]
