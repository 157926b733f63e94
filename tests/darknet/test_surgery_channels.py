"""Channels taken out of a cfg and its weights: which counts and arrays change, what stays as it was, what is refused."""

import pytest
import torch
from trained_networks import trained_network

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.surgery_channels import remove_channels
from traffic_yolo.errors import OptionsError

CFG = """\
# kept
[net]
width=32
height=32
channels=3

[convolutional]
# also kept
batch_normalize=1
filters=4
size=3
stride=2
pad=1
activation=leaky

[convolutional]
batch_normalize=1
groups = 4
filters=4
size=3
pad=1
activation=leaky

[convolutional]
filters=6
size=1
activation=linear

[yolo]
mask=0
anchors=4,5
classes=1
num=1
"""


def test_counts_change_in_the_text_and_nothing_else():
    network = trained_network(Cfg.parse(CFG, file="made.cfg"))
    ties = channel_ties(network.sections)
    smaller = remove_channels(network, ties, {int(ties.outputs[0][1])})
    assert smaller.cfg.to_text() == CFG.replace("filters=4", "filters=3").replace("groups = 4", "groups = 3")


def test_what_stays_keeps_its_values_and_order():
    network = trained_network(Cfg.parse(CFG, file="made.cfg"))
    ties = channel_ties(network.sections)
    smaller = remove_channels(network, ties, {int(ties.outputs[0][1])})
    kept = [0, 2, 3]
    before = [dict(section.weights(layer)) for section, layer in zip(network.sections, network.layers, strict=True)]
    after = [dict(section.weights(layer)) for section, layer in zip(smaller.sections, smaller.layers, strict=True)]
    for layer in (0, 1):
        for name, old in before[layer].items():
            assert torch.equal(after[layer][name], old[kept]), (layer, name)
    assert torch.equal(after[2]["kernels"], before[2]["kernels"][:, kept])
    assert torch.equal(after[2]["biases"], before[2]["biases"])


def test_nothing_taken_out_is_the_same_network():
    network = trained_network(Cfg.parse(CFG, file="made.cfg")).train()
    same = remove_channels(network, channel_ties(network.sections), set())
    assert same.cfg.to_text() == CFG
    assert same.training
    for old, new in zip(network.state_dict().values(), same.state_dict().values(), strict=True):
        assert torch.equal(old, new)


def test_a_fixed_channel_is_refused_with_line_and_reason():
    network = trained_network(Cfg.parse(CFG, file="made.cfg"))
    ties = channel_ties(network.sections)
    expected = r"made.cfg line 24 \[convolutional\]: a channel that cannot be taken out: \[yolo\] reads it"
    with pytest.raises(OptionsError, match=expected):
        remove_channels(network, ties, {int(ties.outputs[2][0])})


def test_a_layer_that_would_be_empty_is_refused_by_line():
    network = trained_network(Cfg.parse(CFG, file="made.cfg"))
    ties = channel_ties(network.sections)
    expected = r"made.cfg line 7 \[convolutional\]: no channel of layer 0 would be left; take out fewer"
    with pytest.raises(OptionsError, match=expected):
        remove_channels(network, ties, set(ties.outputs[0].tolist()))


def test_a_fused_network_is_refused():
    network = trained_network(Cfg.parse(CFG, file="made.cfg"))
    with pytest.raises(ValueError, match="found a fused one"):
        remove_channels(network.fuse(), channel_ties(network.sections), set())
