"""[dropout]: a layer with an index of its own that changes nothing outside training."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.refused_keys import IN_DROPOUT
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn


class DropoutSection(LayerSection):
    """Drops values with `probability` and scales the others in training; passes the input on in evaluation."""

    keys = words("dropblock dropblock_size_abs dropblock_size_rel probability")
    refused_keys = IN_DROPOUT
    runtimes = read_by(deepstream=Reads(), opencv=Reads())

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        self.probability = self.section.get_float("probability", 0.2, at_least=0, at_most=1)
        self.output = self.input

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """Those read."""
        return inputs[0]

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> the same shape."""
        from torch import nn

        return nn.Dropout(self.probability)
