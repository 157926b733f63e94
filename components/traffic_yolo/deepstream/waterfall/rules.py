"""The rules between Darknet's boxes and nvinfer's, each a switch, in the fixed order in which a waterfall turns them.

A state of the waterfall is one setting of all switches. Knows which switches a model and a configuration turn, and how
to turn them: one after the other, and each alone. What a switch does to pictures and boxes, `waterfall_inputs` and
`waterfall_boxes` know.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from traffic_yolo.deepstream.config.nvinfer_config import ClassAttributes, NvinferConfig
from traffic_yolo.deepstream.simulate.preprocess import NEAREST_FILTERS
from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.model_folder import ModelFolder

STRETCH, CENTRE, CORNER = "stretch", "centre", "corner"  # corner: kept aspect, padding on the right and at the bottom
ALIGNED, HALF_PIXEL = "aligned corners", "half-pixel centres"
BILINEAR, NEAREST = "bilinear", "nearest"
GREY, BLACK = "grey", "black"
NVINFER = "nvinfer"  # the NMS of cluster-mode 2; the other kinds are Darknet's
PER_PICTURE, PER_CLASS = "per picture", "per class"
UNIT_SCALE_TOLERANCE = 1e-6  # relative: 1/255 is written with as many digits as people like


@dataclass(frozen=True)
class Colour:
    """What becomes of a pixel: (value in 0..255 - offset of its channel) * scale, channels in RGB order or reversed."""

    scale: float = 1 / 255
    offsets: tuple[float, ...] = ()
    reversed_channels: bool = False

    @property
    def is_darknets(self) -> bool:
        """RGB in 0..1."""
        unit = math.isclose(self.scale, 1 / 255, rel_tol=UNIT_SCALE_TOLERANCE)
        return unit and not any(self.offsets) and not self.reversed_channels


@dataclass(frozen=True)
class Rules:
    """One setting of all switches; the order of the fields is the order in which they are turned.

    That is the way of a picture through DeepStream. The first seven decide the network's input, so that a change of
    them costs an inference; the others are applied to rows that are there. `mux_wh`: size of the stream muxer, None for
    the picture's own. `thresholds` and `ious` (C,): a score strictly above, an overlap above. `edge`: whether boxes are
    cut at the network's edges before NMS and treated by nvinfer's rules at the frame's. `topk`: what is limited, as
    Darknet's side (`NmsOptions.max_detections` of a picture) or nvinfer's (topk of a class) has it.
    """

    nv12: bool
    mux_wh: tuple[int, int] | None
    aspect: str
    resize: str
    scaling_filter: str
    padding: str
    colour: Colour
    thresholds: tuple[float, ...]
    edge: bool
    nms_kind: str
    ious: tuple[float, ...]
    topk: str

    @property
    def is_hardwares(self) -> bool:
        """Whether the picture is scaled as bytes by nvinfer's geometry, rather than by Darknet's own resize."""
        return self.resize == HALF_PIXEL or self.scaling_filter == NEAREST

    @property
    def inputs(self) -> tuple[object, ...]:
        """What of them decides the network's input: states with equal ones share an inference."""
        scaled = self.scaling_filter if self.is_hardwares else ALIGNED
        padding = self.padding if self.aspect != STRETCH else ""
        return self.nv12, self.mux_wh, self.aspect, scaled, padding, self.colour


# Field -> (name of the cause, what it means). The names are those that people search for.
CAUSES: dict[str, tuple[str, str]] = {
    "nv12": ("NV12", "colours at a quarter of the resolution, as a video decoder gives them"),
    "mux_wh": ("mux size", "the stream muxer scales first, so that pictures are scaled twice"),
    "aspect": ("aspect", "kept where the network was trained on stretched pictures, or the other way round"),
    "resize": ("resize", "half-pixel centres on bytes, where Darknet aligns the corners"),
    "scaling_filter": ("filter", "nearest instead of bilinear (scaling-filter)"),
    "padding": ("padding", "black, where Darknet pads in grey"),
    "colour": ("colour", "order of the channels, net-scale-factor, offsets"),
    "thresholds": ("thresholds", "the configuration's, where the operating point has others"),
    "edge": ("edge", "boxes are cut at the network's edges before NMS, and cut or dropped at the frame's"),
    "nms_kind": ("NMS kind", "overlap by IoU alone, where Darknet subtracts a penalty for distant centres"),
    "ious": ("NMS IoU", "nms-iou-threshold, where the operating point has another"),
    "topk": ("topk", "a limit of boxes for each class, where Darknet's side has one for each picture"),
}


def darknet_rules(model: ModelFolder, nms: NmsOptions, thresholds: Sequence[float]) -> Rules:
    """The setting under which the model was trained and its operating point chosen; `thresholds`: by class_id."""
    return Rules(
        nv12=False,
        mux_wh=None,
        aspect=CENTRE if model.letterbox else STRETCH,
        resize=ALIGNED,
        scaling_filter=BILINEAR,
        padding=GREY,
        colour=Colour(),
        thresholds=tuple(float(np.float32(value)) for value in thresholds),
        edge=False,
        nms_kind=nms.kind,
        ious=(float(np.float32(nms.iou_threshold)),) * len(model.classes),
        topk=PER_PICTURE,
    )


def nvinfer_rules(
    start: Rules,
    config: NvinferConfig,
    attributes: Sequence[ClassAttributes],
    *,
    nv12: bool = False,
    mux_wh: tuple[int, int] | None = None,
) -> Rules:
    """The setting of nvinfer under `config` (which `check_simulated` took), from Darknet's `start`.

    `attributes`: by class_id. A switch that `config` does not turn stands as in `start`, so that it is no cause. A
    score at exactly the threshold, which nvinfer reports and Darknet does not, is reported under neither.
    """
    aspect = STRETCH
    if config.integer("maintain-aspect-ratio") == 1:
        aspect = CENTRE if config.integer("symmetric-padding") == 1 else CORNER
    colour = Colour(
        config.number("net-scale-factor"),
        config.numbers("offsets"),
        config.integer("model-color-format") == 1,
    )
    lowest = [max(each.pre_cluster_threshold, each.post_cluster_threshold) for each in attributes]
    return Rules(
        nv12=nv12,
        mux_wh=mux_wh,
        aspect=aspect,
        resize=HALF_PIXEL,
        scaling_filter=NEAREST if config.integer("scaling-filter") in NEAREST_FILTERS else BILINEAR,
        padding=start.padding if aspect == STRETCH else BLACK,
        colour=start.colour if colour.is_darknets else colour,
        thresholds=tuple(float(np.float32(value)) for value in lowest),
        edge=True,
        # Darknet's default kind is the plain IoU too: the same boxes remain
        nms_kind=NVINFER,
        ious=tuple(float(np.float32(each.nms_iou_threshold)) for each in attributes),
        topk=PER_CLASS,
    )


@dataclass(frozen=True)
class Switch:
    """One rule on its way: the state once it and all before it are turned, and the one in which it is turned alone."""

    field: str
    reached: Rules
    alone: Rules

    @property
    def cause(self) -> str:
        """What it is called."""
        return CAUSES[self.field][0]


def switches(start: Rules, end: Rules) -> tuple[Switch, ...]:
    """The rules in which the two differ, in order; the last one reaches `end`."""
    reached, found = start, []
    for name in CAUSES:
        value = getattr(end, name)
        if getattr(start, name) != value:
            reached = dataclasses.replace(reached, **{name: value})
            found.append(Switch(name, reached, dataclasses.replace(start, **{name: value})))
    return tuple(found)
