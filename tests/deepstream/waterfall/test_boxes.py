"""What is reported of rows under each rule, in cases calculated by hand, and with all rules what the simulator gives."""

import dataclasses

import numpy as np
import pytest

from traffic_yolo.deepstream.config.nvinfer_config import ClassAttributes
from traffic_yolo.deepstream.simulate.preprocess import Placement
from traffic_yolo.deepstream.waterfall.boxes import Frame, Reporting, reported
from traffic_yolo.deepstream.waterfall.inputs import View
from traffic_yolo.deepstream.waterfall.rules import NVINFER, PER_CLASS, Colour, Rules
from traffic_yolo.detection.nms import Detections, NmsOptions
from traffic_yolo.errors import ModelError

NETWORK_HW = (100, 100)
RULES = Rules(
    nv12=False, mux_wh=None, aspect="stretch", resize="aligned corners", scaling_filter="bilinear", padding="grey",
    colour=Colour(), thresholds=(0.25, 0.25), edge=False, nms_kind="default", ious=(0.5, 0.5), topk="per picture",
)  # fmt: skip
NVINFERS = dataclasses.replace(RULES, edge=True, nms_kind=NVINFER, topk=PER_CLASS)


def attributes(**changes: float) -> ClassAttributes:
    values = {
        "pre_cluster_threshold": 0.25, "post_cluster_threshold": 0, "nms_iou_threshold": 0.5, "topk": 300,
        "roi_top_offset": 0, "roi_bottom_offset": 0, "detected_min_w": 0, "detected_min_h": 0, "detected_max_w": 0,
        "detected_max_h": 0,
    }  # fmt: skip
    return ClassAttributes(**{**values, **changes})  # type: ignore[arg-type]


def settings(*, crop: bool = True, nms: NmsOptions | None = None, **changes: float) -> Reporting:
    each = attributes(**changes)
    return Reporting(NETWORK_HW, ("CAR", "BUS"), (each, each), crop, nms or NmsOptions(0.25, 0.5))


def view(picture_hw: tuple[int, int] = NETWORK_HW, frame_hw: tuple[int, int] | None = None) -> View:
    frame = frame_hw or picture_hw
    placement = Placement((frame[1], frame[0]), (100, 100), left=0, top=0)
    return View(placement, (0.0, 0.0), frame, picture_hw)


def frame(*rows: tuple[float, ...], seen: View | None = None) -> Frame:
    return Frame(7, seen or view(), np.array(rows, np.float32).reshape(-1, 6))


def boxes(found: Detections) -> list[list[float]]:
    return [[round(value, 3) for value in box] for box in found.boxes_xyxy.tolist()]


# x1, y1, x2, y2, score, label
CAR = (10, 10, 30, 30, 0.9, 0)


def test_boxes_are_mapped_to_the_picture_and_cut_at_its_edges() -> None:
    found = reported([frame(CAR, (-10, 50, 20, 110, 0.8, 1), seen=view((200, 400)))], RULES, settings())
    assert boxes(found) == [[40, 20, 120, 60], [0, 100, 80, 200]]
    assert found.class_ids.tolist() == [0, 1]
    assert found.image_ids.tolist() == [7, 7]


def test_whole_boxes_compete_with_darknet_and_cut_ones_with_nvinfer() -> None:
    """100 columns: boxes -20..20 and 0..40 overlap by 20 / 60; cut they are 0..20 and 0..40, and overlap by 1/2."""
    rows = ((-20, 0, 20, 10, 0.9, 0), (0, 0, 40, 10, 0.8, 0))
    own = dataclasses.replace(RULES, ious=(0.4, 0.4))
    assert len(reported([frame(*rows)], own, settings())) == 2
    cut = dataclasses.replace(own, edge=True)
    assert boxes(reported([frame(*rows)], cut, settings())) == [[0, 0, 20, 10]]
    both = dataclasses.replace(cut, nms_kind=NVINFER)
    assert boxes(reported([frame(*rows)], both, settings())) == [[0, 0, 20, 10]]


def test_a_box_below_one_pixel_is_dropped_by_the_edge_rule_alone() -> None:
    thin = (-5, 10, 0.5, 30, 0.9, 0)
    assert len(reported([frame(thin)], RULES, settings())) == 1
    assert len(reported([frame(thin)], dataclasses.replace(RULES, edge=True), settings())) == 0


def test_without_cropping_a_box_across_the_bottom_is_dropped() -> None:
    """One network pixel is 1.25 of 125 rows, and 30 + 70 rows of them reach 125 exactly: only beyond is dropped."""
    across = dataclasses.replace(RULES, edge=True)
    inside, beyond = (10, 20, 30, 99, 0.9, 0), (10, 20, 30, 100, 0.9, 0)
    seen = view((125, 100))
    assert len(reported([frame(inside, seen=seen)], across, settings(crop=False))) == 1
    assert len(reported([frame(beyond, seen=seen)], across, settings(crop=False, roi_bottom_offset=1))) == 0
    kept = reported([frame(beyond, seen=seen)], across, settings(roi_bottom_offset=1))
    assert boxes(kept) == [[10, 25, 30, 124]]


def test_greedynms_keeps_what_the_plain_overlap_suppresses() -> None:
    """Boxes 0..40 and 20..60 wide, 10 high: IoU 1/3; centres 20 apart in a hull of 60 x 10: d2/c2 = 400/3700.

    0.333 - (0.108 ** 0.6 = 0.263) = 0.070: at an overlap of 0.2 greedynms keeps both.
    """
    rows = ((0, 0, 40, 10, 0.9, 0), (20, 0, 60, 10, 0.8, 0))
    loose = dataclasses.replace(RULES, ious=(0.2, 0.2))
    greedy = dataclasses.replace(loose, nms_kind="greedynms")
    assert len(reported([frame(*rows)], greedy, settings())) == 2
    for kind in ("default", NVINFER):
        assert len(reported([frame(*rows)], dataclasses.replace(loose, nms_kind=kind), settings())) == 1


def test_greedynms_measures_distances_in_picture_pixels() -> None:
    """Side by side in a picture ten times as wide as high, the same two boxes are further apart: 4e4/3.601e5 ** 0.6."""
    rows = ((0, 0, 40, 100, 0.9, 0), (20, 0, 60, 100, 0.8, 0))  # network: d2/c2 = 400/13600, penalty 0.121
    rules = dataclasses.replace(RULES, ious=(0.15, 0.15), nms_kind="greedynms")
    assert len(reported([frame(*rows)], rules, settings())) == 1  # 0.333 - 0.121 = 0.212
    assert len(reported([frame(*rows, seen=view((10, 1000)))], rules, settings())) == 2  # 0.333 - 0.268 = 0.065


def test_each_class_may_have_its_own_overlap() -> None:
    """IoU of 0..40 and 20..60 is 1/3: above the cars' 0.2, below the buses' 0.5; classes never compete."""
    rows = [(0, 0, 40, 10, 0.9, label) for label in (0, 1)] + [(20, 0, 60, 10, 0.8, label) for label in (0, 1)]
    for kind in ("default", NVINFER):
        rules = dataclasses.replace(RULES, ious=(0.2, 0.5), nms_kind=kind)
        assert reported([frame(*rows)], rules, settings()).class_ids.tolist() == [0, 1, 1]


@pytest.mark.parametrize("kind", ["default", NVINFER])
def test_darknets_side_limits_a_picture_and_nvinfers_a_class(kind: str) -> None:
    rows = [(index * 10, 0, index * 10 + 9, 9, 0.9 - index / 100, int(index > 2)) for index in range(6)]
    limited = settings(nms=NmsOptions(0.25, 0.5, max_detections=4), topk=2)
    of_picture = dataclasses.replace(RULES, nms_kind=kind)
    assert reported([frame(*rows)], of_picture, limited).class_ids.tolist() == [0, 0, 0, 1]
    of_class = dataclasses.replace(of_picture, topk=PER_CLASS)
    assert reported([frame(*rows)], of_class, limited).class_ids.tolist() == [0, 0, 1, 1]


def test_boxes_of_a_scaled_frame_come_back_to_the_picture() -> None:
    seen = view((50, 100), (200, 200))
    for rules in (RULES, dataclasses.replace(RULES, edge=True)):
        assert boxes(reported([frame(CAR, seen=seen)], rules, settings())) == [[10, 5, 30, 15]]


def test_half_a_pixel_of_darknets_padding_is_taken_into_account_by_both_sides() -> None:
    """47 columns in 100, padding of 26.5 on each side; network column 36.5 is picture column 10."""
    seen = View(Placement((47, 100), (47, 100), left=26, top=0), (0.5, 0.0), (100, 47), (100, 47))
    row = (36.5, 10, 46.5, 30, 0.9, 0)
    for rules in (RULES, dataclasses.replace(RULES, edge=True)):
        assert boxes(reported([frame(row, seen=seen)], rules, settings())) == [[10, 10, 20, 30]]


def test_scores_below_the_operating_point_are_there() -> None:
    found = reported([frame((10, 10, 30, 30, 0.01, 0))], NVINFERS, settings(pre_cluster_threshold=0.9))
    assert found.scores.tolist() == pytest.approx([0.01])
    assert len(reported([frame((10, 10, 30, 30, 0.0005, 0))], RULES, settings())) == 0


@pytest.mark.parametrize(("row", "message"), [((*CAR[:5], 2), "label 2"), ((np.nan, *CAR[1:]), "NaN or infinity")])
def test_rows_of_another_model_are_refused_under_every_rule(row: tuple[float, ...], message: str) -> None:
    for rules in (RULES, NVINFERS):
        with pytest.raises(ModelError, match=message):
            reported([frame(row)], rules, settings())


def test_no_boxes_are_no_detections() -> None:
    for rules in (RULES, NVINFERS):
        assert len(reported([frame(), dataclasses.replace(frame(), image_id=8)], rules, settings())) == 0
