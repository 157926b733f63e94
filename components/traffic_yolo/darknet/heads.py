"""What a head's section says: anchors, classes, decoding, and the settings of its loss and of box suppression.

`YoloHead` is the interface of all heads; [Gaussian_yolo] and [region] add what they have more.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from traffic_yolo.darknet.cfg import Section

IOU_KINDS = ("iou", "giou", "diou", "ciou")
NMS_KINDS = ("default", "greedynms", "diounms")
YOLO_POINTS = {"center": 0.0, "left_top": 0.5, "right_bottom": -0.5}  # sizes from the predicted point to the centre
MAX_ANCHOR = 1_000_000  # pixels; larger ones are slips, and leave no digits of a float32 for the box
# Classes in an order of their own, and what pulls the embeddings of one track together.
UNTRAINED_KEYS = ("map", "embedding_layer")
MAX_CLASSES = 100_000  # yolo9000 has 9,418


@dataclass(frozen=True)
class UnevenGrid:
    """A head's cells where the network's size is no multiple of its stride: 23 x 40 of 720 x 1280 at stride 32.

    Both (height, width). Darknet warns of such a size and runs it.
    """

    input_hw: tuple[int, int]
    grid_hw: tuple[int, int]


@dataclass(frozen=True)
class YoloHead:
    """One [yolo] section. Names and defaults are Darknet's (parser.c parse_yolo).

    `anchors` are all (width, height) in network pixels and `mask` the indices that this head predicts; `stride` is
    network pixels per cell; `max_delta` is infinity where the cfg sets none; `max_boxes` is the most truths a picture
    may have. Of an anchor's channels the first `objectness_entry` say the box, then come objectness and classes.
    `show_details` chooses what Darknet reports as its loss; `untrained_keys` are keys the section has for kinds of
    training that nothing here does. `uneven_grid` is set where the cfg's size is no multiple of the stride.
    """

    section_name: ClassVar[str] = "yolo"
    objectness_entry: ClassVar[int] = 4

    layer_index: int
    anchors: tuple[tuple[float, float], ...]
    mask: tuple[int, ...]
    num_classes: int
    stride: int
    scale_x_y: float = 1.0
    new_coords: bool = False
    ignore_thresh: float = 0.5
    truth_thresh: float = 1.0
    iou_thresh: float = 1.0
    iou_thresh_kind: str = "iou"
    iou_loss: str = "mse"
    iou_normalizer: float = 0.75
    obj_normalizer: float = 1.0
    cls_normalizer: float = 1.0
    delta_normalizer: float = 1.0
    max_delta: float = math.inf
    objectness_smooth: bool = False
    label_smooth_eps: float = 0.0
    focal_loss: bool = False
    counters_per_class: tuple[int, ...] = ()
    nms_kind: str = "default"
    beta_nms: float = 0.6
    jitter: float = 0.2
    resize: float = 1.0
    random: float = 0.0
    max_boxes: int = 200
    show_details: bool = True
    untrained_keys: tuple[str, ...] = ()
    uneven_grid: UnevenGrid | None = None

    def grid_hw(self, input_hw: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of cells for a network input of `input_hw` (height, width)."""
        if self.uneven_grid is not None and self.uneven_grid.input_hw == input_hw:
            return self.uneven_grid.grid_hw
        return input_hw[0] // self.stride, input_hw[1] // self.stride

    @property
    def num_anchors(self) -> int:
        """Boxes per cell."""
        return len(self.mask)

    @property
    def num_entries(self) -> int:
        """Channels of one anchor: box numbers, objectness, classes."""
        return self.objectness_entry + 1 + self.num_classes

    @property
    def num_channels(self) -> int:
        """Channels entering the section: anchors * (box numbers + objectness + classes)."""
        return len(self.mask) * self.num_entries

    @property
    def centre_shift(self) -> float:
        """What to add to a predicted point, in box sizes, to have the box's centre."""
        return 0.0

    @property
    def mask_anchors(self) -> tuple[tuple[float, float], ...]:
        """(width, height) in network pixels of this head's own anchors, in mask order."""
        return tuple(self.anchors[index] for index in self.mask)


@dataclass(frozen=True)
class GaussianYoloHead(YoloHead):
    """One [Gaussian_yolo] section: each of the four box numbers is followed by its uncertainty.

    `yolo_point` is what the first two box numbers place: center, left_top or right_bottom.
    """

    section_name: ClassVar[str] = "Gaussian_yolo"
    objectness_entry: ClassVar[int] = 8

    uc_normalizer: float = 1.0
    yolo_point: str = "center"

    @property
    def centre_shift(self) -> float:
        """See `YoloHead`."""
        return YOLO_POINTS[self.yolo_point]


@dataclass(frozen=True)
class RegionHead(YoloHead):
    """One [region] section (YOLOv2). `anchors` are in network pixels here too, though its cfg has them in cells.

    With `softmax` an anchor's classes share one probability; without it their values are taken as they come. `tree`
    names a file with a hierarchy of the classes. Fields of [yolo] that [region] has no key for keep their defaults.
    """

    section_name: ClassVar[str] = "region"

    softmax: bool = False
    classfix: int = 0
    tree: str = ""
    bias_match: bool = False
    rescore: bool = False
    thresh: float = 0.5
    coord_scale: float = 1.0
    object_scale: float = 1.0
    noobject_scale: float = 1.0
    class_scale: float = 1.0


def read_yolo_head(section: Section, *, layer_index: int, stride: int) -> YoloHead:
    """The head of a [yolo] section; raises `DarknetFormatError` for a mask outside the anchors or an unknown word."""
    return YoloHead(
        **_common_keys(section, layer_index=layer_index, stride=stride),
        new_coords=section.get_int("new_coords", 0) != 0,
        focal_loss=section.get_int("focal_loss", 0) != 0,
        show_details=section.get_int("show_details", 1) != 0,
        untrained_keys=tuple(key for key in UNTRAINED_KEYS if section.has(key)),
    )


def read_gaussian_yolo_head(section: Section, *, layer_index: int, stride: int) -> GaussianYoloHead:
    """The head of a [Gaussian_yolo] section; raises as `read_yolo_head` does."""
    return GaussianYoloHead(
        **_common_keys(section, layer_index=layer_index, stride=stride),
        uc_normalizer=section.get_float("uc_normalizer", 1.0),
        yolo_point=_read_word(section, "yolo_point", "center", tuple(YOLO_POINTS)),
    )


def read_region_head(section: Section, *, layer_index: int, stride: int) -> RegionHead:
    """The head of a [region] section; raises as `read_yolo_head` does."""
    num = section.get_int("num", 1, at_least=1, at_most=10_000)
    anchors = tuple((width * stride, height * stride) for width, height in _read_pairs(section, num))
    if len(anchors) < num:
        raise section.error(f"anchors: expected {num} pairs (num={num}), found {len(anchors)}", key="anchors")
    return RegionHead(
        layer_index=layer_index,
        anchors=anchors,
        mask=tuple(range(num)),
        num_classes=section.get_int("classes", 20, at_least=1, at_most=MAX_CLASSES),
        stride=stride,
        focal_loss=section.get_int("focal_loss", 0) != 0,
        jitter=section.get_float("jitter", 0.2),
        resize=section.get_float("resize", 1.0),
        random=section.get_float("random", 0.0),
        max_boxes=section.get_int("max", 200, at_least=1),
        softmax=section.get_int("softmax", 0) != 0,
        classfix=section.get_int("classfix", 0),
        tree=section.get_str("tree", ""),
        bias_match=section.get_int("bias_match", 0) != 0,
        rescore=section.get_int("rescore", 0) != 0,
        thresh=section.get_float("thresh", 0.5),
        coord_scale=section.get_float("coord_scale", 1.0),
        object_scale=section.get_float("object_scale", 1.0),
        noobject_scale=section.get_float("noobject_scale", 1.0),
        class_scale=section.get_float("class_scale", 1.0),
    )


def _common_keys(section: Section, *, layer_index: int, stride: int) -> dict[str, Any]:
    """The fields that [yolo] and [Gaussian_yolo] read alike."""
    num_classes = section.get_int("classes", 20, at_least=1, at_most=MAX_CLASSES)
    anchors, mask = _read_anchors(section)
    counters = section.get_ints("counters_per_class")
    if counters and len(counters) != num_classes:
        found = f"expected one number for each of {num_classes} classes, found {len(counters)}"
        raise section.error(f"counters_per_class: {found}", key="counters_per_class")
    return {
        "layer_index": layer_index,
        "anchors": anchors,
        "mask": mask,
        "num_classes": num_classes,
        "stride": stride,
        "scale_x_y": section.get_float("scale_x_y", 1.0),
        "ignore_thresh": section.get_float("ignore_thresh", 0.5),
        "truth_thresh": section.get_float("truth_thresh", 1.0),
        "iou_thresh": section.get_float("iou_thresh", 1.0),
        "iou_thresh_kind": _read_word(section, "iou_thresh_kind", "iou", IOU_KINDS),
        "iou_loss": _read_word(section, "iou_loss", "mse", ("mse", *IOU_KINDS)),
        "iou_normalizer": section.get_float("iou_normalizer", 0.75),
        "obj_normalizer": section.get_float("obj_normalizer", 1.0),
        "cls_normalizer": section.get_float("cls_normalizer", 1.0),
        "delta_normalizer": section.get_float("delta_normalizer", 1.0),
        "max_delta": section.get_float("max_delta", math.inf),
        "objectness_smooth": section.get_int("objectness_smooth", 0) != 0,
        "label_smooth_eps": section.get_float("label_smooth_eps", 0.0),
        "counters_per_class": counters,
        "nms_kind": _read_word(section, "nms_kind", "default", NMS_KINDS),
        "beta_nms": section.get_float("beta_nms", 0.6),
        "jitter": section.get_float("jitter", 0.2),
        "resize": section.get_float("resize", 1.0),
        "random": section.get_float("random", 0.0),
        "max_boxes": section.get_int("max", 200, at_least=1),
    }


def _read_anchors(section: Section) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
    """All anchors and the mask, checked against each other. Without `mask` the head predicts every anchor."""
    num = section.get_int("num", 1, at_least=1, at_most=10_000)
    mask = section.get_ints("mask", tuple(range(num)))
    anchors = _read_pairs(section, num)
    shown = f"({', '.join(map(str, mask[:20]))}{',' if len(mask) == 1 else ', ...' if len(mask) > 20 else ''})"
    if len(set(mask)) != len(mask):
        raise section.error(f"mask: expected each anchor once, found {shown}", key="mask")
    if min(mask) < 0 or max(mask) >= len(anchors):
        listed = len(section.get_floats("anchors", last_comma=True)) // 2
        limit = f"num={num} and {listed} anchors"
        raise section.error(f"mask: expected numbers from 0 to {len(anchors) - 1} ({limit}), found {shown}", key="mask")
    return anchors, mask


def _read_pairs(section: Section, num: int) -> tuple[tuple[float, float], ...]:
    """The first `num` (width, height) of the key anchors."""
    # parser.c: parse_yolo and parse_region take no more than 2 * num; parse_gaussian_yolo writes past its array
    values = section.get_floats("anchors", last_comma=section.name != "Gaussian_yolo")
    if len(values) % 2:
        found = f"expected pairs of width,height, found {len(values)} numbers"
        reading = "without blanks, as Darknet reads them: is a comma missing?"
        raise section.error(f"anchors: {found} ({reading})", key="anchors")
    anchors = tuple(zip(values[::2], values[1::2], strict=True))[:num]
    wrong = next((length for anchor in anchors for length in anchor if not 0 < length <= MAX_ANCHOR), None)
    if wrong is not None:
        expected = f"expected widths and heights above 0 and at most {MAX_ANCHOR}"
        raise section.error(f"anchors: {expected}, found {wrong:g}", key="anchors")
    return anchors


def _read_word(section: Section, key: str, default: str, known: tuple[str, ...]) -> str:
    word = section.get_str(key, default)
    if word not in known:
        raise section.error(f"{key}: expected one of {', '.join(known)}, found {word[:40]!r}", key=key)
    return word
