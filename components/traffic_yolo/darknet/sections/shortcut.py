"""[shortcut]: the layer before plus earlier outputs, each with a learned weight where asked for, then an activation."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from traffic_yolo.darknet.activations import ACTIVATIONS, SHORTCUT_ACTIVATIONS, read_activation
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_findings import SectionCase
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying, Positions
from traffic_yolo.darknet.sections.runtimes import DEEPSTREAM, OPENCV, Reads, read_by, words

# parser.c parse_shortcut: the words and what they mean.
WEIGHTS_TYPES = {"none": "none", "per_feature": "per_layer", "per_layer": "per_layer", "per_channel": "per_channel"}
NORMALIZATIONS = {"none": "none", "relu": "relu", "avg_relu": "relu", "softmax": "softmax"}
WEIGHT_SUM_EPS = 1e-4  # blas.c shortcut_multilayer_cpu
# lrelu of network.c fuse_conv_batchnorm, through which test, valid and map go, and of every GPU kernel; only a CPU
# build's unfused path, its training, takes 0 here.
RELU_FLOOR = 1e-3


def _several_sources(case: SectionCase) -> Iterator[CfgFinding]:
    """With several `from` these two read the first alone."""
    if case.target in (DEEPSTREAM, OPENCV) and len(case.section.get_ints("from")) > 1:
        message = f"{case.target} adds the first of from={case.section.get_str('from', '')} alone"
        yield case.finding("error", message, "use the onnx target, or split it into several [shortcut]", key="from")


def _sources(case: SectionCase) -> Iterator[CfgFinding]:
    """DeepStream-Yolo and shortcuts from the layer right before, or from one with fewer channels."""
    layer = case.layer
    if case.target != DEEPSTREAM or layer is None:
        return
    source = layer.inputs[1]
    channels = case.subject.sections[source].output.channels
    if source == layer.index - 1:
        problem = "adds the layer right before to itself, which stops at an assertion"
    elif channels < layer.input.channels:
        problem = f"cuts {layer.input.channels} channels out of the {channels} of layer {source}"
    else:
        return
    yield case.finding("error", f"{DEEPSTREAM} {problem}", "use the onnx target", key="from")


class ShortcutSection(LayerSection):
    """Keeps the shape of the layer before; of a source with other channels the first ones that both have are added.

    `weights_type` none, per_layer or per_channel says how many weights there are, `normalization` none, relu or softmax
    how they become shares of 1: relu raises each to 0.001 first, softmax takes its exponential.
    """

    keys = words("activation from weights_normalization weights_type")
    runtimes = read_by(
        "from",
        deepstream=Reads(passed_over={"weights_type": "none"}),
        opencv=Reads(passed_over={"weights_type": "none"}),
    )
    lint_rules = (("several-sources", _several_sources), ("shortcut-sources", _sources))

    def _read(self, context: LayerContext) -> None:
        section = self.section
        sources = section.get_ints("from")
        if not sources:
            raise section.error("expected from=, found none")
        if self.index == 0:
            raise section.error("expected a layer before it, found none")
        self.activation = read_activation(section, "linear", known=SHORTCUT_ACTIVATIONS)
        self.weights_type = self._read_word("weights_type", WEIGHTS_TYPES)
        self.normalization = self._read_word("weights_normalization", NORMALIZATIONS)
        if self.weights_type != "none" and self.normalization == "none":
            expected = "expected weights_normalization=relu or softmax beside weights_type"
            raise section.error(f"{expected}, found none: Darknet stops there", key="weights_type")
        references = [self.reference(value, key="from", context=context) for value in sources]
        self.inputs = (self.index - 1, *references)
        self.output = self.input
        shapes = [context.output_of(index) for index in references]
        self.source_channels = [shape.channels for shape in shapes]
        for index, shape in zip(references, shapes, strict=True):
            if shape[1:] != self.input[1:]:
                expected = f"the height and width of {self.input}"
                raise section.error(f"from: expected {expected}, found layer {index} with {shape}", key="from")

    def _read_word(self, key: str, known: dict[str, str]) -> str:
        word = self.section.get_str(key, "none")
        if word not in known:
            raise self.section.error(f"{key}: expected one of {', '.join(known)}, found {word[:40]!r}", key=key)
        return known[word]

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """Those of the layer before, the first ones of each tied to those of the source as far as both have them."""
        first, *sources = inputs
        for source in sources:
            both = min(len(first), len(source))
            tying.tie(first[:both], source[:both])
        return first

    def kept_weights(self, module: nn.Module, inputs: Sequence[Positions], output: Positions) -> list[Tensor]:  # noqa: ARG002
        """(1 + sources, 1 or C): a column for each channel with per_channel."""
        arrays = [tensor for _, tensor in self.weights(module)]
        return [tensor[:, output] for tensor in arrays] if self.weights_type == "per_channel" else arrays

    def build(self) -> nn.Module:
        """(B, C, H, W) and the sources (B, C_i, H, W) -> (B, C, H, W)."""
        activation = ACTIVATIONS[self.activation]()
        if self.weights_type == "none":
            return _Shortcut(self.input.channels, self.source_channels, activation)
        shape = (len(self.inputs), self.input.channels if self.weights_type == "per_channel" else 1)
        return _WeightedShortcut(self.input.channels, self.source_channels, activation, self.normalization, shape)

    def initialise(self, module: nn.Module, generator: np.random.Generator) -> None:  # noqa: ARG002
        """Every weight is 1."""
        for _, tensor in self.weights(module):
            tensor.data.fill_(1.0)

    @property
    def num_weights(self) -> int:
        """One for the layer before and each source, per_channel for each channel of these."""
        if self.weights_type == "none":
            return 0
        return len(self.inputs) * (self.input.channels if self.weights_type == "per_channel" else 1)

    def weights(self, module: nn.Module) -> list[tuple[str, Tensor]]:
        """Array weights (1 + sources, 1 or C)."""
        return [] if self.weights_type == "none" else [("weights", module.get_parameter("weights"))]


class _Shortcut(nn.Module):
    """The channel counts are given, not asked of the tensors: a tracer could not follow an `if` on them."""

    def __init__(self, channels: int, source_channels: list[int], activation: nn.Module) -> None:
        super().__init__()
        self.channels = channels
        self.source_channels = source_channels
        self.activation = activation

    def forward(self, x: Tensor, *sources: Tensor) -> Tensor:
        """See `ShortcutSection.build`; blas.c shortcut_multilayer_cpu leaves what lies beyond a source's end."""
        for source, source_channels in zip(sources, self.source_channels, strict=True):
            x = x + self._fitted(source, source_channels)
        activated: Tensor = self.activation(x)
        return activated

    def _fitted(self, source: Tensor, source_channels: int) -> Tensor:
        """The source cut or filled with zeros to the channels of the layer before."""
        if source_channels > self.channels:
            return source[:, : self.channels]
        if source_channels < self.channels:
            return functional.pad(source, (0, 0, 0, 0, 0, self.channels - source_channels))
        return source


class _WeightedShortcut(_Shortcut):
    def __init__(
        self,
        channels: int,
        source_channels: list[int],
        activation: nn.Module,
        normalization: str,
        shape: tuple[int, int],
    ) -> None:
        super().__init__(channels, source_channels, activation)
        self.normalization = normalization
        self.weights = nn.Parameter(torch.ones(shape))  # (1 + sources, 1 or C)

    def forward(self, x: Tensor, *sources: Tensor) -> Tensor:
        """See `ShortcutSection.build`. A source that lacks a channel still takes its share of that channel."""
        shares = self._shares()[..., None, None]  # (1 + sources, 1 or C, 1, 1)
        total = x * shares[0]
        for number, (source, source_channels) in enumerate(zip(sources, self.source_channels, strict=True), start=1):
            total = total + self._fitted(source, source_channels) * shares[number]
        activated: Tensor = self.activation(total)
        return activated

    def _shares(self) -> Tensor:
        if self.normalization == "relu":
            positive = self.weights.clamp(min=RELU_FLOOR)
        else:
            positive = torch.exp(self.weights - self.weights.amax(dim=0))
        return positive / (positive.sum(dim=0) + WEIGHT_SUM_EPS)
