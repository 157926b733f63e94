"""[yolo]: a detection head. Its module passes the logits on: decoding is in `decode`, the loss in the training step."""

from torch import nn

from traffic_yolo.darknet.heads import read_yolo_head
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection


class YoloSection(LayerSection):
    """Its `head` holds what the section says."""

    def _read(self, context: LayerContext) -> None:
        section = self.section
        _, input_height, input_width = context.input_shape
        channels, height, width = self.input
        stride = input_width // width
        if (height * stride, width * stride) != (input_height, input_width):
            found = f"a grid of {height} x {width} for a network of {input_height} x {input_width} (height x width)"
            raise section.error(f"expected network sizes that are multiples of the stride, found {found}")
        self.head = read_yolo_head(section, layer_index=self.index, stride=stride)
        if channels != self.head.num_channels:
            before = context.previous[-1].section if context.previous else section
            key = "filters" if before.name == "convolutional" else ""
            anchors = f"{self.head.num_anchors} anchors x (5 + {self.head.num_classes} classes)"
            raise before.error(
                f"expected filters={self.head.num_channels}, which is {anchors} of the [yolo] section of line"
                f" {section.line}, found filters={channels}; change filters here, or mask and classes there",
                key=key,
            )
        self.output = self.input

    def build(self) -> nn.Module:
        """(B, anchors * (5 + classes), H, W), passed on."""
        return nn.Identity()
