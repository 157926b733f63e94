"""[yolo], [Gaussian_yolo] and [region]: detection heads.

Their modules pass the logits on: decoding is in `decode`, the loss in the training step.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar

from traffic_yolo.darknet.finding import CfgFinding
from traffic_yolo.darknet.heads import UnevenGrid, YoloHead, read_gaussian_yolo_head, read_region_head, read_yolo_head
from traffic_yolo.darknet.lint_findings import SectionCase
from traffic_yolo.darknet.sections.base import LayerContext, LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying
from traffic_yolo.darknet.sections.refused_keys import IN_REGION
from traffic_yolo.darknet.sections.runtimes import DARKNET, OPENCV, Reads, read_by, words

if TYPE_CHECKING:
    from torch import nn


def _wrong_filters(case: SectionCase) -> Iterator[CfgFinding]:
    """The convolution before has other filters than anchors * (box numbers + classes)."""
    head, layers = case.section, case.subject.cfg.layers
    index = next(index for index, section in enumerate(layers) if section is head)
    before = layers[index - 1] if index else head
    if before.name != "convolutional":
        return
    num = head.get_int("num", 1)
    anchors = num if head.name == "region" else len(head.get_ints("mask")) or num
    # Box numbers and objectness: [Gaussian_yolo] has an uncertainty for each of the four.
    numbers = {"yolo": 5, "Gaussian_yolo": 9, "region": head.get_int("coords", 4) + 1}[head.name]
    classes, found = head.get_int("classes", 20), before.get_int("filters", 1)
    expected = anchors * (numbers + classes)
    if found != expected:
        yield case.subject.finding(
            case.rule,
            "error",
            before,
            f"filters={found} before [{head.name}] of line {head.line}: expected {expected} ="
            f" {anchors} anchors x ({numbers} + {classes} classes)",
            f"set filters={expected} (and train again), or mend mask, num and classes of [{head.name}]",
            key="filters",
        )


def _uneven_grid(case: SectionCase) -> Iterator[CfgFinding]:
    """A network size that is no multiple of the head's stride: Darknet warns and runs it."""
    if not isinstance(case.layer, HeadSection) or case.layer.head.uneven_grid is None:
        return
    head, net, grid = case.layer.head, case.subject.cfg.net, case.layer.head.uneven_grid
    (height, width), (rows, columns) = grid.input_hw, grid.grid_hw
    size, cells = f"{width} x {height} (width x height)", f"{columns} x {rows}"
    message = f"{size} is no multiple of the stride {head.stride}: {cells} cells, which Darknet warns of and runs"
    even = [-(-length // head.stride) * head.stride for length in (width, height)]
    advice = f"train with width={even[0]} and height={even[1]}: the last cells see what is no picture"
    key = "height" if height % head.stride else "width"
    yield case.subject.finding(case.rule, "warning", net, message, advice, key=key)


def _anchor_count(case: SectionCase) -> Iterator[CfgFinding]:
    """`num` that is not the number of anchors listed: OpenCV refuses it."""
    head = case.section
    listed, num = len(head.get_floats("anchors", last_comma=True)), head.get_int("num", 1)
    if head.has("anchors") and listed != 2 * num:
        yield case.finding(
            "error" if case.target == OPENCV else "warning",
            f"num={num}, and {listed} numbers in anchors: expected {2 * num}",
            f"set num={listed // 2}, or mend the anchors",
            key="num",
        )


def _nms_ignored(case: SectionCase) -> Iterator[CfgFinding]:
    """`nms_kind` and `beta_nms`, which only Darknet reads."""
    for key, harmless in (("nms_kind", "default"), ("beta_nms", "")):
        value = case.section.get_str(key, harmless)
        if case.target != DARKNET and value != harmless:
            yield case.finding(
                "warning",
                f"{case.target} does not read {key}={value}: its NMS compares plain IoU",
                "choose the IoU threshold by evaluation with NMS kind default",
                key=key,
            )


def _opencv_threshold(case: SectionCase) -> Iterator[CfgFinding]:
    """OpenCV's [yolo] layer sets scores below `thresh` to 0, by default 0.2."""
    if case.target == OPENCV and not case.section.has("thresh"):
        advice = "add thresh=0.001 to [yolo] to measure AP with it; Darknet passes the key over"
        yield case.finding("info", "opencv's [yolo] layer sets scores below 0.2 to 0", advice)


def _region_tree(case: SectionCase) -> Iterator[CfgFinding]:
    """A tree of classes, whose boxes only Darknet decodes."""
    if case.section.has("tree") and case.target != DARKNET:
        tree = case.section.get_str("tree", "")[:60]
        message = f"{case.target} does not read tree={tree}: its classes come out flat"
        yield case.finding("error", message, "only Darknet runs such a network", key="tree")


# parser.c parse_yolo and parse_gaussian_yolo read these alike.
_YOLO_KEYS = words(
    "anchors beta_nms classes cls_normalizer counters_per_class delta_normalizer ignore_thresh iou_loss iou_normalizer "
    "iou_thresh iou_thresh_kind jitter label_smooth_eps map mask max max_delta nms_kind num obj_normalizer "
    "objectness_smooth random resize scale_x_y truth_thresh"
)
_HEAD_RULES = (("uneven-grid", _uneven_grid), ("wrong-filters", _wrong_filters), ("anchor-count", _anchor_count))


def _ratio(before: int, after: int) -> Fraction:
    """The whole factor by which a layer makes its input smaller or larger: 2 of 45 and 23."""
    return Fraction(round(before / after)) if before >= after else Fraction(1, round(after / before))


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
        if (height * stride, width * stride) == (input_height, input_width):
            self.head = self._read_head(stride)
        else:
            across, down = self._strides(context)
            if across != down or across.denominator != 1:
                found = f"a grid of {height} x {width} for a network of {input_height} x {input_width} (height x width)"
                raise section.error(f"expected one stride across and down, found {found}")
            grid = UnevenGrid((input_height, input_width), (height, width))
            self.head = replace(self._read_head(int(across)), uneven_grid=grid)
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

    def _strides(self, context: LayerContext) -> tuple[Fraction, Fraction]:
        """Network pixels between two cells across and down, where the layers' lengths were rounded on the way."""
        across = down = Fraction(1)
        index = self.index - 1
        while index >= 0:
            layer = context.previous[index]
            strides: tuple[int, int] | None = getattr(layer, "blur_stride_yx", None)  # of windows, blurred or not
            across *= strides[1] if strides else _ratio(layer.input.width, layer.output.width)
            down *= strides[0] if strides else _ratio(layer.input.height, layer.output.height)
            index = layer.inputs[0]
        return across, down

    def tie_channels(self, inputs: Sequence[ChannelIds], tying: ChannelTying) -> ChannelIds:
        """Those read, fixed: they are anchors times box numbers and classes."""
        tying.fix(inputs[0], f"[{self.section.name}] reads it")
        if self.section.has("embedding_layer"):  # Darknet's training divides it by the anchors
            value = self.section.get_int("embedding_layer", 0)
            index = self.index + value if value < 0 else value
            if 0 <= index < self.index:
                tying.fix(tying.outputs[index], f"embedding_layer={value} of [{self.section.name}] names it")
        return inputs[0]

    def build(self) -> "nn.Module":
        """(B, anchors * entries, H, W), passed on."""
        from torch import nn

        return nn.Identity()


class YoloSection(HeadSection):
    """[yolo], versions 3 to 7."""

    keys = _YOLO_KEYS | words(
        "dets_for_show dets_for_track embedding_layer focal_loss new_coords show_details sim_thresh track_ciou_norm "
        "track_history_size"
    )
    foreign_keys = words("nms_threshold thresh")  # OpenCV's
    runtimes = read_by(
        "anchors",
        deepstream=Reads(required=("num", "classes")),
        opencv=Reads(required=("mask", "num", "classes")),
    )
    lint_rules = (*_HEAD_RULES, ("nms-ignored", _nms_ignored), ("opencv-threshold", _opencv_threshold))

    def _read_head(self, stride: int) -> YoloHead:
        return read_yolo_head(self.section, layer_index=self.index, stride=stride)


class GaussianYoloSection(HeadSection):
    """[Gaussian_yolo]: boxes with their uncertainties."""

    keys = _YOLO_KEYS | words("uc_normalizer yolo_point")
    runtimes = read_by("anchors")
    lint_rules = (*_HEAD_RULES, ("nms-ignored", _nms_ignored))

    def _read_head(self, stride: int) -> YoloHead:
        return read_gaussian_yolo_head(self.section, layer_index=self.index, stride=stride)


class RegionSection(HeadSection):
    """[region], version 2."""

    keys = words(
        "absolute anchors bias_match class_scale classes classfix coord_scale coords focal_loss jitter log map "
        "mask_scale max noobject_scale num object_scale random rescore resize softmax sqrt thresh tree"
    )
    refused_keys = IN_REGION
    foreign_keys = words("nms_threshold")  # OpenCV's
    runtimes = read_by(
        deepstream=Reads(required=("num", "classes", "anchors")),
        opencv=Reads(required=("num", "classes", "anchors")),
    )
    lint_rules = (*_HEAD_RULES, ("region-tree", _region_tree))

    def _read_head(self, stride: int) -> YoloHead:
        return read_region_head(self.section, layer_index=self.index, stride=stride)
