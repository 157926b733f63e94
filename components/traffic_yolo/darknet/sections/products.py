"""[sam] and [scale_channels]: the layer before, multiplied into an earlier output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from traffic_yolo.darknet.activations import PLAIN_ACTIVATIONS, read_activation
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn


class _ProductSection(LayerSection):
    """Reads `from`, one earlier layer, whose shape the output has."""

    def _read_source(self, context: LayerContext) -> None:
        if not self.section.has("from"):
            raise self.section.error("expected from=, found none")
        if self.index == 0:
            raise self.section.error("expected a layer before it, found none")
        self.source_index = self.reference(self.section.get_int("from", 0), key="from", context=context)
        self.inputs = (self.index - 1, self.source_index)
        self.output = context.output_of(self.source_index)
        self.activation = read_activation(self.section, "linear", known=PLAIN_ACTIVATIONS)

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """The source's, each tied to its factor."""
        factor, source = inputs
        if len(factor) == len(source):
            tying.tie(factor, source)
        else:
            tying.fix(np.concatenate([factor, source]), "scale_wh=1 multiplies it pixel by pixel")
        return source

    def build(self) -> "nn.Module":
        """The layer before, of the source's shape or spread over it, and the source (B, C, H, W) -> (B, C, H, W)."""
        from traffic_yolo.darknet.modules.activations import ACTIVATIONS
        from traffic_yolo.darknet.modules.products import Product

        return Product(ACTIVATIONS[self.activation]())


class SamSection(_ProductSection):
    """Value by value: spatial attention."""

    keys = words("activation from")
    runtimes = read_by("from", deepstream=Reads(), opencv=Reads())

    def _read(self, context: LayerContext) -> None:
        self._read_source(context)
        if self.input != self.output:
            found = f"expected the shape {self.input} of the layer before, found"
            raise self.section.error(f"from: {found} layer {self.source_index} with {self.output}", key="from")


class ScaleChannelsSection(_ProductSection):
    """One factor for each channel (squeeze and excitation), or with scale_wh one for each pixel."""

    keys = words("activation from scale_wh")
    runtimes = read_by("from", opencv=Reads(passed_over={"scale_wh": "0"}))

    def _read(self, context: LayerContext) -> None:
        self._read_source(context)
        by_pixel = self.section.get_int("scale_wh", 0) != 0
        channels, height, width = self.output
        expected = (1, height, width) if by_pixel else (channels, 1, 1)
        if self.input != expected:
            shown = " x ".join(map(str, expected))
            source = f"for layer {self.source_index} with {self.output}"
            raise self.section.error(f"expected {shown} from the layer before {source}, found {self.input}", key="from")
