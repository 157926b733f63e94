"""What surgery writes loads in OpenCV's Darknet importer with our network's outputs, at OpenCV's batch-norm eps."""

import cv2
import numpy as np
import pytest
import torch
from small_cfgs import SMALL_CFGS
from trained_networks import trained_network

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.freeze_plan import plan_for_trainable, write_freeze_plan
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery import change_classes, change_input_size
from traffic_yolo.darknet.surgery_anchors import change_anchors

pytestmark = pytest.mark.skipif(not hasattr(cv2.dnn, "readNetFromDarknet"), reason="OpenCV 5 reads no Darknet files")

OPENCV_EPS = 1e-6
TRAFFIC = ["CAR", "BUS", "TRUCK", "LONG_TRUCK"]


def opencv_head_inputs(folder, network, image):
    """What enters each [yolo] in OpenCV, (channels, h, w): its importer puts a permute layer before."""
    net = cv2.dnn.readNetFromDarknet(str(folder / "m.cfg"), str(folder / "m.weights"))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setInput(image[None])
    outputs = net.forward([f"permute_{head.layer_index}" for head in network.heads])
    return [output[0].transpose(2, 0, 1) for output in outputs]


def check(network, folder, *, atol):
    """Writes, reads back, and compares with OpenCV."""
    network.cfg.write(folder / "m.cfg")
    network.save_weights(folder / "m.weights")
    again = Network.from_cfg(folder / "m.cfg").eval()
    again.load_weights(folder / "m.weights")
    for module in again.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = OPENCV_EPS
    image = np.random.default_rng(0).random((3, *again.input_hw), dtype=np.float32)
    with torch.no_grad():
        expected = again(torch.from_numpy(image)[None])
    for ours, theirs in zip(expected, opencv_head_inputs(folder, again, image), strict=True):
        np.testing.assert_allclose(theirs, ours[0].numpy(), rtol=1e-4, atol=atol)


def test_real_weights_with_traffic_classes(reference, golden_weights, tmp_path):
    cfg, weights = golden_weights("yolo-fastest-1.1")
    network = Network.from_cfg(cfg)
    network.load_weights(weights)
    coco = (reference / "weights" / "coco.names").read_text().split("\n")[:80]
    check(change_classes(network, coco, TRAFFIC, seeds={"LONG_TRUCK": "truck"}), tmp_path, atol=2e-4)


@pytest.mark.long
def test_every_operation_one_after_the_other(golden_weights, tmp_path):
    cfg, weights = golden_weights("yolov4-tiny")
    network = Network.from_cfg(cfg)
    network.load_weights(weights)
    network = change_classes(network, [str(index) for index in range(80)], ["7", "new"], num_images=7000)
    network = change_anchors(network, [(8, 8), (14, 22), (60, 40), (100, 90)])
    plan = plan_for_trainable(network.sections, {head.layer_index - 1 for head in network.heads})
    cfg = write_freeze_plan(change_input_size(network.cfg, (96, 128)), plan)
    network.save_weights(tmp_path / "before.weights")
    network = Network.from_cfg(cfg)
    network.load_weights(tmp_path / "before.weights")
    assert [layer.get_int("filters", 0) for layer in cfg.layers if layer.get_int("filters", 0) == 14] == [14, 14]
    check(network, tmp_path, atol=2e-4)


def test_groups_mish_swish_logistic_and_dropout(small_cfg, tmp_path):
    cfg = Cfg.parse(small_cfg.replace("[conv]", "[convolutional]"))
    network = trained_network(cfg, seed=3)
    check(change_classes(network, ["car", "truck"], TRAFFIC, seeds={"LONG_TRUCK": "truck"}), tmp_path, atol=1e-5)


# What the small networks have that OpenCV's importer has not: nothing can be compared there.
NOT_IN_OPENCV = {"v7": "implicit", "gaussian": "Gaussian_yolo", "odds-and-ends": "activation"}


@pytest.mark.parametrize("name", [name for name in SMALL_CFGS if name not in NOT_IN_OPENCV])
def test_heads_of_every_kind_that_opencv_reads(name, tmp_path):
    """v4-csp has new_coords and a logistic head, v2 a [region] with [reorg] before it.

    Of enet OpenCV knows neither relu6 nor the weights of a [shortcut]: it is compared without them.
    """
    text = SMALL_CFGS[name].replace("relu6", "leaky").replace("weights_type=per_channel\n", "")
    network = trained_network(Cfg.parse(text), seed=3)
    old = [f"old{index}" for index in range(network.num_classes)]
    changed = change_classes(network, old, ["old0", "new", "other"], seeds={"new": "old0"})
    changed = change_anchors(changed, [(width * 1.25, height + 3) for width, height in network.heads[0].anchors])
    check(changed, tmp_path, atol=1e-5)


@pytest.mark.parametrize(("name", "section"), NOT_IN_OPENCV.items())
def test_sections_that_opencv_cannot_read_are_refused_by_it_too(name, section, tmp_path):
    """Else the networks above should be among those that are compared."""
    network = trained_network(Cfg.parse(SMALL_CFGS[name]), seed=3)
    assert any(layer.name == section for layer in network.cfg.layers)
    network.cfg.write(tmp_path / "m.cfg")
    network.save_weights(tmp_path / "m.weights")
    with pytest.raises(cv2.error):
        cv2.dnn.readNetFromDarknet(str(tmp_path / "m.cfg"), str(tmp_path / "m.weights"))


def test_yolov7_with_traffic_classes(golden_weights, tmp_path):
    """As published: three heads of plain [yolo]; its implicit layers are folded into the convolutions."""
    cfg, weights = golden_weights("yolov7-tiny")
    network = Network.read(cfg, weights)
    coco = [str(index) for index in range(80)]
    check(change_classes(network, coco, ["2", "5", "7", "LONG_TRUCK"], seeds={"LONG_TRUCK": "7"}), tmp_path, atol=2e-4)
