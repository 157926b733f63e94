"""[connected]: every output value from every input value, batch-norm where asked for, activation."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from traffic_yolo.darknet.activations import PLAIN_ACTIVATIONS, read_activation
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying, Positions
from traffic_yolo.darknet.sections.convolutional import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM
from traffic_yolo.darknet.sections.runtimes import Reads, read_by, words

if TYPE_CHECKING:
    from torch import Tensor, nn


class ConnectedSection(LayerSection):
    """Its module is a Sequential with `linear`, `bn` (with batch_normalize) and `activation`; output 1 x 1 pixels."""

    keys = words("activation batch_normalize output")
    runtimes = read_by(opencv=Reads())
    needs_cfg_size = True
    transposed_in_old_files = frozenset({"kernels"})

    def _read(self, context: LayerContext) -> None:  # noqa: ARG002
        channels, height, width = self.input
        self.num_inputs = channels * height * width
        self.batch_normalize = self.section.get_int("batch_normalize", 0) != 0
        self.activation = read_activation(self.section, "logistic", known=PLAIN_ACTIVATIONS)
        self.output = Shape(self.section.get_int("output", 1, at_least=1), 1, 1)

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:  # noqa: ARG002
        """New ones: every output reads every input."""
        return tying.new(self.output.channels)

    def kept_keys(self, inputs: Sequence[Positions], output: Positions) -> dict[str, int]:  # noqa: ARG002
        """`output`."""
        return {"output": len(output)}

    def kept_weights(self, module: "nn.Module", inputs: Sequence[Positions], output: Positions) -> "list[Tensor]":
        """Columns stand by channel, row, column of what is read."""
        pixels = self.input.height * self.input.width
        columns = (inputs[0][:, None] * pixels + np.arange(pixels)).ravel()
        return [
            tensor[output][:, columns] if name == "kernels" else tensor[output] for name, tensor in self.weights(module)
        ]

    def build(self) -> "nn.Module":
        """(B, C, H, W) -> (B, output, 1, 1)."""
        from torch import nn

        from traffic_yolo.darknet.modules.activations import ACTIVATIONS
        from traffic_yolo.darknet.modules.unset import UnsetLinear

        outputs = self.output.channels
        linear = UnsetLinear(self.num_inputs, outputs, bias=not self.batch_normalize)
        parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten(), linear=linear)
        if self.batch_normalize:
            parts["bn"] = nn.BatchNorm1d(outputs, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)
        parts["activation"] = ACTIVATIONS[self.activation]()
        parts["pixel"] = nn.Unflatten(1, (outputs, 1, 1))
        return nn.Sequential(parts)

    def initialise(self, module: "nn.Module", generator: np.random.Generator) -> None:
        """Kernels uniform in +-sqrt(2 / inputs), the rest neutral."""
        import torch

        for name, tensor in self.weights(module):
            if name != "kernels":
                tensor.data.fill_(1.0 if name in ("scales", "variances") else 0.0)
                continue
            limit = np.float32(np.sqrt(2 / self.num_inputs))
            values = generator.random(tuple(tensor.shape), dtype=np.float32)
            tensor.data.copy_(torch.from_numpy((2 * values - 1) * limit))

    @property
    def num_weights(self) -> int:
        """Biases, kernels, with batch-norm three arrays more."""
        return self.output.channels * (self.num_inputs + (4 if self.batch_normalize else 1))

    def weights(self, module: "nn.Module") -> "list[tuple[str, Tensor]]":
        """Arrays biases (O,), kernels (O, inputs), [scales, means, variances (O,)]: unlike [convolutional]."""
        from torch import nn

        linear = module.get_submodule("linear")
        assert isinstance(linear, nn.Linear)
        if not self.batch_normalize:
            return [("biases", linear.bias), ("kernels", linear.weight)]
        norm = module.get_submodule("bn")
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        arrays = [("scales", norm.weight), ("means", norm.running_mean), ("variances", norm.running_var)]
        return [("biases", norm.bias), ("kernels", linear.weight), *arrays]
