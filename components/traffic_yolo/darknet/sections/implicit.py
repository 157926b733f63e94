"""[implicit]: learned values that depend on no picture, as an input for a layer that joins two."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words


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

    def build(self) -> nn.Module:
        """(B, any, any, any) -> (B, filters, atoms, 1)."""
        return _Implicit(self.output)

    def initialise(self, module: nn.Module, generator: np.random.Generator) -> None:
        """`mean` and up to `std` more or less, uniform (representation_layer.c)."""
        for _, tensor in self.weights(module):
            values = generator.random(tuple(tensor.shape), dtype=np.float32)
            tensor.data.copy_(torch.from_numpy((2 * values - 1) * np.float32(self.std) + np.float32(self.mean)))

    @property
    def num_weights(self) -> int:
        """One for each output value."""
        return self.output.channels * self.output.height

    def weights(self, module: nn.Module) -> list[tuple[str, Tensor]]:
        """Array values (1, filters, atoms, 1)."""
        return [("values", module.get_parameter("values"))]


class _Implicit(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(1, *shape))

    def forward(self, images: Tensor) -> Tensor:
        """See `ImplicitSection.build`."""
        return self.values.expand(images.shape[0], -1, -1, -1)
