"""The blur of `antialiasing`: a fixed low-pass kernel that takes over the stride of the layer before it."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from traffic_yolo.darknet.sections.base import Shape

# convolutional_layer.c and maxpool_layer.c: antialiasing=1 is the 3 x 3 binomial kernel, antialiasing=2 a 2 x 2 mean.
_KERNELS = {
    1: ([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]], 1),
    2: ([[1.0, 1.0], [1.0, 1.0]], 0),
}


class Blur(nn.Module):
    """(B, C, H, W) -> (B, C, H', W'), zero-padded; `kind` is the cfg's antialiasing, every other value counts as 1."""

    kernel: Tensor

    def __init__(self, kind: int, channels: int, *, stride_yx: tuple[int, int]) -> None:
        super().__init__()
        values, self.padding = _KERNELS.get(kind, _KERNELS[1])
        kernel = torch.tensor(values)
        kernels = (kernel / kernel.sum()).expand(channels, 1, *kernel.shape).contiguous()
        self.register_buffer("kernel", kernels, persistent=False)  # (C, 1, k, k), in no weights file
        self.channels = channels
        self.stride_yx = stride_yx

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return functional.conv2d(x, self.kernel, stride=self.stride_yx, padding=self.padding, groups=self.channels)

    @staticmethod
    def num_values(kind: int, channels: int) -> int:
        """float32 values of the kernels."""
        return channels * len(_KERNELS.get(kind, _KERNELS[1])[0]) ** 2

    @staticmethod
    def output(kind: int, shape: Shape, *, stride_yx: tuple[int, int]) -> Shape:
        """The shape after the blur of an input of `shape`."""
        values, padding = _KERNELS.get(kind, _KERNELS[1])
        height, width = (
            (length + 2 * padding - len(values)) // stride + 1
            for length, stride in zip(shape[1:], stride_yx, strict=True)
        )
        return Shape(shape.channels, height, width)
