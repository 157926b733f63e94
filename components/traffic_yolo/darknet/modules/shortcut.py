"""The modules of [shortcut], with and without weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional

WEIGHT_SUM_EPS = 1e-4  # blas.c shortcut_multilayer_cpu
# lrelu of network.c fuse_conv_batchnorm, through which test, valid and map go, and of every GPU kernel; only a CPU
# build's unfused path, its training, takes 0 here.
RELU_FLOOR = 1e-3


class Shortcut(nn.Module):
    """The channel counts are given, not asked of the tensors: a tracer could not follow an `if` on them."""

    def __init__(self, channels: int, source_channels: list[int], activation: nn.Module) -> None:
        super().__init__()
        self.channels = channels
        self.source_channels = source_channels
        self.activation = activation

    def forward(self, x: Tensor, *sources: Tensor) -> Tensor:
        """See `ShortcutSection.build`; blas.c shortcut_multilayer_cpu leaves what lies beyond a source's end."""
        for source, source_channels in zip(sources, self.source_channels, strict=True):
            x = x + self._fitted(source, source_channels)
        activated: Tensor = self.activation(x)
        return activated

    def _fitted(self, source: Tensor, source_channels: int) -> Tensor:
        """The source cut or filled with zeros to the channels of the layer before."""
        if source_channels > self.channels:
            return source[:, : self.channels]
        if source_channels < self.channels:
            return functional.pad(source, (0, 0, 0, 0, 0, self.channels - source_channels))
        return source


class WeightedShortcut(Shortcut):
    def __init__(
        self,
        channels: int,
        source_channels: list[int],
        activation: nn.Module,
        normalization: str,
        shape: tuple[int, int],
    ) -> None:
        super().__init__(channels, source_channels, activation)
        self.normalization = normalization
        self.weights = nn.Parameter(torch.ones(shape))  # (1 + sources, 1 or C)

    def forward(self, x: Tensor, *sources: Tensor) -> Tensor:
        """See `ShortcutSection.build`. A source that lacks a channel still takes its share of that channel."""
        shares = self._shares()[..., None, None]  # (1 + sources, 1 or C, 1, 1)
        total = x * shares[0]
        for number, (source, source_channels) in enumerate(zip(sources, self.source_channels, strict=True), start=1):
            total = total + self._fitted(source, source_channels) * shares[number]
        activated: Tensor = self.activation(total)
        return activated

    def _shares(self) -> Tensor:
        if self.normalization == "relu":
            positive = self.weights.clamp(min=RELU_FLOOR)
        else:
            positive = torch.exp(self.weights - self.weights.amax(dim=0))
        return positive / (positive.sum(dim=0) + WEIGHT_SUM_EPS)
