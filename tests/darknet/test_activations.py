"""Activations against their formulas in activations.h, value by value."""

import math

import numpy as np
import pytest
import torch

from traffic_yolo.darknet.activations import ACTIVATION_NAMES, read_activation
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.modules.activations import ACTIVATIONS
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.errors import DarknetFormatError

VALUES = [-6.0, -4.0, -2.5, -1.0, -0.3, 0.0, 0.4, 1.0, 1.7, 3.0, 4.5, 7.0]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


FORMULAS = {
    "linear": lambda x: x,
    "leaky": lambda x: x if x > 0 else 0.1 * x,
    "revleaky": lambda x: x if x > 0 else 0.1 * x,
    "relu": lambda x: max(x, 0),
    "relu6": lambda x: min(max(x, 0), 6),
    "mish": lambda x: x * math.tanh(math.log1p(math.exp(x))),
    "swish": lambda x: x * sigmoid(x),
    "logistic": sigmoid,
    "tanh": lambda x: 2 / (1 + math.exp(-2 * x)) - 1,
    "elu": lambda x: x if x >= 0 else math.exp(x) - 1,
    "selu": lambda x: 1.0507 * x if x >= 0 else 1.0507 * 1.6732 * (math.exp(x) - 1),
    "gelu": lambda x: 0.5 * x * (1 + math.tanh(0.797885 * x + 0.035677 * x**3)),
    "relie": lambda x: x if x > 0 else 0.01 * x,
    "ramp": lambda x: x * (x > 0) + 0.1 * x,
    "loggy": lambda x: 2 / (1 + math.exp(-x)) - 1,
    "hardtan": lambda x: min(max(x, -1), 1),
    "lhtan": lambda x: 0.001 * x if x < 0 else 0.001 * (x - 1) + 1 if x > 1 else x,
    "plse": lambda x: 0.01 * (x + 4) if x < -4 else 0.01 * (x - 4) + 1 if x > 4 else 0.125 * x + 0.5,
    "hard_mish": lambda x: x if x > 0 else x * x / 2 + x if x > -2 else 0,
    "stair": lambda x: math.floor(x / 2) + (0 if math.floor(x) % 2 == 0 else x - math.floor(x)),
}


# Activations of all channels of a pixel: Darknet's loops with their eps of 0.0001.
CHANNEL_FORMULAS = {
    "normalize_channels": lambda v: [max(x, 0) / (1e-4 + sum(max(y, 0) for y in v)) for x in v],
    "normalize_channels_softmax": lambda v: [math.exp(x) / (1e-4 + sum(math.exp(y) for y in v)) for x in v],
    "normalize_channels_softmax_maxval": lambda v: [
        math.exp(x - max(v)) / (1e-4 + sum(math.exp(y - max(v)) for y in v)) for x in v
    ],
}


def test_every_activation_has_a_formula_here():
    assert set(FORMULAS) | set(CHANNEL_FORMULAS) == set(ACTIVATIONS)
    assert tuple(ACTIVATIONS) == ACTIVATION_NAMES


@pytest.mark.parametrize("name", CHANNEL_FORMULAS)
def test_channel_activations_work_on_each_pixel(name):
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = ACTIVATIONS[name]()(x)
    for b, row, column in np.ndindex(2, 3, 4):
        expected = CHANNEL_FORMULAS[name](x[b, :, row, column].tolist())
        np.testing.assert_allclose(found[b, :, row, column], expected, rtol=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
def test_values_are_those_of_the_formula(name):
    result = ACTIVATIONS[name]()(torch.tensor(VALUES, dtype=torch.float64))
    expected = torch.tensor([float(FORMULAS[name](x)) for x in VALUES], dtype=torch.float64)
    torch.testing.assert_close(result, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", FORMULAS)
def test_gradient_is_right_though_some_work_in_place(name):
    x = torch.tensor([-5.3, -2.7, -0.4, 0.3, 0.8, 2.6, 5.2], dtype=torch.float64, requires_grad=True)
    activation = ACTIVATIONS[name]()
    assert torch.autograd.gradcheck(lambda x: activation(x * 1.0), (x,))  # x * 1.0 as a convolution's fresh output


def test_large_values_stay_finite():
    for name, build in ACTIVATIONS.items():
        assert build()(torch.tensor([-80.0, 80.0])[None, :, None]).isfinite().all(), name


@pytest.mark.parametrize(
    ("section", "refused"),
    [
        ("shortcut", "hard_mish"),
        ("connected", "swish"),
        ("sam", "mish"),
        ("scale_channels", "swish"),
        ("activation", "mish"),
    ],
)
def test_an_activation_that_darknet_answers_with_zeros_is_refused(section, refused):
    layers = "[conv]\nfilters=4\nactivation=linear\n[avgpool]\n"
    source = "from=0\n" if section in ("sam", "scale_channels") else "from=-1\n" if section == "shortcut" else ""
    text = f"[net]\nwidth=4\nheight=4\nchannels=3\n{layers}[{section}]\n{source}activation={refused}\n"
    with pytest.raises(
        DarknetFormatError, match=rf"\[{section}\]: Darknet answers 0 for activation={refused}.*one of elu"
    ):
        read_sections(Cfg.parse(text))


def test_an_unknown_activation_is_refused_with_the_known_ones():
    section = Cfg.parse("[net]\n[conv]\nactivation=leaky#x\n").layers[0]
    with pytest.raises(DarknetFormatError, match=r"line 3 .*unknown activation 'leaky#x'; known: elu, .*mish.*tanh"):
        read_activation(section, "logistic")
    assert read_activation(Cfg.parse("[net]\n[conv]\n").layers[0], "logistic") == "logistic"


def test_silu_is_refused_with_darknets_name_of_it():
    text = "[net]\nwidth=8\nheight=8\nchannels=3\n[conv]\nactivation=silu\n"
    message = (
        r"a.cfg line 6 \[convolutional\]: unknown activation 'silu'; write activation=swish, Darknet's name of silu; "
    )
    with pytest.raises(DarknetFormatError, match=message):
        read_sections(Cfg.parse(text, file="a.cfg"))
