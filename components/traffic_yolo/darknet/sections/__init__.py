"""The layer sections of a cfg: one class each, and the table from a section's name to its class."""

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection, Shape
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.sections.dropout import DropoutSection
from traffic_yolo.darknet.sections.maxpool import MaxpoolSection
from traffic_yolo.darknet.sections.route import RouteSection
from traffic_yolo.darknet.sections.shortcut import ShortcutSection
from traffic_yolo.darknet.sections.upsample import UpsampleSection
from traffic_yolo.darknet.sections.yolo import YoloSection

SECTION_TYPES: dict[str, type[LayerSection]] = {
    "convolutional": ConvolutionalSection,
    "dropout": DropoutSection,
    "maxpool": MaxpoolSection,
    "route": RouteSection,
    "shortcut": ShortcutSection,
    "upsample": UpsampleSection,
    "yolo": YoloSection,
}

__all__ = ["SECTION_TYPES", "LayerContext", "LayerSection", "Shape", "read_layer_section"]


def read_layer_section(section: Section, context: LayerContext) -> LayerSection:
    """The section object of one layer; raises `DarknetFormatError` for an unknown name or a setting that cannot be."""
    try:
        section_type = SECTION_TYPES[section.name]
    except KeyError:
        known = ", ".join(f"[{name}]" for name in SECTION_TYPES)
        raise section.error(f"this section type is not supported; supported: {known}") from None
    return section_type(section, context)
