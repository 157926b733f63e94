"""nvinfer's rules before and after the network, against boxes computed by hand and against our own NMS."""

from typing import Any

import cv2
import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain_nvinfer_nms import plain_cluster, plain_to_frame

from traffic_yolo.deepstream.config.nvinfer_config import ClassAttributes, NvinferConfig
from traffic_yolo.deepstream.simulate.postprocess import Objects, cluster, parse_yolo, to_frame
from traffic_yolo.deepstream.simulate.preprocess import Placement, place, preprocess
from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import ModelError

NETWORK_HW = (64, 96)
RULES: dict[str, Any] = {
    "pre_cluster_threshold": 0.25,
    "post_cluster_threshold": 0.0,
    "nms_iou_threshold": 0.45,
    "topk": 300,
    "roi_top_offset": 0,
    "roi_bottom_offset": 0,
    "detected_min_w": 0,
    "detected_min_h": 0,
    "detected_max_w": 0,
    "detected_max_h": 0,
}


def rules(**changes: float) -> ClassAttributes:
    return ClassAttributes(**(RULES | changes))


def objects(*rows: tuple[float, float, float, float, float, int]) -> Objects:
    """Rows of left, top, width, height, score, class_id."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Objects(table[:, :4].astype(np.float32), table[:, 4].astype(np.float32), table[:, 5].astype(np.int64))


def config(**values: str) -> NvinferConfig:
    base = {"net-scale-factor": "0.0039215697906911373", "model-color-format": "0", "scaling-filter": "1"}
    return NvinferConfig({"property": base | {key.replace("_", "-"): value for key, value in values.items()}})


# --- where the frame lies in the network's input ---


def test_stretch_fills_the_input() -> None:
    placement = place((1080, 1920), (416, 416), keep_aspect=False, symmetric=True)
    assert placement == Placement((1920, 1080), (416, 416), 0, 0)
    assert placement.ratio_x == pytest.approx(416 / 1920)


def test_odd_frames_lose_their_last_column_and_row() -> None:
    assert place((541, 961), (416, 416), keep_aspect=False, symmetric=False).source_wh == (960, 540)


@pytest.mark.parametrize(
    ("frame_hw", "scaled_wh", "left", "top"),
    [
        ((1080, 1920), (608, 342), 0, 133),  # 342.0 exactly
        ((1000, 1500), (608, 405), 0, 101),  # 405.33 truncated, half of 203 rounded down
        ((1520, 1000), (400, 608), 104, 0),
        ((999, 1000), (608, 606), 0, 1),  # 998 rows are read: 606.78 truncated
        ((600, 600), (608, 608), 0, 0),
    ],
)
def test_kept_aspect_truncates_the_size_and_halves_the_rest(
    frame_hw: tuple[int, int], scaled_wh: tuple[int, int], left: int, top: int
) -> None:
    placement = place(frame_hw, (608, 608), keep_aspect=True, symmetric=True)
    assert (placement.scaled_wh, placement.left, placement.top) == (scaled_wh, left, top)


def test_padding_is_right_and_below_unless_symmetric() -> None:
    placement = place((1080, 1920), (608, 608), keep_aspect=True, symmetric=False)
    assert (placement.left, placement.top) == (0, 0)


def test_pixels_are_scaled_rgb_planes_on_black() -> None:
    picture = np.full((20, 40, 3), (255, 128, 0), np.uint8)
    settings_ = config(maintain_aspect_ratio="1", symmetric_padding="1")
    tensor, placement = preprocess(picture, settings_, (64, 64))
    assert (placement.scaled_wh, placement.top) == ((64, 32), 16)
    assert tensor.shape == (3, 64, 64)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[:, 32, 32], [1, 128 / 255, 0], atol=1e-6)
    assert (tensor[:, :16] == 0).all()
    assert (tensor[:, 48:] == 0).all()


def test_bgr_and_offsets_are_applied() -> None:
    picture = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    tensor, _ = preprocess(picture, config(model_color_format="1", offsets="10;20;30", net_scale_factor="1.0"), (8, 8))
    np.testing.assert_array_equal(tensor[:, 0, 0], [40, 80, 170])


@pytest.mark.parametrize("offsets", ["", "103.939;116.779;123.68"])
@pytest.mark.parametrize("color", ["0", "1"])
@pytest.mark.parametrize("keep_aspect", ["0", "1"])
def test_every_byte_becomes_what_plain_arithmetic_gives_to_the_bit(offsets: str, color: str, keep_aspect: str) -> None:
    picture = np.random.default_rng(3).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    given = {"offsets": offsets} if offsets else {}
    settings_ = config(model_color_format=color, maintain_aspect_ratio=keep_aspect, **given)
    tensor, placement = preprocess(picture, settings_, (64, 64), padding=100)
    surface = np.full((64, 64, 3), 100, np.uint8)
    surface[: placement.scaled_wh[1]] = cv2.resize(picture, placement.scaled_wh, interpolation=cv2.INTER_LINEAR)
    values = (surface[..., ::-1] if color == "1" else surface).transpose(2, 0, 1).astype(np.float32)
    if offsets:
        values = values - np.array([103.939, 116.779, 123.68], np.float32).reshape(-1, 1, 1)
    np.testing.assert_array_equal(tensor, values * np.float32(0.0039215697906911373))
    assert tensor.flags.c_contiguous


@pytest.mark.parametrize(
    ("filter_value", "expected"), [("0", cv2.INTER_NEAREST), ("1", cv2.INTER_LINEAR), ("6", cv2.INTER_NEAREST)]
)
def test_scaling_filter_chooses_the_interpolation(filter_value: str, expected: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    tensor, _ = preprocess(picture, config(scaling_filter=filter_value, net_scale_factor="1.0"), (32, 48))
    np.testing.assert_array_equal(tensor, cv2.resize(picture, (48, 32), interpolation=expected).transpose(2, 0, 1))


# --- DeepStream-Yolo's parser ---


def test_parser_cuts_at_the_edges_and_drops_what_is_below_a_pixel() -> None:
    output = np.array(
        [
            [-5, -5, 20, 10, 0.9, 0],
            [90, 60, 120, 80, 0.8, 1],
            [10, 10, 10.9, 30, 0.9, 0],  # 0.9 px wide
            [95.5, 5, 130, 20, 0.9, 0],  # 0.5 px are left
            [30, 30, 20, 40, 0.9, 0],  # inside out
            [10, 10, 11, 30, 0.9, 0],  # exactly one pixel stays
        ],
        np.float32,
    )
    found = parse_yolo(output, NETWORK_HW, [rules(), rules()])
    np.testing.assert_allclose(found.boxes_xywh, [[0, 0, 20, 10], [90, 60, 6, 4], [10, 10, 1, 20]])
    assert found.class_ids.tolist() == [0, 1, 0]


def test_parser_keeps_a_score_equal_to_the_threshold_of_its_class() -> None:
    output = np.array([[0, 0, 9, 9, 0.25, 0], [0, 0, 9, 9, 0.2499, 0], [0, 0, 9, 9, 0.3, 1]], np.float32)
    found = parse_yolo(output, NETWORK_HW, [rules(), rules(pre_cluster_threshold=0.4)])
    np.testing.assert_allclose(found.scores, [0.25])


def test_parser_refuses_a_label_beyond_the_configured_classes() -> None:
    output = np.array([[0, 0, 9, 9, 0.9, 2]], np.float32)
    with pytest.raises(ModelError, match="gives label 2, but num-detected-classes is 2"):
        parse_yolo(output, NETWORK_HW, [rules(), rules()])


def test_parser_refuses_output_that_is_not_finite() -> None:
    output = np.array([[0, 0, np.nan, 9, 0.9, 0]], np.float32)
    with pytest.raises(ModelError, match="NaN or infinity"):
        parse_yolo(output, NETWORK_HW, [rules()])


# --- clustering ---


def test_nms_works_class_by_class_and_keeps_an_overlap_equal_to_the_threshold() -> None:
    found = cluster(
        objects(
            (0, 0, 10, 10, 0.9, 0),
            (0, 5, 10, 10, 0.8, 0),  # IoU 50 / 150 with the first
            (0, 1, 10, 10, 0.7, 0),  # IoU 90 / 110: goes
            (0, 0, 10, 10, 0.6, 1),  # same place, other class
        ),
        [rules(nms_iou_threshold=1 / 3), rules()],
    )
    np.testing.assert_allclose(found.scores, [0.9, 0.8, 0.6])


def test_a_suppressed_box_suppresses_nothing() -> None:
    chain = objects((0, 0, 10, 10, 0.9, 0), (0, 4, 10, 10, 0.8, 0), (0, 8, 10, 10, 0.7, 0))
    np.testing.assert_allclose(cluster(chain, [rules(nms_iou_threshold=0.3)]).scores, [0.9, 0.7])


def test_equal_scores_keep_the_order_of_the_network() -> None:
    found = cluster(objects((0, 0, 10, 10, 0.5, 0), (0, 1, 10, 10, 0.5, 0)), [rules()])
    np.testing.assert_allclose(found.boxes_xywh[:, 1], [0])


def test_post_cluster_threshold_is_strict_and_topk_counts_per_class() -> None:
    boxes = objects(
        (0, 0, 5, 5, 0.5, 0), (20, 0, 5, 5, 0.6, 0), (40, 0, 5, 5, 0.7, 0), (60, 0, 5, 5, 0.4, 0), (0, 0, 5, 5, 0.3, 1)
    )
    found = cluster(boxes, [rules(post_cluster_threshold=0.5, topk=1), rules(topk=-1)])
    np.testing.assert_allclose(found.scores, [0.7, 0.3])


def test_a_score_equal_to_the_post_cluster_threshold_goes_whatever_topk_says() -> None:
    boxes = objects((0, 0, 5, 5, 0.5, 0), (20, 0, 5, 5, 0.75, 0), (40, 0, 5, 5, 0.25, 0))
    for topk in (-1, 2, 300):
        np.testing.assert_allclose(cluster(boxes, [rules(post_cluster_threshold=0.5, topk=topk)]).scores, [0.75])


@pytest.mark.parametrize(("topk", "kept"), [(-1, 3), (0, 0), (1, 1), (2, 2), (3, 3), (4, 3)])
def test_topk_keeps_so_many_none_at_all_at_zero(topk: int, kept: int) -> None:
    boxes = objects((0, 0, 5, 5, 0.5, 0), (20, 0, 5, 5, 0.75, 0), (40, 0, 5, 5, 0.25, 0))
    np.testing.assert_allclose(cluster(boxes, [rules(topk=topk)]).scores, [0.75, 0.5, 0.25][:kept])


def test_nothing_in_gives_nothing_out() -> None:
    assert len(cluster(objects(), [rules()]).scores) == 0


boxes_strategy = st.lists(
    st.tuples(*(st.integers(low, high) for low, high in [(0, 60), (0, 60), (1, 40), (1, 40), (30, 99), (0, 2)])),
    max_size=25,
    unique_by=lambda row: row[4],  # distinct scores: the order of equal ones is no part of either rule
)


@examples(60)
@given(rows=boxes_strategy, iou=st.sampled_from([0.2, 0.45, 0.7]))
def test_single_label_boxes_survive_as_in_our_own_nms(
    rows: list[tuple[int, int, int, int, int, int]], iou: float
) -> None:
    given_objects = objects(*[(*row[:4], row[4] / 100, row[5]) for row in rows])
    found = cluster(given_objects, [rules(nms_iou_threshold=iou)] * 3)

    class_scores = np.zeros((len(rows), 3), np.float32)
    class_scores[np.arange(len(rows)), given_objects.class_ids] = given_objects.scores
    boxes = given_objects.boxes_xywh
    raw = RawDetections.from_dense(
        image_ids=np.array([7], np.int64),
        image_hw=np.array([[100, 100]], np.int32),
        offsets=np.array([0, len(rows)], np.int64),
        boxes_xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        objectness=given_objects.scores,
        class_scores=class_scores,
        classes=("a", "b", "c"),
        protocol=Protocol("", "", NETWORK_HW, "stretch", ""),
    )
    expected = non_maximum_suppression(raw, NmsOptions(confidence_threshold=0.1, iou_threshold=iou))
    assert sorted(found.scores.tolist()) == sorted(expected.scores.tolist())


drawn_objects = st.lists(
    st.tuples(
        *[st.sampled_from([0, 1, 2, 5, 7, 1.1, 0.3, 33.3])] * 2,
        *[st.sampled_from([0, 1, 2, 5, 7, 1.1, 0.3, 33.3])] * 2,
        st.sampled_from([-0.5, -0.0, 0.0, 0.001, 0.25, 0.3, 0.9]),
        st.integers(0, 3),
    ),
    max_size=90,  # more than the kernel compares at once
)


@examples(150)
@given(
    rows=drawn_objects,
    settings_=st.lists(
        st.tuples(st.sampled_from([0.0, 0.2, 0.45, 0.5, 1.0]), st.sampled_from([0.0, 0.25]), st.integers(-1, 4)),
        min_size=4,
        max_size=4,
    ),
)
def test_the_kernel_keeps_what_plain_loops_keep_to_the_bit(
    rows: list[tuple[float, float, float, float, float, int]], settings_: list[tuple[float, float, int]]
) -> None:
    attributes = [rules(nms_iou_threshold=a, post_cluster_threshold=b, topk=c) for a, b, c in settings_]
    found, expected = cluster(objects(*rows), attributes), plain_cluster(objects(*rows), attributes)
    for name in ("boxes_xywh", "scores", "class_ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_a_crowd_is_clustered_as_by_plain_loops() -> None:
    generator = np.random.default_rng(1)
    table = generator.random((1500, 4)).astype(np.float32) * np.array([90, 60, 30, 30], np.float32)
    crowd = Objects(table, generator.random(1500, np.float32), generator.integers(0, 3, 1500))
    attributes = [rules(nms_iou_threshold=value, topk=-1) for value in (0.3, 0.6, 0.9)]
    found, expected = cluster(crowd, attributes), plain_cluster(crowd, attributes)
    assert 300 < len(found.scores) < 1400
    np.testing.assert_array_equal(found.boxes_xywh, expected.boxes_xywh)


def test_a_class_beyond_the_configuration_is_no_reading_beyond_a_table() -> None:
    with pytest.raises(IndexError, match="class 1 is beyond the 1 classes"):
        cluster(objects((0, 0, 5, 5, 0.5, 1)), [rules()])


# --- mapping to the frame ---

IDENTITY = Placement((100, 100), (100, 100), 0, 0)


def mapped(boxes: Objects, placement: Placement = IDENTITY, *, crop: bool, **changes: float) -> NDArray[np.float32]:
    found = to_frame(boxes, placement, (100, 100), [rules(**changes)] * 2, crop_to_frame=crop)
    return found.boxes_xywh


def test_boxes_are_moved_by_the_offset_and_scaled() -> None:
    placement = Placement((200, 100), (100, 50), 0, 25)
    found = to_frame(objects((10, 35, 20, 10, 0.9, 0)), placement, (100, 200), [rules()], crop_to_frame=True)
    np.testing.assert_allclose(found.boxes_xywh, [[20, 20, 40, 20]])


@pytest.mark.parametrize("crop", [False, True])
def test_left_and_top_below_zero_become_zero_without_shrinking(crop: bool) -> None:
    placement = Placement((100, 100), (100, 100), 10, 5)
    np.testing.assert_allclose(mapped(objects((4, 2, 30, 20, 0.9, 0)), placement, crop=crop), [[0, 0, 30, 20]])


def test_a_box_over_the_bottom_edge_is_dropped_without_cropping_and_cut_with_it() -> None:
    over = objects((10, 80, 20, 20.5, 0.9, 0))
    assert mapped(over, crop=False).shape == (0, 4)
    np.testing.assert_allclose(mapped(over, crop=True), [[10, 80, 20, 20]])


def test_a_box_that_touches_the_bottom_edge_exactly_stays() -> None:
    np.testing.assert_allclose(mapped(objects((10, 80, 20, 20, 0.9, 0)), crop=False), [[10, 80, 20, 20]])


def test_a_vehicle_that_touches_the_bottom_of_a_letterbox_is_lost_without_cropping() -> None:
    """The reason for crop-objects-to-roi-boundary=1: a box reaches a hair into the padding and is gone."""
    placement = place((540, 960), (416, 416), keep_aspect=True, symmetric=True)
    assert (placement.top, placement.scaled_wh) == (91, (416, 234))
    box = objects((100, 300, 40, 25.1, 0.9, 0))  # the picture ends at 325
    assert len(to_frame(box, placement, (540, 960), [rules()], crop_to_frame=False).scores) == 0
    kept = to_frame(box, placement, (540, 960), [rules()], crop_to_frame=True).boxes_xywh
    np.testing.assert_allclose(kept, [[100 / 416 * 960, 209 / 234 * 540, 40 / 416 * 960, 25 / 234 * 540]], rtol=1e-5)


def test_the_right_edge_is_cut_only_with_cropping() -> None:
    over = objects((90, 10, 20, 20, 0.9, 0))
    np.testing.assert_allclose(mapped(over, crop=False), [[90, 10, 20, 20]])
    np.testing.assert_allclose(mapped(over, crop=True), [[90, 10, 10, 20]])


def test_a_box_less_than_a_pixel_over_the_right_edge_is_cut_too() -> None:
    np.testing.assert_array_equal(mapped(objects((90, 10, 10.5, 20, 0.9, 0)), crop=True), [[90, 10, 10, 20]])
    np.testing.assert_array_equal(mapped(objects((90, 10, 9.5, 20, 0.9, 0)), crop=True), [[90, 10, 9.5, 20]])


def test_roi_offsets_drop_or_cut() -> None:
    high = objects((10, 5, 20, 40, 0.9, 0))
    assert mapped(high, crop=False, roi_top_offset=10).shape == (0, 4)
    np.testing.assert_allclose(mapped(high, crop=True, roi_top_offset=10), [[10, 10, 20, 40]])
    low = objects((10, 50, 20, 40, 0.9, 0))
    np.testing.assert_allclose(mapped(low, crop=True, roi_bottom_offset=20), [[10, 50, 20, 30]])


def test_size_filters_are_in_frame_pixels_and_per_class() -> None:
    placement = Placement((200, 200), (100, 100), 0, 0)
    boxes = objects((0, 0, 10, 10, 0.9, 0), (0, 0, 10, 10, 0.9, 1), (0, 0, 40, 40, 0.9, 0))
    attributes = [rules(detected_min_w=20, detected_max_h=50), rules(detected_min_w=21)]
    found = to_frame(boxes, placement, (200, 200), attributes, crop_to_frame=True)
    np.testing.assert_allclose(found.boxes_xywh, [[0, 0, 20, 20]])


@examples(100)
@given(
    rows=drawn_objects,
    settings_=st.lists(st.tuples(*[st.integers(0, 40)] * 6), min_size=4, max_size=4),
    crop=st.booleans(),
)
def test_all_classes_at_once_come_out_as_one_after_the_other_to_the_bit(
    rows: list[tuple[float, float, float, float, float, int]], settings_: list[tuple[int, ...]], crop: bool
) -> None:
    names = ("detected_min_w", "detected_min_h", "detected_max_w", "detected_max_h", "roi_top_offset")
    attributes = [rules(**dict(zip((*names, "roi_bottom_offset"), values, strict=True))) for values in settings_]
    placement = Placement((192, 108), (96, 54), 0, 5)
    given_objects = objects(*rows)
    found = to_frame(given_objects, placement, (108, 193), attributes, crop_to_frame=crop)
    expected = plain_to_frame(given_objects, placement, (108, 193), attributes, crop_to_frame=crop)
    for name in ("boxes_xywh", "scores", "class_ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
