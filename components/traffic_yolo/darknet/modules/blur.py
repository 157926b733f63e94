"""The blur of `antialiasing` as a module."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from traffic_yolo.darknet.sections.blur import kernel_of


class Blur(nn.Module):
    """(B, C, H, W) -> (B, C, H', W'), zero-padded; `kind` is the cfg's antialiasing, every other value counts as 1."""

    kernel: Tensor

    def __init__(self, kind: int, channels: int, *, stride_yx: tuple[int, int]) -> None:
        super().__init__()
        values, self.padding = kernel_of(kind)
        kernel = torch.tensor(values)
        kernels = (kernel / kernel.sum()).expand(channels, 1, *kernel.shape).contiguous()
        self.register_buffer("kernel", kernels, persistent=False)  # (C, 1, k, k), in no weights file
        self.channels = channels
        self.stride_yx = stride_yx

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return functional.conv2d(x, self.kernel, stride=self.stride_yx, padding=self.padding, groups=self.channels)
