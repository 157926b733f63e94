"""Weights beside kernels: shortcuts, batch-norm and connected layers, implicit values, shared kernels; and their order."""

import copy

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.weights import WeightsHeader, read_weights

HEAD = "[conv]\nfilters=6\nactivation=linear\n[yolo]\nmask=0\nanchors=4,5\nnum=1\nclasses=1\n"
CONV = "[conv]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"


def network_of(layers, seed=1):
    """A network of 8 x 8 pixels with a head behind `layers`, its weights all random."""
    network = Network(Cfg.parse(f"[net]\nwidth=8\nheight=8\nchannels=3\n{layers}{HEAD}", file="a.cfg")).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for section, layer in zip(network.sections, network.layers, strict=True):
            for _, tensor in section.weights(layer):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.3)
    return network


def picture(batch=2, size=8):
    return torch.from_numpy(np.random.default_rng(0).normal(size=(batch, 3, size, size)).astype(np.float32))


def arrays_of(network, index):
    arrays = network.sections[index].weights(network.layers[index])
    assert sum(tensor.numel() for _, tensor in arrays) == network.sections[index].num_weights
    return {name: tensor.detach().numpy() for name, tensor in arrays}


def outputs_of(network, x=None):
    with torch.no_grad():
        return [output.numpy() for output in network.layer_outputs(picture() if x is None else x)]


def weighted_sum(x, sources, weights, normalization):
    """network.c fuse_conv_batchnorm and blas.c shortcut_multilayer_cpu, value by value.

    x (C, H, W), weights (1 + sources, 1 or C).
    """
    result = np.zeros_like(x)
    for c, row, column in np.ndindex(*x.shape):
        w = weights[:, c if weights.shape[1] > 1 else 0].astype(np.float64)
        shares = np.maximum(w, 0.001) if normalization == "relu" else np.exp(w - w.max())
        shares = shares / (1e-4 + shares.sum())
        result[c, row, column] = x[c, row, column] * shares[0]
        for source, share in zip(sources, shares[1:], strict=True):
            if c < len(source):
                result[c, row, column] += source[c, row, column] * share
    return result


@pytest.mark.parametrize("normalization", ["relu", "avg_relu", "softmax"])
@pytest.mark.parametrize(("weights_type", "columns"), [("per_feature", 1), ("per_layer", 1), ("per_channel", 4)])
def test_weighted_shortcut_is_the_loop(weights_type, columns, normalization):
    keys = f"from=-2,0\nweights_type={weights_type}\nweights_normalization={normalization}\n"
    network = network_of(CONV.replace("4", "2") + CONV + CONV + f"[shortcut]\n{keys}")
    weights = arrays_of(network, 3)["weights"]
    assert weights.shape == (3, columns)
    weights[1] -= 0.9  # some below 0, which relu takes as 0.001
    outputs = outputs_of(network)
    sources = [outputs[1][1], outputs[0][1]]
    kind = "softmax" if normalization == "softmax" else "relu"
    expected = weighted_sum(outputs[2][1], sources, weights, kind)
    np.testing.assert_allclose(outputs[3][1], expected, rtol=1e-5, atol=1e-6)


def test_relu_shares_of_two_weights_below_the_floor_are_halves():
    """By hand: -1 and 0 both count 0.001, so each share is 0.001 / (0.0001 + 0.002) = 10 / 21."""
    network = network_of(CONV + CONV + "[shortcut]\nfrom=0\nweights_type=per_feature\nweights_normalization=relu\n")
    network.layers[2].weights.data[:] = torch.tensor([[-1.0], [0.0]])
    outputs = outputs_of(network)
    np.testing.assert_allclose(outputs[2], (outputs[0] + outputs[1]) * (10 / 21), rtol=1e-6, atol=1e-6)


def test_batchnorm_is_darknets_formula():
    network = network_of(CONV + "[batchnorm]\n")
    outputs, arrays = outputs_of(network), arrays_of(network, 1)
    assert list(arrays) == ["biases", "scales", "means", "variances"]
    column = {name: array[:, None, None] for name, array in arrays.items()}
    expected = (outputs[0] - column["means"]) / np.sqrt(column["variances"] + 1e-5) * column["scales"] + column[
        "biases"
    ]
    np.testing.assert_allclose(outputs[1], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", [0, 1])
def test_connected_multiplies_channels_rows_columns_in_that_order(norm):
    layers = f"{CONV}[connected]\noutput=5\nactivation=tanh\nbatch_normalize={norm}\n[upsample]\nstride=8\n"
    network = network_of(layers)
    network.layers[1].linear.weight.data *= 0.05
    outputs, arrays = outputs_of(network), arrays_of(network, 1)
    assert list(arrays) == ["biases", "kernels"] + norm * ["scales", "means", "variances"]
    expected = outputs[0].reshape(2, -1).astype(np.float64) @ arrays["kernels"].T
    if norm:
        expected = (expected - arrays["means"]) / np.sqrt(arrays["variances"] + 1e-5) * arrays["scales"]
    np.testing.assert_allclose(outputs[1][:, :, 0, 0], np.tanh(expected + arrays["biases"]), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match=r"expected height 8, width 8, which the weights of \[connected\] fit, found"):
        network(picture(size=16))


def test_implicit_is_the_same_for_every_picture():
    layers = f"{CONV}[implicit]\nfilters=4\n[scale_channels]\nfrom=0\n"
    network = network_of(layers)
    outputs, values = outputs_of(network), arrays_of(network, 1)["values"]
    np.testing.assert_allclose(outputs[2], outputs[0] * values, rtol=1e-6)
    start = Network(network.cfg, seed=3)
    (_, tensor), *_ = start.sections[1].weights(start.layers[1])
    assert tensor.abs().max() <= 0.2
    assert tensor.std() > 0


SHARED = f"{CONV}{CONV}{CONV}share_index=-1\n{CONV}share_index=2\ndilation=2\n"


def test_share_index_uses_another_layers_weights_even_through_a_third(tmp_path):
    network = network_of(SHARED)
    assert [section.num_weights for section in network.sections[:4]] == [124, 160, 0, 0]
    assert [network.sections[index].shared_with for index in (1, 2, 3)] == [None, 1, 1]
    owner, *others = (network.layers[index] for index in (1, 2, 3))
    for layer in others:
        assert layer.conv.weight is owner.conv.weight
        assert layer.bn is owner.bn
    assert others[1].conv.dilation == (2, 2)
    outputs = outputs_of(network)
    with torch.no_grad():
        np.testing.assert_array_equal(outputs[2], owner(torch.from_numpy(outputs[1])).numpy())
    fused = network.fuse()
    for a, b in zip(fused(picture()), network(picture()), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    clone = copy.deepcopy(network)
    assert clone.layers[3].conv.weight is clone.layers[1].conv.weight is not owner.conv.weight


EVERY_WEIGHT = f"{SHARED}[shortcut]\nfrom=-2\nweights_type=per_channel\nweights_normalization=softmax\n[batchnorm]\n"
EVERY_WEIGHT += "[implicit]\nfilters=4\n[scale_channels]\nfrom=-2\n"


@pytest.mark.parametrize("seen", [0, 2**40])
def test_all_arrays_stand_in_the_file_in_the_order_of_the_layers(tmp_path, seen):
    network = network_of(EVERY_WEIGHT)
    network.save_weights(tmp_path / "a.weights", seen=seen)
    file = read_weights(tmp_path / "a.weights")
    expected = np.concatenate(
        [array.ravel() for i in range(len(network.layers)) for array in arrays_of(network, i).values()]
    )
    np.testing.assert_array_equal(file.values, expected)
    other = Network(network.cfg, seed=4).eval()
    assert other.load_weights(tmp_path / "a.weights").loaded_layers == len(network.layers)
    other.save_weights(tmp_path / "b.weights")
    assert (tmp_path / "a.weights").read_bytes() == (tmp_path / "b.weights").read_bytes()
    for a, b in zip(other(picture()), network(picture()), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("header", [WeightsHeader(0, 2, 5, 7), WeightsHeader(1, 1001, 0, 7)])
def test_very_old_files_have_connected_kernels_transposed(tmp_path, header):
    network = network_of(f"{CONV}[connected]\noutput=5\nactivation=linear\n[upsample]\nstride=8\n")
    network.save_weights(tmp_path / "a.weights", header=header)
    kernels = network.layers[1].linear.weight.detach().numpy()
    start = network.sections[0].num_weights + 5
    stored = read_weights(tmp_path / "a.weights").values[start : start + kernels.size]
    np.testing.assert_array_equal(stored, (kernels.T if header.is_transposed else kernels).ravel())
    other = Network(network.cfg, seed=9)
    other.load_weights(tmp_path / "a.weights")
    torch.testing.assert_close(other.layers[1].linear.weight, network.layers[1].linear.weight, rtol=0, atol=0)
    other.save_weights(tmp_path / "b.weights")
    assert (tmp_path / "a.weights").read_bytes() == (tmp_path / "b.weights").read_bytes()


def test_a_shared_convolution_takes_no_memory_of_its_own():
    sections = read_sections(Cfg.parse(f"[net]\nwidth=8\nheight=8\nchannels=3\n{SHARED}"))
    assert sections[3].build().conv.weight.device.type == "meta"
