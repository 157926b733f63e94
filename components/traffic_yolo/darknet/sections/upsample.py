"""[upsample]: each value repeated `stride` times in both directions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn


class UpsampleSection(LayerSection):
    """Nearest neighbour, times `scale`."""

    keys = words("scale stride")
    runtimes = read_by(
        deepstream=Reads(required=("stride",), passed_over={"scale": "1"}),
        opencv=Reads(passed_over={"scale": "1"}, other_defaults={"stride": "1"}),
    )

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        self.stride = self.section.get_int("stride", 2, at_least=1)
        self.scale = self.section.get_float("scale", 1.0)
        channels, height, width = self.input
        self.output = Shape(channels, height * self.stride, width * self.stride)

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """Those read."""
        return inputs[0]

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> (B, C, stride * H, stride * W)."""
        from torch import nn

        from traffic_yolo.darknet.modules.upsample import Scale

        upsample = nn.Upsample(scale_factor=float(self.stride), mode="nearest")
        return upsample if self.scale == 1 else nn.Sequential(upsample, Scale(self.scale))
