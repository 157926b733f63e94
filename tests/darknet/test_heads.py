"""[yolo] settings: Darknet's defaults, every key, refusals."""

import math
import re

import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.heads import YoloHead, read_yolo_head
from traffic_yolo.errors import DarknetFormatError


def head_of(*keys: str) -> YoloHead:
    section = Cfg.parse("[net]\n[yolo]\n" + "\n".join(keys), file="a.cfg").layers[0]
    return read_yolo_head(section, layer_index=7, stride=16)


ANCHORS = "anchors = 1,2, 3,4, 5.5,6"


def test_defaults_are_darknets():
    head = head_of("num=3", ANCHORS)
    assert head == YoloHead(7, ((1, 2), (3, 4), (5.5, 6)), (0, 1, 2), 20, 16)
    assert (head.ignore_thresh, head.truth_thresh, head.iou_thresh, head.iou_normalizer) == (0.5, 1, 1, 0.75)
    assert (head.iou_loss, head.iou_thresh_kind, head.nms_kind, head.beta_nms) == ("mse", "iou", "default", 0.6)
    assert (head.max_boxes, head.max_delta, head.jitter) == (200, math.inf, 0.2)


def test_a_last_comma_of_the_anchors_changes_nothing_as_in_darknet():
    assert head_of("num=3", f"{ANCHORS},") == head_of("num=3", ANCHORS)


def test_mask_chooses_anchors_and_channels():
    head = head_of("num=3", ANCHORS, "mask=2,0", "classes=4")
    assert head.mask_anchors == ((5.5, 6), (1, 2))
    assert (head.num_anchors, head.num_channels) == (2, 18)


def test_every_key_is_read():
    words = {"iou_loss": "ciou", "iou_thresh_kind": "giou", "nms_kind": "diounms"}
    flags = ["new_coords", "objectness_smooth", "focal_loss"]
    floats = ["scale_x_y", "ignore_thresh", "truth_thresh", "iou_thresh", "iou_normalizer", "obj_normalizer"]
    floats += ["cls_normalizer", "delta_normalizer", "max_delta", "label_smooth_eps", "beta_nms"]
    floats += ["jitter", "resize", "random"]
    lines = [f"{key}={word}" for key, word in words.items()] + [f"{key}=1" for key in flags]
    lines += [f"{key}=0.{number + 11}" for number, key in enumerate(floats)]
    head = head_of("num=1", "anchors=1,2", "classes=2", "max=90", "counters_per_class=5,6", *lines)
    assert {key: getattr(head, key) for key in words} == words
    assert all(getattr(head, key) is True for key in flags)
    assert [getattr(head, key) for key in floats] == [float(f"0.{number + 11}") for number in range(len(floats))]
    assert (head.max_boxes, head.counters_per_class) == (90, (5, 6))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["num=3", "anchors=1,2,3"], "line 4 [yolo]: anchors: expected pairs of width,height, found 3 numbers"),
        (["num=3", ANCHORS, "mask=0,3"], "mask: expected numbers from 0 to 2 (num=3 and 3 anchors), found (0, 3)"),
        (["num=2", ANCHORS, "mask=2"], "expected numbers from 0 to 1 (num=2 and 3 anchors), found (2,)"),
        (["num=3", ANCHORS, "mask=-1"], "found (-1,)"),
        (["num=3", ANCHORS, "mask=1,1"], "mask: expected each anchor once, found (1, 1)"),
        (["num=3"], "expected numbers from 0 to -1 (num=3 and 0 anchors)"),
        (["num=2000000000", ANCHORS], "num: expected at most 10000"),
        (["num=3", "anchors=1,2,3,4,0,1"], "anchors: expected widths and heights above 0"),
        (["num=3", ANCHORS, "classes=0"], "classes: expected at least 1"),
        (["num=3", ANCHORS, "nms_kind=soft"], "nms_kind: expected one of default, greedynms, diounms, found 'soft'"),
        (["num=3", ANCHORS, "iou_loss=siou"], "iou_loss: expected one of mse, iou, giou, diou, ciou, found 'siou'"),
        (["num=3", ANCHORS, "classes=2", "counters_per_class=1"], "expected one number for each of 2 classes, found 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(keys, message):
    with pytest.raises(DarknetFormatError, match=re.escape(message)):
        head_of(*keys)
