"""The fast engine: every number is pycocotools' own, on real data and on whatever hypothesis thinks of."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import example, given
from hypothesis import strategies as st

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.metrics.coco import coco_metrics, evaluate_coco, settings_up_to
from traffic_yolo.metrics.coco_settings import COCO_AREAS, EVERY_AREA, CocoSettings, network_area_scale
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth
from traffic_yolo.metrics.match_table import match_table
from traffic_yolo.metrics.pycocotools_engine import accumulate_with_pycocotools

CLASSES = ("CAR", "BUS", "TRUCK")
# Small whole numbers: equal boxes, equal overlaps, overlaps at exactly a threshold and touching edges are all common.
SIZE = st.integers(0, 12)
BOX = st.tuples(st.integers(0, 20), st.integers(0, 20), SIZE, SIZE)
FEW_AREAS = {"all": EVERY_AREA, "tiny": (0.0, 16.0), "rest": (16.0, 1e10)}


def truth_of(
    rows: list[tuple[int, int, bool, tuple[float, ...]]], *, image_ids: tuple[int, ...] = (30, 4, 7, 11)
) -> GroundTruth:
    """Truth of (picture, class id, crowd?, xywh) on pictures whose ids do not rise."""
    rows = sorted(rows, key=lambda row: row[0])
    boxes = np.array([row[3] for row in rows], np.float64).reshape(-1, 4)
    class_ids = np.array([row[1] for row in rows], np.int64)
    return GroundTruth(
        classes=CLASSES,
        image_ids=np.array(image_ids),
        truth_pictures=np.array([row[0] for row in rows], np.int64),
        boxes_xywh=boxes,
        class_ids=class_ids,
        areas=boxes[:, 2] * boxes[:, 3],
        ignore=np.array([row[2] for row in rows], np.bool_) | (class_ids == ALL_CLASSES),
    )


def detections_of(truth: GroundTruth, rows: list[tuple[int, int, float, tuple[float, ...]]]) -> Detections:
    """Detections of (picture, class id, score, xywh), in any order."""
    return Detections(
        truth.image_ids[[row[0] for row in rows]] if rows else np.zeros(0, np.int64),
        xywh_to_xyxy(np.array([row[3] for row in rows], np.float32).reshape(-1, 4)),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[1] for row in rows], np.int64),
    )


def assert_same(truth: GroundTruth, found: Detections, options: CocoSettings, **more: Any) -> None:
    """Both engines to the last bit."""
    mask = more.pop("mask", None)
    ours = match_table(found, truth, options, **more).accumulate(mask)
    theirs = accumulate_with_pycocotools(truth, found, options, mask=mask, **more)
    for field in dataclasses.fields(ours):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(theirs, field.name), err_msg=field.name)
    assert coco_metrics(ours, truth.classes, options) is not None


TRUTHS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0, 0, 0, 1, 2, ALL_CLASSES]), st.booleans(), BOX), max_size=14
)
FOUND = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.0, 0.25, 0.5, 0.75]), BOX), max_size=30
)
OPTIONS = st.sampled_from(
    [
        CocoSettings(),
        CocoSettings(max_detections=(1, 2, 3), areas=FEW_AREAS),
        CocoSettings(max_detections=(5,), iou_thresholds=(0.0, 0.1, 0.5, 1.0), areas=FEW_AREAS),
        CocoSettings(areas=FEW_AREAS, recall_thresholds=(0.0, 1 / 3, 0.5, 1.0)),
    ]
)


@examples(100)
@given(truths=TRUTHS, found=FOUND, options=OPTIONS, shown=st.lists(st.booleans(), min_size=4, max_size=4))
def test_every_number_is_that_of_pycocotools(
    truths: list[Any], found: list[Any], options: CocoSettings, shown: list[bool]
) -> None:
    truth = truth_of(truths)
    assert_same(truth, detections_of(truth, found), options)
    if any(shown):  # pycocotools cannot do without pictures
        assert_same(truth, detections_of(truth, found), options, mask=np.array(shown))


@examples(40)
@given(truths=TRUTHS, found=FOUND, scales=st.lists(st.sampled_from([0.25, 0.3, 1.0, 4.0]), min_size=4, max_size=4))
def test_areas_in_network_pixels_are_those_of_scaled_annotations(
    truths: list[Any], found: list[Any], scales: list[float]
) -> None:
    truth = truth_of(truths)
    options = CocoSettings(areas=FEW_AREAS, pixels="network")
    assert_same(truth, detections_of(truth, found), options, area_scale=np.array(scales))


# One picture whose two detections have equal scores; the right one stands first
EQUAL_SCORES: dict[str, Any] = {
    "truths": [(0, 0, False, (0, 0, 0, 0)), (2, 0, False, (0, 0, 1, 1))],
    "found": [
        (0, 0, 0.0, (0, 0, 0, 0)),
        (0, 0, 0.0, (0, 0, 0, 0)),
        (2, 0, 0.0, (0, 0, 1, 1)),
        (2, 0, 0.0, (0, 0, 0, 0)),
    ],
}
WEIGHTS = st.lists(st.integers(0, 3), min_size=4, max_size=4)


def copied(rows: list[Any], weights: list[int]) -> list[Any]:
    """Rows of pictures that lie there `weights` times, the copies of a picture side by side."""
    copies = [(old, new) for new, old in enumerate(np.repeat(np.arange(4), weights))]
    return [(new, *row[1:]) for old, new in copies for row in rows if row[0] == old]


@examples(40)
@given(truths=TRUTHS, found=FOUND, weights=WEIGHTS)
@example(**EQUAL_SCORES, weights=[0, 0, 2, 0])
def test_a_picture_counted_w_times_is_w_equal_pictures_whose_detections_keep_the_order_of_the_data_set(
    truths: list[Any], found: list[Any], weights: list[int]
) -> None:
    truth = truth_of(truths, image_ids=(1, 2, 3, 4))
    table = match_table(detections_of(truth, found), truth)
    ours = table.accumulate(np.array(weights))
    copied_truth = truth_of(copied(truths, weights), image_ids=tuple(range(1, sum(weights) + 1)))
    # Scores by place in the data set, so that nothing but copies is equal there
    place = np.empty(len(found))
    place[table.rows] = np.arange(len(found))
    distinct = [(*row[:2], 1 - place[number] / 64, row[3]) for number, row in enumerate(found)]
    copies = detections_of(copied_truth, copied(distinct, weights))
    plain = match_table(copies, copied_truth).accumulate()
    np.testing.assert_array_equal(ours.precision, plain.precision)
    np.testing.assert_array_equal(ours.recall, plain.recall)
    if sum(weights):  # pycocotools cannot do without pictures
        theirs = accumulate_with_pycocotools(copied_truth, copies, CocoSettings())
        np.testing.assert_array_equal(ours.precision, theirs.precision)
        np.testing.assert_array_equal(ours.recall, theirs.recall)


@examples(40)
@given(truths=TRUTHS, found=FOUND, weights=WEIGHTS, times=st.integers(2, 4))
@example(**EQUAL_SCORES, weights=[1, 1, 1, 1], times=2)
def test_drawing_every_picture_as_many_times_more_changes_nothing(
    truths: list[Any], found: list[Any], weights: list[int], times: int
) -> None:
    truth = truth_of(truths)
    table = match_table(detections_of(truth, found), truth)
    once, more = (table.accumulate(np.array(weights) * factor) for factor in (1, times))
    np.testing.assert_allclose(more.precision, once.precision, rtol=1e-15)
    np.testing.assert_array_equal(more.recall, once.recall)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
def test_crowded_pictures_with_thousands_of_detections_agree(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths = [
        (int(p), int(rng.choice([0, 0, 1, 2, ALL_CLASSES])), bool(rng.random() < 0.1), (*xy, *wh))
        for p, xy, wh in zip(
            rng.integers(0, 4, 240), rng.uniform(0, 300, (240, 2)), rng.uniform(4, 150, (240, 2)), strict=True
        )
    ]
    found = [
        (p, int(rng.integers(3)), round(float(rng.random()), 2), tuple(np.array(box) + rng.normal(0, 6, 4)))
        for p, _, _, box in truths * 8
    ]
    truth = truth_of(truths)
    assert_same(truth, detections_of(truth, found), CocoSettings())


@pytest.mark.reference
@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="15 s; set TRAFFIC_YOLO_SLOW=1 to run it")
def test_on_real_detections_of_real_pictures_every_number_agrees_also_in_network_pixels(
    darknet_valid: Callable[[str], tuple[GroundTruth, Detections]], reference: Path
) -> None:
    name = "yolo-fastest-1.1-letterbox"
    truth, found = darknet_valid(name)
    images = json.loads((reference / "coco" / "instances_val.json").read_text())["images"]
    image_hw = np.array([(image["height"], image["width"]) for image in images])
    scale = network_area_scale(image_hw, (320, 320), letterbox=True)
    assert truth.ignore.sum() == 17
    assert_same(truth, found, CocoSettings(pixels="network"), area_scale=scale)


def test_one_class_alone_is_evaluated_as_any() -> None:
    one = truth_of([(0, 0, False, (0, 0, 10, 10)), (1, 0, True, (5, 5, 8, 8))])
    truth = dataclasses.replace(one, classes=("CAR",))
    found = detections_of(truth, [(0, 0, 0.9, (1, 0, 10, 10)), (1, 0, 0.8, (5, 5, 4, 4)), (2, 0, 0.7, (0, 0, 3, 3))])
    assert_same(truth, found, CocoSettings())
    assert evaluate_coco(truth, found).ap50 == pytest.approx(1)


def test_no_picture_at_all_leaves_every_number_undefined() -> None:
    truth = truth_of([(0, 0, False, (0, 0, 10, 10))])
    found = detections_of(truth, [(0, 0, 0.5, (0, 0, 10, 10))])
    nothing = match_table(found, truth).accumulate(np.zeros(4, np.bool_))
    metrics = coco_metrics(nothing, CLASSES, CocoSettings())
    assert set(metrics.twelve().values()) == {None}
    assert [entry.num_truths for entry in metrics.per_class] == [0, 0, 0]


def test_truths_outside_a_slice_neither_reward_nor_punish() -> None:
    truths = [(0, 0, False, (0, 0, 10, 10)), (0, 0, False, (50, 0, 10, 10)), (1, 0, False, (0, 0, 10, 10))]
    truth = truth_of(truths)
    found = detections_of(
        truth, [(0, 0, 0.9, (50, 0, 10, 10)), (0, 0, 0.8, (0, 0, 10, 10)), (0, 0, 0.7, (90, 0, 5, 5))]
    )
    near = np.array([True, False, True])
    metrics = coco_metrics(match_table(found, truth, counted_truths=near).accumulate(), CLASSES, CocoSettings())
    # The stronger detection finds a box outside the slice; of the two inside, the other finds one.
    assert metrics.per_class[0].num_truths == 2
    assert metrics.per_class[0].ap == pytest.approx(51 / 101)
    assert metrics.ar100 == pytest.approx(0.5)
    spared = match_table(found, truth, counted_truths=near, counted_detections=np.array([True, True, False]))
    assert (spared.outcomes[0, spared.scores == np.float32(0.7)] == 2).all()


def test_per_class_and_per_area_numbers_are_means_of_the_curves() -> None:
    truth = truth_of([(0, 0, False, (0, 0, 40, 40)), (0, 1, False, (60, 60, 8, 8)), (1, 0, False, (0, 0, 8, 8))])
    found = detections_of(truth, [(0, 0, 0.9, (0, 0, 40, 40)), (0, 1, 0.8, (60, 60, 8, 8))])
    metrics = evaluate_coco(truth, found)
    car, bus, truck = metrics.per_class
    assert (car.ap, car.ap50, car.ap75) == pytest.approx((51 / 101,) * 3)
    assert car.ap_by_area == {"small": 0, "medium": pytest.approx(1), "large": None}
    assert (car.ar, bus.ar, truck.ar) == (0.5, 1, None)
    assert metrics.ap_by_area == {"small": metrics.ap_small, "medium": metrics.ap_medium, "large": metrics.ap_large}


def test_ap75_is_read_at_an_iou_of_75_hundredths_and_not_beside_it() -> None:
    """Of two pictures, one box overlaps by 0.72 and one by 0.78: the first counts up to 0.70 alone."""
    truth = truth_of([(0, 0, False, (0, 0, 100, 100)), (1, 1, False, (0, 0, 100, 100))])
    found = detections_of(truth, [(0, 0, 0.9, (0, 0, 100, 72)), (1, 1, 0.9, (0, 0, 100, 78))])
    metrics = evaluate_coco(truth, found)
    car, bus, _ = metrics.per_class
    assert (car.ap50, car.ap75, bus.ap50, bus.ap75) == pytest.approx((1, 0, 1, 1))
    assert (metrics.ap50, metrics.ap75) == pytest.approx((1, 0.5))
    assert (car.ap, bus.ap) == pytest.approx((0.5, 0.6))


def test_network_pixels_follow_the_resize_rule() -> None:
    image_hw = np.array([[480, 640], [320, 320]], np.int32)
    np.testing.assert_allclose(network_area_scale(image_hw, (320, 320), letterbox=False), [1 / 3, 1])
    np.testing.assert_allclose(network_area_scale(image_hw, (320, 320), letterbox=True), [0.25, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_detections": ()}, "max_detections is none, expected at least 1"),
        ({"max_detections": (0, 10)}, "max_detections is 0, 10, expected at least 1"),
        ({"max_detections": (10, 1)}, "max_detections: expected rising numbers, found 10, 1"),
        ({"iou_thresholds": (0.5, 1.5)}, "iou_thresholds: expected numbers from 0 to 1"),
        ({"areas": {"small": (0, 10)}}, "areas: the first must be 'all', found small"),
        ({"areas": COCO_AREAS | {"odd": (9.0, 3.0)}}, "area odd: expected 0 <= least < most, found 9 to 3"),
        ({"pixels": "metre"}, "pixels is 'metre', expected 'picture' or 'network'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        CocoSettings(**options)


def test_bad_arguments_are_refused() -> None:
    truth = truth_of([])
    found = detections_of(truth, [])
    with pytest.raises(EvaluationError, match="areas in network pixels need area_scale"):
        match_table(found, truth, CocoSettings(pixels="network"))
    with pytest.raises(EvaluationError, match="expected 4 numbers of at least 0, found shape"):
        match_table(found, truth).accumulate(np.ones(3))
    with pytest.raises(EvaluationError, match="picture 99 is not among those of the ground truth"):
        evaluate_coco(truth, found, image_ids=[99])
    with pytest.raises(OptionsError, match="engine 'quick' is unknown; expected one of fast, pycocotools"):
        evaluate_coco(truth, found, engine="quick")


def test_limits_below_ten_hold_for_every_recall() -> None:
    assert settings_up_to(100).max_detections == (1, 10, 100)
    assert settings_up_to(10).max_detections == (1, 10)
    assert settings_up_to(4).max_detections == (1, 4)
    truth = truth_of([(0, 0, False, (20 * i, 0, 10, 10)) for i in range(8)])
    found = detections_of(truth, [(0, 0, 0.9 - i / 10, (20 * i, 0, 10, 10)) for i in range(8)])
    metrics = evaluate_coco(truth, found, max_detections=4)
    assert (metrics.ar1, metrics.ar10, metrics.ar100) == (1 / 8, 0.5, 0.5)
