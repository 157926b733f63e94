"""What a dump holds and refuses; that it is what Darknet itself computed, the golden tests say."""

import numpy as np
import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.dump import DumpInput, DumpOptions, dump, layer_statistics, read_input, write_dump
from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import OptionsError, StorageError


def test_dump_needs_the_input_alone(small_cfg, tmp_path):
    network = Network(Cfg.parse(small_cfg), seed=1)
    image = np.random.default_rng(0).random((3, 32, 64), dtype=np.float32)
    np.savez(tmp_path / "x.npz", input=image)
    arrays = dump(network, read_input(tmp_path / "x.npz"), DumpOptions(thresholds=(0.4,), kinds=("default",)))
    heads = {f"yolo_{index}_{name}" for index in (8, 13) for name in ("in", "out")}
    detections = {"det_t0.4_rel_box", "det_t0.4_rel_prob", "nms_t0.4_n0.45_default_rel"}
    assert set(arrays) == {"input", "layer_stats"} | heads | detections
    assert arrays["yolo_8_in"].shape == (3, 7, 4, 8)
    assert len(arrays["det_t0.4_rel_box"]) > 10
    assert arrays["layer_stats"].shape == (14, 24)
    write_dump(tmp_path / "y.npz", arrays)
    again = np.load(tmp_path / "y.npz")
    assert all((again[key] == arrays[key]).all() for key in arrays)


def test_statistics_of_a_layer_by_hand():
    import torch

    found = layer_statistics(torch.arange(39, dtype=torch.float32).reshape(1, 3, 13) - 19)
    np.testing.assert_allclose(found[:4], [0, np.sqrt((np.arange(-19, 20) ** 2).mean()), -19, 19], rtol=1e-6)
    np.testing.assert_array_equal(found[4:], np.arange(20) * 2 - 19)


def test_inputs_that_do_not_fit_are_refused(small_cfg, tmp_path):
    network = Network(Cfg.parse(small_cfg))
    with pytest.raises(StorageError, match=r"input not found: .*none.npz"):
        read_input(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(StorageError, match=r"input is no .npz file: "):
        read_input(tmp_path / "text.npz")
    for message, arrays in {
        r"expected key 'input', found none": {"image": np.zeros(3, np.float32)},
        r"expected \(3, H, W\) float32, found \(3, 4, 4\) float64": {"input": np.zeros((3, 4, 4))},
        r"expected values from 0 to 1, found 0.0 to 255.0": {"input": np.full((3, 4, 4), [0, 9, 9, 255], np.float32)},
    }.items():
        np.savez(tmp_path / "x.npz", **arrays)
        with pytest.raises(OptionsError, match=message):
            read_input(tmp_path / "x.npz")
    with pytest.raises(OptionsError, match=r"input: expected \(3, 32, 64\) as in <cfg>, found \(3, 64, 32\)"):
        dump(network, DumpInput(np.zeros((3, 64, 32), np.float32)), DumpOptions())
    with pytest.raises(OptionsError, match="letterbox: the input needs a key image_wh"):
        dump(network, DumpInput(np.zeros((3, 32, 64), np.float32)), DumpOptions(letterbox=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": (0.2, 1.5)}, "threshold is 1.5, expected a number in"),
        ({"iou_thresholds": (-1.0,)}, "IoU threshold is -1.0, expected a number in"),
        ({"kinds": ("soft",)}, "NMS kind 'soft' is unknown; expected one of default, greedynms, diounms, obj"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(OptionsError, match=message):
        DumpOptions(**options)


def test_every_bit_of_a_damaged_input_ends_in_our_error_or_none(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, input=np.full((3, 2, 2), 0.5, np.float32), image_wh=np.array([4, 4]))
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0x41
        for data in (bytes(damaged), whole[:place]):
            path.write_bytes(data)
            try:
                read_input(path)
            except (StorageError, OptionsError):
                refused += 1
    assert refused > len(whole) / 3  # every cut, and most bits


@pytest.mark.parametrize("image_wh", [4, [4], [4, 4, 4], [np.nan, 1.0], ["a", "b"], [-4, 3], [[1, 2], [3, 4]]], ids=str)
def test_a_picture_size_that_is_none_is_refused(tmp_path, image_wh):
    np.savez(tmp_path / "x.npz", input=np.zeros((3, 2, 2), np.float32), image_wh=np.array(image_wh))
    with pytest.raises(OptionsError, match=r"x\.npz: image_wh: expected two whole numbers from 1, found "):
        read_input(tmp_path / "x.npz")
