"""[avgpool] and [local_avgpool]: the mean of each channel, over the whole picture or over windows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.maxpool import WindowSection
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn


class AvgpoolSection(LayerSection):
    """One value for each channel."""

    keys = frozenset()
    runtimes = read_by(deepstream=Reads(), opencv=Reads())

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        self.output = Shape(self.input.channels, 1, 1)

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """Those read."""
        return inputs[0]

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> (B, C, 1, 1)."""
        from torch import nn

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

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> (B, C, H', W')."""
        from torch import nn

        from traffic_yolo.darknet.modules.avgpool import LocalAvgPool

        if self.padding:
            return LocalAvgPool(self.size, (self.stride_y, self.stride_x), self.sides)
        return nn.AvgPool2d(self.size, stride=(self.stride_y, self.stride_x))
