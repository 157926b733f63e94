"""[reorg] and [reorg3d]: blocks of `stride` x `stride` pixels become channels, or with `reverse` the other way."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn


class Reorg3dSection(LayerSection):
    """Channel k of the output is pixel k // C (row by row) of each block in channel k % C of the input.

    With `reverse` Darknet writes through the shape of the output, so that values end up in other places than they came
    from (blas.c reorg_cpu called with the output's sizes); so does this.
    """

    keys = words("reverse stride")
    runtimes = read_by(deepstream=Reads())

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        section = self.section
        self.stride = section.get_int("stride", 1, at_least=1)
        self.reverse = section.get_int("reverse", 0) != 0
        channels, height, width = self.input
        area = self.stride**2
        if self.reverse:
            self._check_divides(channels, "channels")
            self.output = Shape(channels // area, height * self.stride, width * self.stride)
        else:
            self._check_divides(height, "height", self.stride)
            self._check_divides(width, "width", self.stride)
            self.output = Shape(channels * area, height // self.stride, width // self.stride)
        self._check_channels()

    def _check_channels(self) -> None:
        if self.reverse:
            self._check_divides(self.output.channels, "channels of the output")

    def _check_divides(self, value: int, what: str, divisor: int = 0) -> None:
        divisor = divisor or self.stride**2
        if value % divisor:
            expected = f"expected {what} that {divisor} divides"
            raise self.section.error(f"stride={self.stride}: {expected}, found {value}", key="stride")

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """See the class; what goes through one block of the output's shape is tied."""
        area = self.stride**2
        if not self.reverse:
            return np.tile(inputs[0], area)
        blocks = self.output.channels // area
        of_block = np.arange(len(inputs[0])) // area % blocks
        return self._tied_blocks(inputs[0], of_block, tying).repeat(area)

    @staticmethod
    def _tied_blocks(channels: ChannelIds, block_of: NDArray[np.int64], tying: ChannelTying) -> ChannelIds:
        """Ties the channels of each block; one id for each, by rising block."""
        rows = [channels[block_of == block] for block in range(int(block_of.max()) + 1)]
        tying.tie_rows(rows)
        return np.array([row[0] for row in rows], dtype=np.int64)

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> (B, C * stride^2, H / stride, W / stride), or with `reverse` back."""
        from traffic_yolo.darknet.modules.reorg import BlocksToChannels, Reorg3dReverse

        if self.reverse:
            return Reorg3dReverse(self.output.channels, self.stride)
        return BlocksToChannels(self.input.channels, self.stride)


class ReorgSection(Reorg3dSection):
    """YOLOv2's: its values go through the picture C / stride^2 x H * stride x W * stride, not through the input's.

    With `reverse` it is the plain inverse of [reorg3d].
    """

    runtimes = read_by(
        deepstream=Reads(passed_over={"reverse": "0"}),
        opencv=Reads(passed_over={"reverse": "0"}, other_defaults={"stride": "2"}),
    )

    def _check_channels(self) -> None:
        if not self.reverse:
            self._check_divides(self.input.channels, "channels")

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """See the base class."""
        area, read = self.stride**2, np.arange(len(inputs[0]))
        if self.reverse:
            return self._tied_blocks(inputs[0], read % self.output.channels, tying)
        coarse = len(read) // area
        return self._tied_blocks(inputs[0], read // area, tying)[np.arange(self.output.channels) // area % coarse]

    def build(self) -> "nn.Module":
        """See the base class."""
        from traffic_yolo.darknet.modules.reorg import ChannelsToBlocks, Reorg

        if self.reverse:
            return ChannelsToBlocks(self.output.channels, self.stride)
        return Reorg(self.input.channels, self.stride)
