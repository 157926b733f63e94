"""What a [yolo] section says: anchors, classes, decoding, and the settings of its loss and of box suppression."""

import math
from dataclasses import dataclass

from traffic_yolo.darknet.cfg import Section

IOU_KINDS = ("iou", "giou", "diou", "ciou")
NMS_KINDS = ("default", "greedynms", "diounms")


@dataclass(frozen=True)
class YoloHead:
    """One [yolo] section. Names and defaults are Darknet's (parser.c parse_yolo).

    `anchors` are all (width, height) in network pixels and `mask` the indices that this head predicts; `stride` is
    network pixels per cell; `max_delta` is infinity where the cfg sets none; `max_boxes` is the most truths a picture
    may have.
    """

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

    @property
    def num_anchors(self) -> int:
        """Boxes per cell."""
        return len(self.mask)

    @property
    def num_channels(self) -> int:
        """Channels entering the section: anchors * (4 box numbers + objectness + classes)."""
        return len(self.mask) * (5 + self.num_classes)

    @property
    def mask_anchors(self) -> tuple[tuple[float, float], ...]:
        """(width, height) in network pixels of this head's own anchors, in mask order."""
        return tuple(self.anchors[index] for index in self.mask)


def read_yolo_head(section: Section, *, layer_index: int, stride: int) -> YoloHead:
    """The head of a [yolo] section; raises `DarknetFormatError` for a mask outside the anchors or an unknown word."""
    num_classes = section.get_int("classes", 20, at_least=1, at_most=100_000)
    anchors, mask = _read_anchors(section)
    max_delta = section.get_float("max_delta", math.inf)
    counters = section.get_ints("counters_per_class")
    if counters and len(counters) != num_classes:
        found = f"expected one number for each of {num_classes} classes, found {len(counters)}"
        raise section.error(f"counters_per_class: {found}", key="counters_per_class")
    return YoloHead(
        layer_index=layer_index,
        anchors=anchors,
        mask=mask,
        num_classes=num_classes,
        stride=stride,
        scale_x_y=section.get_float("scale_x_y", 1.0),
        new_coords=section.get_int("new_coords", 0) != 0,
        ignore_thresh=section.get_float("ignore_thresh", 0.5),
        truth_thresh=section.get_float("truth_thresh", 1.0),
        iou_thresh=section.get_float("iou_thresh", 1.0),
        iou_thresh_kind=_read_word(section, "iou_thresh_kind", "iou", IOU_KINDS),
        iou_loss=_read_word(section, "iou_loss", "mse", ("mse", *IOU_KINDS)),
        iou_normalizer=section.get_float("iou_normalizer", 0.75),
        obj_normalizer=section.get_float("obj_normalizer", 1.0),
        cls_normalizer=section.get_float("cls_normalizer", 1.0),
        delta_normalizer=section.get_float("delta_normalizer", 1.0),
        max_delta=max_delta,
        objectness_smooth=section.get_int("objectness_smooth", 0) != 0,
        label_smooth_eps=section.get_float("label_smooth_eps", 0.0),
        focal_loss=section.get_int("focal_loss", 0) != 0,
        counters_per_class=counters,
        nms_kind=_read_word(section, "nms_kind", "default", NMS_KINDS),
        beta_nms=section.get_float("beta_nms", 0.6),
        jitter=section.get_float("jitter", 0.2),
        resize=section.get_float("resize", 1.0),
        random=section.get_float("random", 0.0),
        max_boxes=section.get_int("max", 200, at_least=1),
    )


def _read_anchors(section: Section) -> tuple[tuple[tuple[float, float], ...], tuple[int, ...]]:
    """All anchors and the mask, checked against each other. Without `mask` the head predicts every anchor."""
    num = section.get_int("num", 1, at_least=1, at_most=10_000)
    mask = section.get_ints("mask", tuple(range(num)))
    values = section.get_floats("anchors")
    if len(values) % 2:
        raise section.error(f"anchors: expected pairs of width,height, found {len(values)} numbers", key="anchors")
    anchors = tuple(zip(values[::2], values[1::2], strict=True))[:num]
    if min((min(anchor) for anchor in anchors), default=1.0) <= 0:
        raise section.error("anchors: expected widths and heights above 0", key="anchors")
    if len(set(mask)) != len(mask):
        raise section.error(f"mask: expected each anchor once, found {mask}", key="mask")
    if min(mask) < 0 or max(mask) >= len(anchors):
        limit = f"num={num} and {len(values) // 2} anchors"
        raise section.error(f"mask: expected numbers from 0 to {len(anchors) - 1} ({limit}), found {mask}", key="mask")
    return anchors, mask


def _read_word(section: Section, key: str, default: str, known: tuple[str, ...]) -> str:
    word = section.get_str(key, default)
    if word not in known:
        raise section.error(f"{key}: expected one of {', '.join(known)}, found {word[:40]!r}", key=key)
    return word
