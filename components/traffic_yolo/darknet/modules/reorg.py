"""The modules of [reorg] and [reorg3d]."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class BlocksToChannels(nn.Module):
    """(B, C, H, W) -> (B, stride^2 * C, H / stride, W / stride)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """PyTorch's order is channel, then pixel of the block; Darknet's the other way round."""
        shuffled = functional.pixel_unshuffle(x, self.stride)
        return torch.unflatten(shuffled, 1, (self.channels, self.stride**2)).transpose(1, 2).flatten(1, 2)


class ChannelsToBlocks(nn.Module):
    """(B, stride^2 * C, H, W) -> (B, C, H * stride, W * stride); `channels` is C."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels = channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """The inverse of `BlocksToChannels`."""
        blocks = torch.unflatten(x, 1, (self.stride**2, self.channels)).transpose(1, 2).flatten(1, 2)
        return functional.pixel_shuffle(blocks, self.stride)


class Reorg(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.channels = channels
        self.blocks = BlocksToChannels(channels // stride**2, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C * stride^2, H / stride, W / stride)."""
        height, width = x.shape[2:]
        coarse = self.channels // self.stride**2
        blocks: Tensor = self.blocks(x.reshape(-1, coarse, height * self.stride, width * self.stride))
        outputs = self.channels * self.stride**2
        return blocks.reshape(-1, outputs, height // self.stride, width // self.stride)


class Reorg3dReverse(nn.Module):
    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.channels = channels
        self.blocks = ChannelsToBlocks(channels // stride**2, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C * stride^2, H, W) -> (B, C, H * stride, W * stride)."""
        height, width = x.shape[2] * self.stride, x.shape[3] * self.stride
        blocks: Tensor = self.blocks(x.reshape(-1, self.channels, height, width))
        return blocks.reshape(-1, self.channels, height, width)
