"""[yolo], [Gaussian_yolo] and [region]: detection heads.

Their modules pass the logits on: decoding is in `decode`, the loss in the training step.
"""

from abc import abstractmethod
from typing import ClassVar

from torch import nn

from traffic_yolo.darknet.heads import YoloHead, read_gaussian_yolo_head, read_region_head, read_yolo_head
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection


class HeadSection(LayerSection):
    """Its `head` holds what the section says. No other layer reads its output."""

    readers: ClassVar[frozenset[str] | None] = frozenset()
    head: YoloHead

    @abstractmethod
    def _read_head(self, stride: int) -> YoloHead:
        """The head from the section's keys."""

    def _read(self, context: LayerContext) -> None:
        section = self.section
        _, input_height, input_width = context.input_shape
        channels, height, width = self.input
        stride = input_width // width
        if (height * stride, width * stride) != (input_height, input_width):
            found = f"a grid of {height} x {width} for a network of {input_height} x {input_width} (height x width)"
            raise section.error(f"expected network sizes that are multiples of the stride, found {found}")
        self.head = self._read_head(stride)
        if channels != self.head.num_channels:
            before = context.previous[-1].section if context.previous else section
            key = "filters" if before.name == "convolutional" else ""
            entries = f"({self.head.objectness_entry + 1} + {self.head.num_classes} classes)"
            raise before.error(
                f"expected filters={self.head.num_channels}, which is {self.head.num_anchors} anchors x {entries} of"
                f" the [{section.name}] section of line {section.line}, found filters={channels}; change filters here,"
                f" or {'num' if section.name == 'region' else 'mask'} and classes there",
                key=key,
            )
        self.output = self.input

    def build(self) -> nn.Module:
        """(B, anchors * entries, H, W), passed on."""
        return nn.Identity()


class YoloSection(HeadSection):
    """[yolo], versions 3 to 7."""

    def _read_head(self, stride: int) -> YoloHead:
        return read_yolo_head(self.section, layer_index=self.index, stride=stride)


class GaussianYoloSection(HeadSection):
    """[Gaussian_yolo]: boxes with their uncertainties."""

    def _read_head(self, stride: int) -> YoloHead:
        return read_gaussian_yolo_head(self.section, layer_index=self.index, stride=stride)


class RegionSection(HeadSection):
    """[region], version 2."""

    def _read_head(self, stride: int) -> YoloHead:
        return read_region_head(self.section, layer_index=self.index, stride=stride)
