"""Suppression by Darknet's rules against a plain loop over Darknet's own steps, and by hand."""

import numpy as np
import pytest

from traffic_yolo.darknet.nms import NMS_KINDS, NmsRule, darknet_nms


def overlap(a, b, rule):
    """What box.c computes for two boxes, with Python's floats."""
    left, right = max(a[0] - a[2] / 2, b[0] - b[2] / 2), min(a[0] + a[2] / 2, b[0] + b[2] / 2)
    top, bottom = max(a[1] - a[3] / 2, b[1] - b[3] / 2), min(a[1] + a[3] / 2, b[1] + b[3] / 2)
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    union = a[2] * a[3] + b[2] * b[3] - shared
    iou = shared / union if shared and union else 0.0
    if rule.kind in ("default", "obj"):
        return iou
    width = max(a[0] + a[2] / 2, b[0] + b[2] / 2) - min(a[0] - a[2] / 2, b[0] - b[2] / 2)
    height = max(a[1] + a[3] / 2, b[1] + b[3] / 2) - min(a[1] - a[3] / 2, b[1] - b[3] / 2)
    diagonal, distance = width**2 + height**2, (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
    return iou - (distance / diagonal) ** (0.6 if rule.kind == "greedynms" else rule.beta) if diagonal else iou


def plain_loop(boxes, objectness, scores, rule):
    dets = [[list(box), obj, list(score)] for box, obj, score in zip(boxes, objectness, scores, strict=True)]
    if rule.kind == "obj":
        dets.sort(key=lambda det: -det[1])
        for i, det in enumerate(dets):
            for other in dets[i + 1 :]:
                if det[1] and other[1] and overlap(det[0], other[0], rule) > rule.iou_threshold:
                    other[1], other[2] = 0, [0] * len(other[2])
    else:
        for k in range(scores.shape[1]):
            dets.sort(key=lambda det: -det[2][k])
            for i, det in enumerate(dets):
                for other in dets[i + 1 :]:
                    if det[2][k] and overlap(det[0], other[0], rule) > rule.iou_threshold:
                        other[2][k] = 0
    rows = [[*box, obj, k, value] for box, obj, score in dets for k, value in enumerate(score) if value and obj]
    return np.array(rows, np.float64).reshape(-1, 7)


@pytest.mark.parametrize("kind", NMS_KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_survivors_and_their_order_are_those_of_the_plain_loop(kind, seed):
    random = np.random.default_rng(seed)
    boxes = np.concatenate([random.random((60, 2)) * 0.5, random.random((60, 2)) * 0.4 + 0.05], axis=1)
    boxes = boxes.astype(np.float32)
    objectness = random.random(60).astype(np.float32)
    scores = (random.integers(0, 6, (60, 4)) / 8).astype(np.float32)  # many zeros and many ties
    rule = NmsRule(kind, 0.3, beta=0.9)
    found = darknet_nms(boxes, objectness, scores, rule)
    np.testing.assert_allclose(found, plain_loop(boxes, objectness, scores, rule), rtol=1e-6)
    assert 0 < len(found) < (scores > 0).sum()


def test_one_box_survives_in_two_classes_and_touching_boxes_stay():
    boxes = np.array([[0.25, 0.5, 0.5, 1], [0.75, 0.5, 0.5, 1], [0.25, 0.5, 0.5, 0.9]], np.float32)
    scores = np.array([[0.9, 0.2], [0.8, 0], [0.7, 0.3]], np.float32)
    found = darknet_nms(boxes, np.array([0.9, 0.8, 0.7], np.float32), scores, NmsRule(iou_threshold=0.5))
    np.testing.assert_allclose(found[:, 5:], [[1, 0.3], [0, 0.9], [0, 0.8]])


def test_no_boxes_and_boxes_without_area_give_no_error():
    nothing = np.zeros((0, 4), np.float32)
    for kind in NMS_KINDS:
        assert darknet_nms(nothing, nothing[:, 0], nothing[:, :0], NmsRule(kind)).shape == (0, 7)
        points = np.full((2, 4), [0.5, 0.5, 0, 0], np.float32)
        ones = np.ones((2, 1), np.float32)
        assert len(darknet_nms(points, ones[:, 0], ones, NmsRule(kind))) == 2


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="NMS kind 'cornersnms' is unknown; expected one of default, greedynms"):
        NmsRule("cornersnms")
