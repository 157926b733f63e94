"""The table from the name of a layer section to its class, and the sections that are refused."""

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.darknet.sections.avgpool import AvgpoolSection, LocalAvgpoolSection
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection
from traffic_yolo.darknet.sections.batchnorm import BatchnormSection
from traffic_yolo.darknet.sections.connected import ConnectedSection
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.sections.dropout import DropoutSection
from traffic_yolo.darknet.sections.implicit import ImplicitSection
from traffic_yolo.darknet.sections.maxpool import MaxpoolSection
from traffic_yolo.darknet.sections.passing import ActivationSection, ContrastiveSection, CostSection, EmptySection
from traffic_yolo.darknet.sections.products import SamSection, ScaleChannelsSection
from traffic_yolo.darknet.sections.reorg import Reorg3dSection, ReorgSection
from traffic_yolo.darknet.sections.route import RouteSection
from traffic_yolo.darknet.sections.shortcut import ShortcutSection
from traffic_yolo.darknet.sections.softmax import SoftmaxSection
from traffic_yolo.darknet.sections.upsample import UpsampleSection
from traffic_yolo.darknet.sections.yolo import GaussianYoloSection, RegionSection, YoloSection

SECTION_TYPES: dict[str, type[LayerSection]] = {
    "Gaussian_yolo": GaussianYoloSection,
    "activation": ActivationSection,
    "avgpool": AvgpoolSection,
    "batchnorm": BatchnormSection,
    "connected": ConnectedSection,
    "contrastive": ContrastiveSection,
    "convolutional": ConvolutionalSection,
    "cost": CostSection,
    "dropout": DropoutSection,
    "empty": EmptySection,
    "implicit": ImplicitSection,
    "local_avgpool": LocalAvgpoolSection,
    "maxpool": MaxpoolSection,
    "region": RegionSection,
    "reorg": ReorgSection,
    "reorg3d": Reorg3dSection,
    "route": RouteSection,
    "sam": SamSection,
    "scale_channels": ScaleChannelsSection,
    "shortcut": ShortcutSection,
    "softmax": SoftmaxSection,
    "upsample": UpsampleSection,
    "yolo": YoloSection,
}

_RECURRENT = "it keeps a state from one picture to the next, and our networks see single pictures"

# Darknet knows these; why we do not.
REFUSED_SECTIONS: dict[str, str] = {
    "rnn": _RECURRENT,
    "lstm": _RECURRENT,
    "gru": _RECURRENT,
    "crnn": _RECURRENT,
    "conv_lstm": _RECURRENT,
    "history": _RECURRENT,
    "detection": "the head of YOLO version 1, whose boxes belong to no anchors",
    "crop": "it cuts at random, for classifiers",
    "local": "a convolution with other kernels at every pixel, for classifiers",
    "lrn": "local response normalisation, for classifiers",
}


def read_layer_section(section: Section, context: LayerContext) -> LayerSection:
    """The section object of one layer; raises `DarknetFormatError` for an unknown name or a setting that cannot be."""
    if section.name in REFUSED_SECTIONS:
        raise section.error(f"this section type is not supported: {REFUSED_SECTIONS[section.name]}")
    if section.name not in SECTION_TYPES:
        known = ", ".join(f"[{name}]" for name in SECTION_TYPES)
        raise section.error(f"unknown section type; supported: {known}")
    return SECTION_TYPES[section.name](section, context)
