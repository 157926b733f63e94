"""The network's input under each setting of the rules, against Darknet's own resize and nvinfer's own preprocessing."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.darknet.resize import letterbox, stretch
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.simulate.preprocess import preprocess
from traffic_yolo.deepstream.waterfall.inputs import network_input, nv12_round_trip
from traffic_yolo.deepstream.waterfall.rules import BLACK, HALF_PIXEL, Colour, Rules, darknet_rules, nvinfer_rules
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.model_folder import ModelFolder

NETWORK_HW = (64, 96)


@pytest.fixture(scope="module", params=[False, True], ids=["stretch", "letterbox"])
def folder(request: pytest.FixtureRequest, export_tiny: Callable[..., Path]) -> ModelFolder:
    return ModelFolder.open(export_tiny(letterbox=request.param))


def picture(hw: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (*hw, 3), dtype=np.uint8)


def start_of(folder: ModelFolder) -> Rules:
    return darknet_rules(folder, NmsOptions(), [0.25] * len(folder.classes))


@pytest.mark.parametrize("hw", [(128, 192), (64, 96), (111, 77), (50, 130)])
def test_without_a_rule_the_input_is_darknets(folder: ModelFolder, hw: tuple[int, int]) -> None:
    rgb = picture(hw)
    tensor, _ = network_input(rgb, start_of(folder), NETWORK_HW)
    resize = letterbox if folder.letterbox else stretch
    np.testing.assert_array_equal(tensor, resize(rgb, (96, 64)))


@pytest.mark.parametrize("hw", [(128, 192), (64, 96), (111, 77), (50, 130)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scaling-filter": "0"},
        {"maintain-aspect-ratio": "1", "symmetric-padding": "0"},
        {"maintain-aspect-ratio": "0"},
        {"model-color-format": "1", "offsets": "10;20;30", "net-scale-factor": "0.01"},
    ],
    ids=["own", "nearest", "corner", "stretch", "colour"],
)
def test_with_all_rules_it_is_nvinfers(folder: ModelFolder, hw: tuple[int, int], changes: dict[str, str]) -> None:
    config = deploy_config(folder, DeployOptions()).with_values("property", changes)
    attributes = [config.class_attributes(index) for index in range(len(folder.classes))]
    end = nvinfer_rules(start_of(folder), config, attributes)
    unit_scale = config.number("net-scale-factor")
    tensor, view = network_input(picture(hw), end, NETWORK_HW, unit_scale=unit_scale)
    expected, placement = preprocess(picture(hw), config, NETWORK_HW)
    np.testing.assert_array_equal(tensor, expected)
    assert (view.placement, view.shift_xy) == (placement, (0.0, 0.0))


def test_grey_and_black_fill_what_lies_beside() -> None:
    rules = Rules(
        nv12=False, mux_wh=None, aspect="centre", resize="aligned corners", scaling_filter="bilinear", padding="grey",
        colour=Colour(), thresholds=(), edge=False, nms_kind="default", ious=(), topk="per picture",
    )  # fmt: skip
    white = np.full((64, 48, 3), 255, np.uint8)  # scaled 1:1 into the middle of 96 columns, 24 on each side
    tensor, view = network_input(white, rules, NETWORK_HW)
    assert tensor[:, :, :24].min() == tensor[:, :, :24].max() == 0.5
    assert (tensor[:, :, 24:72] == 1).all()
    assert (view.placement.left, view.shift_xy) == (24, (0.0, 0.0))
    black, _ = network_input(white, dataclasses.replace(rules, padding=BLACK, resize=HALF_PIXEL), NETWORK_HW)
    assert (black[:, :, 72:] == 0).all()
    odd = np.full((64, 47, 3), 255, np.uint8)  # 49 columns to share: Darknet pastes at 24 and takes 24.5
    _, view = network_input(odd, rules, NETWORK_HW)
    assert (view.placement.left, view.shift_xy) == (24, (0.5, 0.0))


def test_another_colour_rule_is_applied_to_darknets_floats_too() -> None:
    rgb = np.zeros((64, 96, 3), np.uint8)
    rgb[..., 0], rgb[..., 2] = 200, 50
    rules = Rules(
        nv12=False, mux_wh=None, aspect="stretch", resize="aligned corners", scaling_filter="bilinear", padding="grey",
        colour=Colour(0.5, (10.0, 0.0, 20.0), reversed_channels=True), thresholds=(), edge=False, nms_kind="default",
        ious=(), topk="per picture",
    )  # fmt: skip
    tensor, _ = network_input(rgb, rules, NETWORK_HW)
    np.testing.assert_allclose(tensor[:, 0, 0], [(50 - 10) * 0.5, 0, (200 - 20) * 0.5], rtol=1e-6)


def test_nv12_keeps_grey_and_mixes_the_colours_of_four_pixels() -> None:
    grey = np.repeat(np.arange(16, 236, dtype=np.uint8)[:, None, None], 3, axis=2).repeat(4, axis=1)
    assert np.abs(nv12_round_trip(grey).astype(int) - grey).max() <= 1  # luminance is kept pixel by pixel
    checks = np.zeros((4, 4, 3), np.uint8)
    checks[::2, ::2, 0] = 255  # one red pixel of four, Y 81 and V 240 of a black of 16 and 128: each gets V 156
    back = nv12_round_trip(checks).astype(int)
    # R = 1.164 * (Y - 16) + 1.596 * (V - 128)
    assert back[0, 0, 0] == pytest.approx(1.164 * 65 + 1.596 * 28, abs=2)
    assert back[1, 1, 0] == pytest.approx(1.596 * 28, abs=2)
    assert back.shape == (4, 4, 3)
    assert nv12_round_trip(checks[:3, :3]).shape == (3, 3, 3)


def test_the_muxer_scales_first_and_the_view_says_so(folder: ModelFolder) -> None:
    rules = dataclasses.replace(start_of(folder), mux_wh=(192, 128))
    _, view = network_input(picture((64, 96)), rules, NETWORK_HW)
    assert (view.frame_hw, view.picture_hw) == ((128, 192), (64, 96))
    assert view.placement.ratio_x == 0.5
