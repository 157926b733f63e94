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


@pytest.mark.parametrize("kind", NMS_KINDS)
@pytest.mark.parametrize("largest", [0.05, 0.4, 3.0])
def test_many_boxes_in_strips_are_those_of_plain_loops(kind, largest):
    numbers = np.random.default_rng(1)
    sides = largest * numbers.random((600, 2)) ** 3  # few large ones among many small
    boxes = np.concatenate([numbers.random((600, 2)) * [1, 0.3], sides], 1).astype(np.float32)
    boxes[300:450] = boxes[:150] + np.float32(0.002)
    scores = numbers.random((600, 1), dtype=np.float32) * (numbers.random((600, 1)) < 0.9)
    found = (boxes, numbers.random(600, dtype=np.float32), scores.astype(np.float32))
    survivors = darknet_nms(*found, NmsRule(kind, 0.4))
    np.testing.assert_array_equal(survivors, PLAIN.plain_nms(*found, kind, 0.4))
    assert 20 < len(survivors) < (scores > 0).sum()
