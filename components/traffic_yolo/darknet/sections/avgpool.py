"""[avgpool] and [local_avgpool]: the mean of each channel, over the whole picture or over windows."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.maxpool import WindowSection
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words


class AvgpoolSection(LayerSection):
    """One value for each channel."""

    keys = frozenset()
    runtimes = read_by(deepstream=Reads(), opencv=Reads())

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        self.output = Shape(self.input.channels, 1, 1)

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """Those read."""
        return inputs[0]

    def build(self) -> nn.Module:
        """(B, C, H, W) -> (B, C, 1, 1)."""
        return nn.AdaptiveAvgPool2d(1)


class LocalAvgpoolSection(WindowSection):
    """The mean of the values that a window has: padding does not count."""

    keys = words("padding size stride stride_x stride_y")

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        self._read_window()
        self.output = self._window_output()

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """Those read."""
        return inputs[0]

    def build(self) -> nn.Module:
        """(B, C, H, W) -> (B, C, H', W')."""
        if self.padding:
            return _LocalAvgPool(self.size, (self.stride_y, self.stride_x), self.sides)
        return nn.AvgPool2d(self.size, stride=(self.stride_y, self.stride_x))


class _LocalAvgPool(nn.Module):
    def __init__(self, size: int, stride_yx: tuple[int, int], sides: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.size = size
        self.stride_yx = stride_yx
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        """See `LocalAvgpoolSection.build`: the padded sum by the number of values inside the picture."""
        inside = functional.pad(torch.ones_like(x[:1, :1]), self.sides)  # (1, 1, H + padding, W + padding)
        sums = functional.avg_pool2d(functional.pad(x, self.sides), self.size, self.stride_yx, divisor_override=1)
        return sums / functional.avg_pool2d(inside, self.size, self.stride_yx, divisor_override=1)
