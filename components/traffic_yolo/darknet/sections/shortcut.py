"""[shortcut]: the layer before plus earlier outputs, then an activation."""

from torch import Tensor, nn

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
        for index in references:
            shape = context.output_of(index)
            if shape[1:] != self.input[1:]:
                expected = f"the height and width of {self.input}"
                raise section.error(f"from: expected {expected}, found layer {index} with {shape}", key="from")

    def build(self) -> nn.Module:
        """(B, C, H, W) and the sources (B, C_i, H, W) -> (B, C, H, W)."""
        return _Shortcut(ACTIVATIONS[self.activation]())


class _Shortcut(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor, *sources: Tensor) -> Tensor:
        """See `ShortcutSection.build`."""
        for source in sources:
            x = _add_common_channels(x, source)
        activated: Tensor = self.activation(x)
        return activated


def _add_common_channels(x: Tensor, source: Tensor) -> Tensor:
    """blas.c shortcut_multilayer_cpu: values beyond the source's own end are left as they are."""
    channels, source_channels = x.shape[1], source.shape[1]
    if channels == source_channels:
        return x + source
    if channels < source_channels:
        return x + source[:, :channels]
    padding = (0, 0, 0, 0, 0, channels - source_channels)
    return x + nn.functional.pad(source, padding)
