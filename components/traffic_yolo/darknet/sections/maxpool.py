"""[maxpool]: largest value of a window, padded with minus infinity, more on the right and bottom where it is uneven."""

import math

from torch import Tensor, nn
from torch.nn import functional

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape


class MaxpoolSection(LayerSection):
    """`padding` (default size - 1) is the sum of both sides; the left and top get half of it, rounded down."""

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        section = self.section
        stride = section.get_int("stride", 1, at_least=1)
        self.stride_x = section.get_int("stride_x", stride, at_least=1)
        self.stride_y = section.get_int("stride_y", stride, at_least=1)
        self.size = section.get_int("size", stride, at_least=1, at_most=1024)
        self.padding = section.get_int("padding", self.size - 1, at_least=0)
        self.refuse({"maxpool_depth": 0, "antialiasing": 0})
        if self.padding - self.padding // 2 >= self.size:
            expected = f"expected at most {2 * (self.size - 1)} for size={self.size}"
            raise section.error(f"padding: {expected}, found {self.padding}", key="padding")
        self.output = Shape(
            self.input.channels,
            (self.input.height + self.padding - self.size) // self.stride_y + 1,
            (self.input.width + self.padding - self.size) // self.stride_x + 1,
        )

    def build(self) -> nn.Module:
        """(B, C, H, W) -> (B, C, H', W')."""
        left = self.padding // 2
        reach = max(
            self._reach(self.input.width, self.output.width, self.stride_x),
            self._reach(self.input.height, self.output.height, self.stride_y),
        )
        pool = nn.MaxPool2d(self.size, stride=(self.stride_y, self.stride_x), padding=0)
        if reach <= 0 and left == 0:
            return pool  # the usual size=2 stride=2 on an even picture reads no padding
        if left == self.padding - left and left <= self.size // 2:
            pool.padding = left
            return pool
        return _PaddedMaxPool(pool, left, self.padding - left)

    def _reach(self, size: int, outputs: int, stride: int) -> int:
        """How far the last window reaches beyond an input of `size`."""
        return (outputs - 1) * stride - self.padding // 2 + self.size - size


class _PaddedMaxPool(nn.Module):
    """Pads left and top by one width, right and bottom by another, then pools."""

    def __init__(self, pool: nn.MaxPool2d, left: int, right: int) -> None:
        super().__init__()
        self.pool = pool
        self.padding = (left, right, left, right)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H', W')."""
        pooled: Tensor = self.pool(functional.pad(x, self.padding, value=-math.inf))
        return pooled
