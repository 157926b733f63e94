"""Batch-norm folded for good: a pair of its own that gives the same outputs, here and in OpenCV."""

import cv2
import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery_fuse import without_batch_norm

# Weights used again by share_index, a [batchnorm] of its own, keys that only batch-norm has.
SHARING_CFG = """\
[net]
width=32
height=32
channels=3

[convolutional]
batch_normalize=1
cbn=1
train_only_bn=1
filters=3
size=3
stride=2
pad=1
activation=mish

[convolutional]
batch_normalize=1
share_index=0
filters=3
size=3
stride=1
pad=1
activation=leaky

[batchnorm]

[convolutional]
filters=14
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1
anchors=4,5, 8,12
classes=2
num=2
"""


def trained(text: str) -> Network:
    """A network whose batch-norms do something, as after training."""
    network = Network(Cfg.parse(text), seed=3).eval()
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.3, 2.0, generator=generator)
            for tensor in (module.bias.data, module.running_mean):
                tensor.uniform_(-1.0, 1.0, generator=generator)
    return network


def picture(network: Network) -> torch.Tensor:
    return torch.rand((2, 3, *network.input_hw), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("which", ["small", "sharing"])
def test_the_pair_gives_the_same_outputs_from_its_own_files(small_cfg, tmp_path, which):
    network = trained(small_cfg if which == "small" else SHARING_CFG)
    plain = without_batch_norm(network)
    plain.cfg.write(tmp_path / "p.cfg")
    plain.save_weights(tmp_path / "p.weights")
    again = Network.read(tmp_path / "p.cfg", tmp_path / "p.weights").eval()
    with torch.no_grad():
        for ours, expected in zip(again(picture(network)), network(picture(network)), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-4, atol=2e-5)
    assert "batch_normalize" not in again.cfg.to_text()
    assert again.num_weights < network.num_weights


def test_keys_of_batch_norm_go_and_every_other_line_stays():
    text = without_batch_norm(trained(SHARING_CFG)).cfg.to_text()
    gone = ("batch_normalize=1\n", "cbn=1\n", "train_only_bn=1\n")
    expected = [line for line in SHARING_CFG.splitlines(keepends=True) if line not in gone]
    assert text == "".join(expected)


def test_the_original_still_trains_and_is_written_with_its_batch_norms(small_cfg, tmp_path):
    network = trained(small_cfg)
    network.save_weights(tmp_path / "before.weights")
    without_batch_norm(network)
    network.fuse()
    network.save_weights(tmp_path / "after.weights")
    assert (tmp_path / "after.weights").read_bytes() == (tmp_path / "before.weights").read_bytes()
    assert sum(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules()) == 3


def test_a_network_fused_in_memory_is_refused(small_cfg):
    with pytest.raises(ValueError, match="found a fused one"):
        without_batch_norm(trained(small_cfg).fuse())


@pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromDarknet"), reason="OpenCV 5 reads no Darknet files")
def test_opencv_gives_the_same_outputs_without_a_word_about_eps(golden_weights, reference, tmp_path):
    cfg, weights = golden_weights("yolo-fastest-1.1")
    network = Network.read(cfg, weights).eval()
    plain = without_batch_norm(network)
    plain.cfg.write(tmp_path / "p.cfg")
    plain.save_weights(tmp_path / "p.weights")
    net = cv2.dnn.readNetFromDarknet(str(tmp_path / "p.cfg"), str(tmp_path / "p.weights"))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    image = np.random.default_rng(0).random((3, *network.input_hw), dtype=np.float32)
    net.setInput(image[None])
    theirs = net.forward([f"permute_{head.layer_index}" for head in network.heads])
    with torch.no_grad():
        ours = network(torch.from_numpy(image)[None])
    for expected, found in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found[0].transpose(2, 0, 1), expected[0].numpy(), rtol=1e-4, atol=2e-4)
