"""Which detections are reported: the thresholds and the kind of non-maximum suppression; loads nothing heavy."""

from dataclasses import dataclass

from traffic_yolo.errors import OptionsError
from traffic_yolo.options import check_options, option

NMS_KINDS = ("default", "greedynms", "diounms")


@dataclass(frozen=True)
class NmsOptions:
    """Which detections are reported.

    A score must be strictly above `confidence_threshold`. Of two boxes of one class that overlap by more than
    `iou_threshold` the weaker goes; the overlap is the IoU for kind "default", and for "greedynms" and "diounms" the
    IoU less a penalty for distant centres, (d² / c²) ** exponent: 0.6 for greedynms, `beta` for diounms. Of what is
    left, the `max_detections` with the highest scores stay, for each picture, all classes together.

    Raises `OptionsError` for a value out of range.
    """

    confidence_threshold: float = option(
        0.25, "Detections with a score not above this are dropped; [0, 1).", headline=True
    )
    iou_threshold: float = option(
        0.45, "NMS: overlap above which the weaker box of a class goes; (0, 1].", headline=True
    )
    kind: str = option("default", "Darknet's nms_kind.", choices=NMS_KINDS)
    beta: float = option(0.6, "Darknet's beta_nms, (0, 10]; used by diounms only.")
    max_detections: int = option(300, "At most this many detections for a picture.", least=1)

    def __post_init__(self) -> None:
        check_options(self)
        if not 0 <= self.confidence_threshold < 1:
            raise OptionsError(f"confidence_threshold: expected a number in [0, 1), found {self.confidence_threshold}")
        if not 0 < self.iou_threshold <= 1:
            raise OptionsError(f"iou_threshold: expected a number in (0, 1], found {self.iou_threshold}")
        if not 0 < self.beta <= 10:
            raise OptionsError(f"beta: expected a number in (0, 10], found {self.beta}")
