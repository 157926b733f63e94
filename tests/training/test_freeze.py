"""Which layers a fine-tuning changes."""

from pathlib import Path

import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.freeze import freeze, set_training_mode, trainable_layers
from traffic_yolo.training.layer_groups import backbone_end


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("yolov3", 79),
        ("yolov3-tiny", 13),
        ("yolov3-spp", 86),
        ("yolov4", 116),
        ("yolov4-tiny", 27),
        ("yolov4-tiny-3l", 27),
        ("yolov4-csp", 113),
        ("yolov7-tiny", 44),
    ],
)
def test_backbone_of_published_networks_ends_before_the_top_down_path(reference: Path, name: str, end: int) -> None:
    assert backbone_end(read_sections(Cfg.read(reference / "cfg" / f"{name}.cfg"))) == end


def test_backbone_without_upsampling_ends_where_the_heads_part(tiny_cfg: Path) -> None:
    assert backbone_end(read_sections(Cfg.read(tiny_cfg))) == 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("all", set(range(9))),
        ("heads", {3, 7}),
        ("neck_and_heads", {3, 4, 5, 6, 7, 8}),
        ("from:6", {6, 7, 8}),
    ],
)
def test_words_choose_layers(tiny_cfg: Path, words: str, expected: set[int]) -> None:
    network = Network.from_cfg(tiny_cfg)
    assert [head.layer_index for head in network.heads] == [4, 8]
    assert trainable_layers(network, words) == expected


def test_index_behind_the_last_weights_is_refused(tiny_cfg: Path) -> None:
    with pytest.raises(OptionsError, match="expected from:<index> with an index up to 7, found from:8"):
        trainable_layers(Network.from_cfg(tiny_cfg), "from:8")


def test_frozen_layers_take_no_gradient_and_keep_their_statistics(tiny_cfg: Path) -> None:
    network = Network.from_cfg(tiny_cfg)
    trainable = frozenset({6, 7})
    freeze(network, trainable)
    set_training_mode(network, trainable)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    sum(output.square().sum() for output in network(torch.rand(2, 3, 64, 96))).backward()
    changed = {name.split(".")[1] for name, value in network.state_dict().items() if not value.equal(before[name])}
    assert changed == {"6"}  # the statistics of the one trainable batch-norm
    graded = {name.split(".")[1] for name, value in network.named_parameters() if value.grad is not None}
    assert graded == {"6", "7"}
