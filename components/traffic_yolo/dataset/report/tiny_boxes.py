"""Which boxes are too small for the model to learn: judged in network pixels, ignored, never deleted.

A box of 12 x 8 pixels in a 1920 x 1080 picture is 2.6 x 3.1 pixels in a 416 x 416 network: less than a cell of its
finest head's stride can tell. Such a box stays in the COCO file with `ignore` and the reason in its attributes; the
model is neither rewarded for finding it nor punished for missing it.
"""

from dataclasses import dataclass, replace

from traffic_yolo.dataset.records import Annotation, Frame
from traffic_yolo.errors import OptionsError

RESIZE_RULES = ("stretch", "letterbox")
REASON = "ignore_reason"  # key of an annotation's attributes
TINY = "tiny"


@dataclass(frozen=True)
class TinyBoxPolicy:
    """Boxes whose shorter side is below `min_side_px` at the network's input are ignored.

    `network_wh` is the input in pixels; `resize_rule` how pictures get there: "stretch" changes the aspect, "letterbox"
    keeps it.
    """

    network_wh: tuple[int, int]
    min_side_px: float
    resize_rule: str = "stretch"

    def __post_init__(self) -> None:
        if min(self.network_wh) < 1:
            raise OptionsError(f"network size: expected pixels above 0; found {self.network_wh}")
        if self.min_side_px <= 0:
            raise OptionsError(f"min_box_px: expected a number above 0; found {self.min_side_px}")
        if self.resize_rule not in RESIZE_RULES:
            raise OptionsError(f"resize_rule: expected one of {', '.join(RESIZE_RULES)}; found {self.resize_rule!r}")

    def network_size(self, annotation: Annotation, image_wh: tuple[int, int]) -> tuple[float, float]:
        """(width, height) of the box in network pixels."""
        across, along = (network / side for network, side in zip(self.network_wh, image_wh, strict=True))
        if self.resize_rule == "letterbox":
            across = along = min(across, along)
        return annotation.xywh[2] * across, annotation.xywh[3] * along

    def change(self, frame: Frame) -> Frame:
        """The frame with its tiny boxes ignored; boxes that are ignored already, and crowds, stay as they are."""
        changed = [self._judged(annotation, (frame.width, frame.height)) for annotation in frame.annotations]
        if all(new is old for new, old in zip(changed, frame.annotations, strict=True)):
            return frame
        return replace(frame, annotations=tuple(changed))

    def _judged(self, annotation: Annotation, image_wh: tuple[int, int]) -> Annotation:
        width, height = self.network_size(annotation, image_wh)
        if not annotation.counts or min(width, height) >= self.min_side_px:
            return annotation
        reason = f"{TINY}: {width:.1f}x{height:.1f} network pixels"
        return replace(annotation, ignore=True, attributes={**annotation.attributes, REASON: reason})
