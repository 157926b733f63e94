"""Darknet's activation functions by the name that stands in a cfg (activations.h), as PyTorch modules."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

CHANNEL_SUM_EPS = 1e-4  # activations.c activate_array_normalize_channels: keeps the divisor off zero


class Elementwise(nn.Module):
    """A function of one tensor as a module, for activations that PyTorch has no class for."""

    def __init__(self, name: str, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.name = name
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        """Any shape in, the same shape out."""
        return self._function(x)

    def extra_repr(self) -> str:
        """The Darknet name, for printing."""
        return self.name


def _plse(x: Tensor) -> Tensor:
    outside = torch.where(x < 0, 0.01 * (x + 4), 0.01 * (x - 4) + 1)
    return torch.where(x.abs() > 4, outside, 0.125 * x + 0.5)


def _stair(x: Tensor) -> Tensor:
    whole = torch.floor(x)
    half = torch.floor(x / 2)
    return torch.where(whole % 2 == 0, half, (x - whole) + half)


def _lhtan(x: Tensor) -> Tensor:
    return torch.where(x < 0, 0.001 * x, torch.where(x > 1, 0.001 * (x - 1) + 1, x))


def _hard_mish(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.where(x > -2, x * x / 2 + x, torch.zeros_like(x)))


def _selu(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0507 * x, 1.0507 * 1.6732 * torch.expm1(x))


def _gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(0.797885 * x + 0.035677 * x**3))


def _normalize_channels(x: Tensor) -> Tensor:
    positive = torch.relu(x)
    return positive / (positive.sum(dim=1, keepdim=True) + CHANNEL_SUM_EPS)


def _normalize_channels_softmax(x: Tensor) -> Tensor:
    exponentials = torch.exp(x)
    return exponentials / (exponentials.sum(dim=1, keepdim=True) + CHANNEL_SUM_EPS)


def _normalize_channels_softmax_maxval(x: Tensor) -> Tensor:
    return _normalize_channels_softmax(x - x.amax(dim=1, keepdim=True))


def _elementwise(name: str, function: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Elementwise(name, function)


# In place only where the gradient needs the result alone: it saves one activation tensor per layer in training.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "leaky": lambda: nn.LeakyReLU(0.1, inplace=True),
    "revleaky": lambda: nn.LeakyReLU(0.1, inplace=True),
    "relu": lambda: nn.ReLU(inplace=True),
    "relu6": lambda: nn.ReLU6(inplace=True),
    "mish": nn.Mish,
    "swish": nn.SiLU,
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
    "hardtan": nn.Hardtanh,
    "relie": lambda: nn.LeakyReLU(0.01, inplace=True),
    "selu": _elementwise("selu", _selu),
    "gelu": _elementwise("gelu", _gelu),
    "hard_mish": _elementwise("hard_mish", _hard_mish),
    "loggy": _elementwise("loggy", lambda x: 2 * torch.sigmoid(x) - 1),
    "ramp": _elementwise("ramp", lambda x: torch.relu(x) + 0.1 * x),
    "lhtan": _elementwise("lhtan", _lhtan),
    "plse": _elementwise("plse", _plse),
    "stair": _elementwise("stair", _stair),
    # These look at all channels of a pixel together.
    "normalize_channels": _elementwise("normalize_channels", _normalize_channels),
    "normalize_channels_softmax": _elementwise("normalize_channels_softmax", _normalize_channels_softmax),
    "normalize_channels_softmax_maxval": _elementwise(
        "normalize_channels_softmax_maxval", _normalize_channels_softmax_maxval
    ),
}
