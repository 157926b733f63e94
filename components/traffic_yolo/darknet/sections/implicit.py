"""[implicit]: learned values that depend on no picture, as an input for a layer that joins two."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying, Positions
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words

if TYPE_CHECKING:
    from torch import Tensor, nn


class ImplicitSection(LayerSection):
    """`filters` channels of `atoms` rows and one column. It takes the number of pictures from the network's input."""

    keys = words("atoms filters mean std")
    runtimes = read_by(deepstream=Reads(required=("filters",), passed_over={"atoms": "1"}))

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        self.mean = self.section.get_float("mean", 0.0)
        self.std = self.section.get_float("std", 0.2, at_least=0)
        filters = self.section.get_int("filters", 128, at_least=1)
        self.inputs = (-1,)
        self.output = Shape(filters, self.section.get_int("atoms", 1, at_least=1), 1)

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """New ones: it reads nothing but the number of pictures."""
        return tying.new(self.output.channels)

    def kept_keys(self, inputs: Sequence[Positions], output: Positions) -> dict[str, int]:  # noqa: ARG002
        """`filters`."""
        return {"filters": len(output)}

    def kept_weights(self, module: "nn.Module", inputs: Sequence[Positions], output: Positions) -> "list[Tensor]":  # noqa: ARG002
        """(1, filters, atoms, 1)."""
        return [tensor[:, output] for _, tensor in self.weights(module)]

    def build(self) -> "nn.Module":
        """(B, any, any, any) -> (B, filters, atoms, 1)."""
        from traffic_yolo.darknet.modules.implicit import Implicit

        return Implicit(self.output)

    def initialise(self, module: "nn.Module", generator: np.random.Generator) -> None:
        """`mean` and up to `std` more or less, uniform (representation_layer.c)."""
        import torch

        for _, tensor in self.weights(module):
            values = generator.random(tuple(tensor.shape), dtype=np.float32)
            tensor.data.copy_(torch.from_numpy((2 * values - 1) * np.float32(self.std) + np.float32(self.mean)))

    @property
    def num_weights(self) -> int:
        """One for each output value."""
        return self.output.channels * self.output.height

    def weights(self, module: "nn.Module") -> "list[tuple[str, Tensor]]":
        """Array values (1, filters, atoms, 1)."""
        return [("values", module.get_parameter("values"))]
