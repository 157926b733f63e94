"""[softmax]: all values of a picture, or each of `groups` equal parts of them, as shares of one."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.refused_keys import IN_SOFTMAX
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn


class SoftmaxSection(LayerSection):
    """Values are taken in the order channel, row, column."""

    keys = words("groups noloss spatial temperature tree")
    refused_keys = IN_SOFTMAX
    runtimes = read_by(opencv=Reads())

    readers: ClassVar[frozenset[str] | None] = frozenset({"connected", "cost", "softmax"})

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        section = self.section
        self.groups = section.get_int("groups", 1, at_least=1)
        self.temperature = section.get_float("temperature", 1.0, at_least=1e-3)
        channels, height, width = self.input
        if channels * height * width % self.groups:
            raise section.error(f"groups: expected a divisor of {channels * height * width}", key="groups")
        self.output = self.input

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """Those read, fixed: each value is a share of the others."""
        tying.fix(inputs[0], "[softmax] makes each value a share of all")
        return inputs[0]

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> the same shape."""
        from traffic_yolo.darknet.modules.softmax import Softmax

        return Softmax(self.groups, self.temperature)
