"""The pools of [maxpool] that PyTorch has no class for."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class PaddedMaxPool(nn.Module):
    """Pads left and top by one width, right and bottom by another, then pools."""

    def __init__(self, pool: nn.MaxPool2d, sides: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.pool = pool
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H', W')."""
        pooled: Tensor = self.pool(functional.pad(x, self.sides, value=-math.inf))
        return pooled


class DepthMaxPool(nn.Module):
    """Channel g of the output is the largest of the input's channels g, g + out_channels, g + 2 out_channels, ..."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.rounds = math.ceil(channels / out_channels)
        self.missing = self.rounds * out_channels - channels

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out_channels, H, W)."""
        if self.missing:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.missing), value=-math.inf)
        return torch.unflatten(x, 1, (self.rounds, self.out_channels)).amax(dim=1)
