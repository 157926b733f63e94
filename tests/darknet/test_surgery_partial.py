"""Backbone cuts: published sizes, the values of the first layers, and refusals with both byte counts."""

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery_partial import cut_backbone, plan_cut
from traffic_yolo.darknet.weights import WeightsHeader, read_weights
from traffic_yolo.errors import DarknetFormatError, OptionsError


@pytest.mark.parametrize(
    ("name", "layers", "size"),
    [
        ("yolov4", 137, 170_038_676),  # yolov4.conv.137
        ("yolov3", 74, 162_482_580),  # darknet53.conv.74
        ("yolov4-tiny", 29, 19_789_716),  # yolov4-tiny.conv.29
    ],
)
def test_published_backbone_files_have_this_size(reference, name, layers, size):
    assert plan_cut(Cfg.read(reference / "cfg" / f"{name}.cfg"), layers).num_bytes == size


def test_a_cut_loads_as_the_first_layers_and_nothing_else(small_cfg, tmp_path):
    cfg = Cfg.parse(small_cfg)
    whole = Network(cfg, seed=1)
    whole.save_weights(tmp_path / "whole.weights", header=WeightsHeader(0, 2, 5, 12_345))
    out = tmp_path / "small.conv.5"
    cut = cut_backbone(cfg, tmp_path / "whole.weights", 5, out)
    assert out.stat().st_size == cut.num_bytes == 20 + 4 * cut.num_weights
    file = read_weights(out)
    assert file.header == WeightsHeader(0, 2, 5, 0)  # darknet.c partial resets seen
    np.testing.assert_array_equal(file.values, read_weights(tmp_path / "whole.weights").values[: cut.num_weights])
    other = Network(cfg, seed=2)
    last = other.layers[12].conv.weight.clone()
    other.load_weights(out, partial=True)
    assert torch.equal(other.layers[4].conv.weight, whole.layers[4].conv.weight)
    assert torch.equal(other.layers[12].conv.weight, last)


def test_cuts_that_cannot_be_are_refused(small_cfg, tmp_path):
    cfg = Cfg.parse(small_cfg)
    Network(cfg).save_weights(tmp_path / "a.weights")
    total = (tmp_path / "a.weights").stat().st_size
    with pytest.raises(OptionsError, match="layers: expected 1 to 14 for <cfg>, found 15"):
        cut_backbone(cfg, tmp_path / "a.weights", 15, tmp_path / "b")
    short = tmp_path / "short.weights"
    short.write_bytes((tmp_path / "a.weights").read_bytes()[:-4])
    with pytest.raises(DarknetFormatError, match=f"expected {total} bytes for <cfg>, found {total - 4} bytes"):
        cut_backbone(cfg, short, 5, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    shifted = small_cfg.replace("[convolutional]", "[dropout]\n\n[convolutional]", 1).replace("-1, 4", "-1, 5")
    with pytest.raises(OptionsError, match="the first 1 of <cfg> have no weights; take more"):
        plan_cut(Cfg.parse(shifted), 1)
