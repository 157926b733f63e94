"""[shortcut]: the layer before plus earlier outputs, each with a learned weight where asked for, then an activation."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from traffic_yolo.darknet.activations import SHORTCUT_ACTIVATIONS, read_activation
from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.lint_findings import SectionCase
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying, Positions
from traffic_yolo.darknet.sections.runtimes import DEEPSTREAM, OPENCV, Reads, read_by, words

if TYPE_CHECKING:
    from torch import Tensor, nn

# parser.c parse_shortcut: the words and what they mean.
WEIGHTS_TYPES = {"none": "none", "per_feature": "per_layer", "per_layer": "per_layer", "per_channel": "per_channel"}
NORMALIZATIONS = {"none": "none", "relu": "relu", "avg_relu": "relu", "softmax": "softmax"}


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

    def kept_weights(self, module: "nn.Module", inputs: Sequence[Positions], output: Positions) -> "list[Tensor]":  # noqa: ARG002
        """(1 + sources, 1 or C): a column for each channel with per_channel."""
        arrays = [tensor for _, tensor in self.weights(module)]
        return [tensor[:, output] for tensor in arrays] if self.weights_type == "per_channel" else arrays

    def build(self) -> "nn.Module":
        """(B, C, H, W) and the sources (B, C_i, H, W) -> (B, C, H, W)."""
        from traffic_yolo.darknet.modules.activations import ACTIVATIONS
        from traffic_yolo.darknet.modules.shortcut import Shortcut, WeightedShortcut

        activation = ACTIVATIONS[self.activation]()
        if self.weights_type == "none":
            return Shortcut(self.input.channels, self.source_channels, activation)
        shape = (len(self.inputs), self.input.channels if self.weights_type == "per_channel" else 1)
        return WeightedShortcut(self.input.channels, self.source_channels, activation, self.normalization, shape)

    def initialise(self, module: "nn.Module", generator: np.random.Generator) -> None:  # noqa: ARG002
        """Every weight is 1."""
        for _, tensor in self.weights(module):
            tensor.data.fill_(1.0)

    @property
    def num_weights(self) -> int:
        """One for the layer before and each source, per_channel for each channel of these."""
        if self.weights_type == "none":
            return 0
        return len(self.inputs) * (self.input.channels if self.weights_type == "per_channel" else 1)

    def weights(self, module: "nn.Module") -> "list[tuple[str, Tensor]]":
        """Array weights (1 + sources, 1 or C)."""
        return [] if self.weights_type == "none" else [("weights", module.get_parameter("weights"))]
