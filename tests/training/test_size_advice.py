"""Advice on the network's size: shares of small boxes, the size that would do, its cost."""

from pathlib import Path

import pytest

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.training.size_advice import gflops, size_advice


def test_boxes_that_are_large_enough_leave_the_size_alone(rectangles: Path, tiny_cfg: Path) -> None:
    advice = size_advice(Network.from_cfg(tiny_cfg), DataSet.open(rectangles).split("train"))
    assert advice is not None
    # 192 x 128 pictures in 96 x 64: shorter sides 11, 20, 10, 33, 10, 18, 35 network pixels
    assert (advice.share_under_8, advice.advised_wh) == (0, (96, 64))
    assert advice.share_under_16 == pytest.approx(3 / 7)
    assert "would bring" not in advice.text


def test_small_boxes_ask_for_a_larger_size_of_the_same_aspect(rectangles: Path, tiny_cfg: Path) -> None:
    network = Network.from_cfg(tiny_cfg)
    images = list(DataSet.open(rectangles).split("train"))
    for image in images:
        image.boxes_xyxy[:, 2:] = image.boxes_xyxy[:, :2] + 14  # 7 network pixels
    advice = size_advice(network, images)
    assert advice is not None
    assert (advice.share_under_8, advice.advised_wh) == (1, (128, 96))
    assert advice.advised_gflops == pytest.approx(advice.gflops * 2, rel=0.01)
    assert "--width 128 --height 96 would bring the first under 10%" in advice.text


def test_no_boxes_give_no_advice(tiny_cfg: Path) -> None:
    assert size_advice(Network.from_cfg(tiny_cfg), []) is None
    assert gflops(Network.from_cfg(tiny_cfg), (192, 128)) == pytest.approx(
        4 * gflops(Network.from_cfg(tiny_cfg), (96, 64))
    )
