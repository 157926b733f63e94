"""[batchnorm]: normalises each channel by rolling statistics, then scales and shifts it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from traffic_yolo.darknet.sections.base import LayerContext, LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying, Positions
from traffic_yolo.darknet.sections.convolutional import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM, batch_norm_arrays
from traffic_yolo.darknet.sections.runtimes import Reads, read_by

if TYPE_CHECKING:
    from torch import Tensor, nn


class BatchnormSection(LayerSection):
    """The batch-norm of a convolution as a layer of its own."""

    keys = frozenset()
    runtimes = read_by(deepstream=Reads(required=("filters", "activation")))

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        self.output = self.input

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """Those read."""
        return inputs[0]

    def kept_weights(self, module: "nn.Module", inputs: Sequence[Positions], output: Positions) -> "list[Tensor]":  # noqa: ARG002
        """One value a channel."""
        return [tensor[output] for _, tensor in self.weights(module)]

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> the same shape."""
        from torch import nn

        return nn.BatchNorm2d(self.input.channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)

    def initialise(self, module: "nn.Module", generator: np.random.Generator) -> None:  # noqa: ARG002
        """Neutral: PyTorch's own start is Darknet's."""
        from torch import nn

        assert isinstance(module, nn.BatchNorm2d)
        module.reset_parameters()

    @property
    def num_weights(self) -> int:
        """Four arrays."""
        return 4 * self.input.channels

    def weights(self, module: "nn.Module") -> "list[tuple[str, Tensor]]":
        """Arrays biases, scales, means, variances, each (C,)."""
        from torch import nn

        assert isinstance(module, nn.BatchNorm2d)
        return batch_norm_arrays(module)
