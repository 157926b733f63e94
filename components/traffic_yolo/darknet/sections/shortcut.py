"""[shortcut]: the layer before plus earlier outputs, then an activation."""

from torch import Tensor, nn
from torch.nn import functional

from traffic_yolo.darknet.activations import ACTIVATIONS, read_activation
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection


class ShortcutSection(LayerSection):
    """Keeps the shape of the layer before; of a source with other channels the first ones that both have are added."""

    def _read(self, context: LayerContext) -> None:
        section = self.section
        sources = section.get_ints("from")
        if not sources:
            raise section.error("expected from=, found none")
        if self.index == 0:
            raise section.error("expected a layer before it, found none")
        self.activation = read_activation(section, "linear")
        weights_type = section.get_str("weights_type", "none")
        if weights_type != "none":
            raise section.error(f"weights_type={weights_type[:40]} is not supported", key="weights_type")
        references = [self.reference(value, key="from") for value in sources]
        self.inputs = (self.index - 1, *references)
        self.output = self.input
        shapes = [context.output_of(index) for index in references]
        self.source_channels = [shape.channels for shape in shapes]
        for index, shape in zip(references, shapes, strict=True):
            if shape[1:] != self.input[1:]:
                expected = f"the height and width of {self.input}"
                raise section.error(f"from: expected {expected}, found layer {index} with {shape}", key="from")

    def build(self) -> nn.Module:
        """(B, C, H, W) and the sources (B, C_i, H, W) -> (B, C, H, W)."""
        return _Shortcut(self.input.channels, self.source_channels, ACTIVATIONS[self.activation]())


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
            if source_channels > self.channels:
                source = source[:, : self.channels]
            elif source_channels < self.channels:
                source = functional.pad(source, (0, 0, 0, 0, 0, self.channels - source_channels))
            x = x + source
        activated: Tensor = self.activation(x)
        return activated
