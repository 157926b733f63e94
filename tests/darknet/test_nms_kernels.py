"""The compiled suppression against plain loops in float32, bit for bit, ties and all."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.darknet.nms import NMS_KINDS, NmsRule, darknet_nms

SPEC = importlib.util.spec_from_file_location("plain_nms", Path(__file__).parents[1] / "benchmarks" / "plain_nms.py")
assert SPEC is not None
assert SPEC.loader is not None
PLAIN = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PLAIN)


@st.composite
def detections(draw):
    """Boxes on a coarse grid with scores of few values, so that places, overlaps and scores tie."""
    count, classes = draw(st.integers(0, 14)), draw(st.integers(1, 4))
    numbers = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    steps = draw(st.sampled_from([4, 16, 1000]))
    boxes = np.concatenate([numbers.integers(0, steps, (count, 2)), numbers.integers(0, steps // 2 + 1, (count, 2))], 1)
    levels = draw(st.sampled_from([2, 4, 1000]))
    scores = numbers.integers(0, levels, (count, classes)) / levels
    objectness = numbers.integers(0, levels, count) / levels
    scale = draw(st.sampled_from([1 / steps, 7.3]))
    return (boxes * scale).astype(np.float32), objectness.astype(np.float32), scores.astype(np.float32)


@examples(150)
@given(
    found=detections(),
    kind=st.sampled_from(NMS_KINDS),
    iou_threshold=st.sampled_from([0.0, 0.3, 0.45, 0.5, 1.0]),
    beta=st.sampled_from([0.0, 0.6, 1.0, 2.5]),
)
def test_survivors_and_their_order_are_those_of_plain_loops_bit_for_bit(found, kind, iou_threshold, beta):
    survivors = darknet_nms(*found, NmsRule(kind, iou_threshold, beta))
    expected = PLAIN.plain_nms(*found, kind, iou_threshold, beta)
    np.testing.assert_array_equal(survivors, expected)


@pytest.mark.many(3)
@pytest.mark.parametrize("kind", NMS_KINDS)
@pytest.mark.parametrize("largest", [0.05, 0.4, 3.0])
def test_many_boxes_in_strips_are_those_of_plain_loops(kind, largest):
    numbers = np.random.default_rng(1)
    sides = largest * numbers.random((600, 2)) ** 3  # few large ones among many small
    boxes = np.concatenate([numbers.random((600, 2)) * [1, 0.3], sides], 1).astype(np.float32)
    boxes[300:450] = boxes[:150] + np.float32(0.002)
    boxes[:, 0] -= np.float32(0.5)  # on both sides of 0
    scores = numbers.random((600, 1), dtype=np.float32) * (numbers.random((600, 1)) < 0.9)
    found = (boxes, numbers.random(600, dtype=np.float32), scores.astype(np.float32))
    survivors = darknet_nms(*found, NmsRule(kind, 0.4))
    np.testing.assert_array_equal(survivors, PLAIN.plain_nms(*found, kind, 0.4))
    assert 20 < len(survivors) < (scores > 0).sum()


@pytest.mark.parametrize("iou_threshold", [0.05, 0.1, 0.3, 0.45, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("farthest", [1.0, 608.0])
def test_pairs_at_the_edge_of_what_one_box_can_remove_are_those_of_plain_loops(iou_threshold, farthest):
    """Lengths of every ratio, from some that roundings swallow, and centres as far apart as an IoU of the threshold."""
    numbers = np.random.default_rng(2)
    pairs, classes = 120, 120
    length = farthest * 10.0 ** numbers.uniform(-7, -0.3, pairs)
    ratio = numbers.choice([iou_threshold, 1, 1 / iou_threshold, 0.8, 1.25], pairs) * numbers.choice([1, 0.999], pairs)
    other = length * ratio
    # of equal heights: shared / (length + other - shared) = threshold
    shared = np.minimum(iou_threshold * (length + other) / (1 + iou_threshold), np.minimum(length, other))
    apart = (length + other) / 2 - shared * numbers.choice([0.9, 0.999, 1, 1.001], pairs)
    x, y = farthest * numbers.random(pairs), farthest * numbers.random(pairs)
    boxes = np.concatenate([np.stack([x, y, length, length], 1), np.stack([x + apart, y, other, length], 1)])
    scores = np.zeros((2 * pairs, classes), np.float32)
    scores[np.arange(2 * pairs), np.tile(np.arange(pairs), 2)] = numbers.random(2 * pairs) * 0.9 + 0.1
    found = (boxes.astype(np.float32), np.ones(2 * pairs, np.float32), scores)
    survivors = darknet_nms(*found, NmsRule("default", iou_threshold))
    np.testing.assert_array_equal(survivors, PLAIN.plain_nms(*found, "default", iou_threshold))
    assert pairs < len(survivors) < 2 * pairs


def test_an_overlap_equal_to_the_threshold_to_the_last_bit_removes_nothing():
    boxes = np.array([[1.5, 0.5, 3, 1], [2.5, 0.5, 3, 1]], np.float32)  # 2 of 4 shared
    found = (boxes, np.ones(2, np.float32), np.array([[0.9], [0.8]], np.float32))
    assert len(darknet_nms(*found, NmsRule("default", 0.5))) == 2
    assert len(darknet_nms(*found, NmsRule("default", float(np.nextafter(np.float32(0.5), np.float32(0)))))) == 1
