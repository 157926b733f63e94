"""Every published cfg with batch-norm, pruned: equal to the silenced network, to OpenCV, clean in lint, open to surgery."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from trained_networks import trained_network

from traffic_yolo.compression.carry import inexact_units, take_out
from traffic_yolo.compression.choice import least_important
from traffic_yolo.compression.importance import families, importance
from traffic_yolo.compression.masking import mask_units, scales_of
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.lint import lint_cfg
from traffic_yolo.darknet.lint_targets import TARGETS
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.darknet.sections.yolo import HeadSection
from traffic_yolo.darknet.surgery import change_classes
from traffic_yolo.darknet.surgery_anchors import change_anchors
from traffic_yolo.errors import DarknetFormatError, OptionsError

FOLDER = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
FILES = sorted([*FOLDER.glob("cfg/*.cfg"), *FOLDER.glob("weights/*.cfg")])
SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"
FAST = ("yolo-fastest-1.1", "yolov4-tiny", "yolov3-tiny-prn")  # the others take seconds: with TRAFFIC_YOLO_SLOW=1
OPENCV_EPS = 1e-6  # of its batch-norm, where Darknet has 1e-5

pytestmark = pytest.mark.skipif(not FILES, reason=f"reference material not found at {FOLDER}")


def small_cfg(file: Path) -> Cfg:
    """The cfg at the smallest sizes that its grids allow, two cells of the coarsest head across and down."""
    cfg = Cfg.read(file)
    try:
        sections = read_sections(cfg)
    except DarknetFormatError as error:
        pytest.skip(f"refused: {error}")
    if file.stem not in FAST and not SLOW:
        pytest.skip("TRAFFIC_YOLO_SLOW=1 runs it")
    if all(not section.section.get_int("batch_normalize", 0) for section in sections):
        pytest.skip("no batch-norm")
    stride = max(section.head.stride for section in sections if isinstance(section, HeadSection))
    for cells in (2, 4, 8):  # a backbone may go deeper than its coarsest head
        cfg.net.set("width", stride * cells)
        cfg.net.set("height", stride * cells)
        try:
            read_sections(cfg)
        except DarknetFormatError:
            continue
        return cfg
    raise AssertionError(f"{file}: no small size fits")


def with_biases(network: Network) -> Network:
    """Biases and scales as after training, in place, so that a silenced channel leaves a value."""
    generator = torch.Generator().manual_seed(3)
    for section, layer in zip(network.sections, network.layers, strict=True):
        if scales_of(layer) is not None and section.num_weights:
            arrays = dict(section.weights(layer))
            arrays["biases"].data.uniform_(-0.5, 0.5, generator=generator)
            arrays["scales"].data.uniform_(0.2, 1.5, generator=generator)
    return network


def without_biases(network: Network, units_of: tuple[np.ndarray, ...], units: set[int]) -> None:
    """Biases of these units 0, in place: where activation(0) is 0 they then leave nothing."""
    for section, layer in zip(network.sections, network.layers, strict=True):
        arrays = dict(section.weights(layer))
        if "scales" in arrays:
            arrays["biases"].data[np.isin(units_of[section.index], sorted(units))] = 0.0


def findings(cfg: Cfg, target: str) -> list[tuple[str, str]]:
    """Rule and level of what lint finds, without the numbers in its words."""
    return sorted((finding.rule, finding.severity) for finding in lint_cfg(cfg, target).findings)


def check_opencv(network: Network, folder: Path) -> None:
    """OpenCV's Darknet importer gives what ours gives, at its own eps."""
    network.cfg.write(folder / "m.cfg")
    network.save_weights(folder / "m.weights")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = OPENCV_EPS
    image = np.random.default_rng(0).random((3, *network.input_hw), dtype=np.float32)
    net = cv2.dnn.readNetFromDarknet(str(folder / "m.cfg"), str(folder / "m.weights"))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setInput(image[None])
    theirs = net.forward([f"permute_{head.layer_index}" for head in network.heads])
    with torch.no_grad():
        ours = network(torch.from_numpy(image)[None])
    for expected, found in zip(ours, theirs, strict=True):
        scale = max(1.0, float(expected.abs().max()))
        np.testing.assert_allclose(found[0].transpose(2, 0, 1), expected[0].numpy(), rtol=1e-3, atol=1e-3 * scale)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_pruned_is_the_silenced_network_and_loads_where_the_whole_one_did(file, tmp_path):
    cfg = small_cfg(file)
    network = with_biases(trained_network(cfg))
    ties = channel_ties(network.sections)
    wanted = least_important(families(network, ties), importance(network, ties, "scale"), 0.4, is_global=False)
    without_biases(network, ties.outputs, inexact_units(network, ties, wanted))
    removed = set(wanted) - inexact_units(network, ties, wanted)  # of a sigmoid, 0 leaves a half
    assert len(removed) > 0.8 * len(wanted)
    carried = take_out(network, ties, removed)
    assert carried.errors == ()
    assert carried.read > 0
    images = torch.rand((1, network.input_channels, *network.input_hw), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        silenced, found = mask_units(network, ties, removed)(images), carried.network(images)
    for expected, same in zip(silenced, found, strict=True):
        torch.testing.assert_close(same, expected, rtol=1e-3, atol=2e-4 * max(1.0, float(expected.abs().max())))

    smaller = carried.network
    assert smaller.num_weights < 0.85 * network.num_weights
    for target in TARGETS:
        if not lint_cfg(cfg, target).exit_code:  # the others do not load it, pruned or not
            assert findings(smaller.cfg, target) == findings(cfg, target)
    names = [f"c{index}" for index in range(network.num_classes)]
    if file.stem != "yolo9000":  # its tree of classes cannot change
        assert change_classes(smaller, names, [names[-1], "new"]).num_classes == 2
    assert change_anchors(smaller, [(w + 1, h) for w, h in smaller.heads[0].anchors]).num_classes == len(names)
    if hasattr(cv2.dnn, "readNetFromDarknet") and not lint_cfg(cfg, "opencv").exit_code and only_yolo(smaller.sections):
        check_opencv(smaller, tmp_path)


def only_yolo(sections: list[LayerSection]) -> bool:
    """Whether every head is a [yolo], before which OpenCV's importer puts a permute layer."""
    return {section.section.name for section in sections if isinstance(section, HeadSection)} == {"yolo"}


def test_a_published_network_without_batch_norm_is_refused():
    cfg = Cfg.read(FOLDER / "cfg" / "yolov3-tiny.cfg")
    for layer in cfg.layers:
        layer.remove("batch_normalize")
    cfg.net.set("width", 32)
    cfg.net.set("height", 32)
    network = trained_network(cfg)
    with pytest.raises(OptionsError, match="expected a network with batch-norm, found none"):
        families(network, channel_ties(network.sections))
