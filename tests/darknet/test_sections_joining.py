"""Layers that multiply two outputs, and those that pass one on."""

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections

CONV = "[conv]\nfilters=4\nsize=1\nactivation=linear\n"


def section_of(layers):
    return read_sections(Cfg.parse(f"[net]\nwidth=8\nheight=6\nchannels=3\n{layers}", file="a.cfg"))[-1]


def picture(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("activation", ["linear", "leaky"])
def test_sam_multiplies_value_by_value(activation):
    section = section_of(f"{CONV}{CONV}[sam]\nfrom=-2\nactivation={activation}\n")
    assert (section.inputs, section.output) == ((1, 0), (4, 6, 8))
    x, source = picture(2, 4, 6, 8), picture(2, 4, 6, 8, seed=1)
    product = x * source
    expected = product if activation == "linear" else torch.where(product > 0, product, 0.1 * product)
    torch.testing.assert_close(section.build()(x, source), expected)


def test_scale_channels_spreads_a_factor_over_each_channel():
    section = section_of(f"{CONV}[avgpool]\n[scale_channels]\nfrom=0\nactivation=relu\n")
    assert (section.inputs, section.output) == ((1, 0), (4, 6, 8))
    x, source = picture(2, 4, 1, 1), picture(2, 4, 6, 8, seed=1)
    expected = np.maximum(x.numpy()[:, :, :1, :1] * source.numpy(), 0)
    np.testing.assert_allclose(section.build()(x, source).numpy(), expected)


def test_scale_channels_with_scale_wh_spreads_a_factor_over_each_pixel():
    section = section_of(f"{CONV}{CONV.replace('4', '1')}[scale_channels]\nfrom=0\nscale_wh=1\n")
    assert section.output == (4, 6, 8)
    x, source = picture(2, 1, 6, 8), picture(2, 4, 6, 8, seed=1)
    expected = np.stack([source[:, c].numpy() * x[:, 0].numpy() for c in range(4)], axis=1)
    np.testing.assert_allclose(section.build()(x, source).numpy(), expected)


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_softmax_makes_shares_of_each_group_of_values(groups):
    section = section_of(f"{CONV}[softmax]\ngroups={groups}\ntemperature=2\n")
    x = picture(2, 4, 6, 8)
    found = section.build()(x).numpy()
    assert found.shape == (2, *section.output)
    values = x.numpy().reshape(2, groups, -1).astype(np.float64) / 2
    exponentials = np.exp(values)
    expected = exponentials / exponentials.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(found.reshape(2, groups, -1), expected, rtol=1e-5)


@pytest.mark.parametrize("layer", ["[empty]", "[silence]", "[cost]\ntype=masked", "[activation]\nactivation=linear"])
def test_layers_that_pass_on_have_an_index_and_change_nothing(layer):
    section = section_of(f"{CONV}{layer}\n")
    x = picture(2, 4, 6, 8)
    assert section.output == (4, 6, 8)
    torch.testing.assert_close(section.build()(x.clone()), x, rtol=0, atol=0)


def test_an_activation_layer_leaves_its_input_to_the_others():
    section = section_of(f"{CONV}[activation]\nactivation=relu\n")
    x = picture(2, 4, 6, 8)
    torch.testing.assert_close(section.build()(kept := x.clone()), x.clamp(min=0))
    torch.testing.assert_close(kept, x, rtol=0, atol=0)


def test_detection_does_without_what_only_training_needs():
    head = "[conv]\nfilters=6\nactivation=linear\n[yolo]\nmask=0\nanchors=4,5\nnum=1\nclasses=1\n"
    cfg = f"[net]\nwidth=8\nheight=8\nchannels=3\n{CONV}{head}[route]\nlayers=0\n[contrastive]\nyolo_layer=-2\n"
    network = Network(Cfg.parse(cfg)).eval()
    assert [tuple(logits.shape) for logits in network(picture(1, 3, 8, 8))] == [(1, 6, 8, 8)]
    assert len(network.layer_outputs(picture(1, 3, 8, 8))) == 5
