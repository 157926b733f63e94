"""What COCO's numbers depend on besides detections and truth: IoU and recall thresholds, areas, limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.errors import OptionsError

IOU_THRESHOLDS = tuple(np.linspace(0.5, 0.95, 10).tolist())  # as pycocotools makes them, to the last bit
ENGINES = ("fast", "pycocotools")
COCO_MAX_DETECTIONS = 100  # COCO's AP looks at no more detections of a class in a picture
RECALL_THRESHOLDS = tuple(np.linspace(0.0, 1.0, 101).tolist())
ALL_AREAS = "all"
EVERY_AREA = (0.0, 1e5**2)
# COCO's three sizes; `coco_eval` of pycocotools lists them in this order.
COCO_AREAS: Mapping[str, tuple[float, float]] = {
    ALL_AREAS: EVERY_AREA,
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}


@dataclass(frozen=True)
class CocoSettings:
    """The choices that pycocotools calls `params`.

    `max_detections`: at most so many detections of a class in a picture, for each of the recalls; they rise, and the
    last is that of AP. `areas`: name -> (least, most) in square pixels, both included; the first must be "all".
    `pixels`: "picture" or "network", the pixels in which areas are measured. `iou_thresholds` rise; AP50 and AP75 need
    0.5 and 0.75 among them. `recall_thresholds` rise.

    Raises `OptionsError` for values that make no sense.
    """

    max_detections: tuple[int, ...] = (1, 10, 100)
    areas: Mapping[str, tuple[float, float]] = field(default_factory=lambda: dict(COCO_AREAS))
    pixels: str = "picture"
    iou_thresholds: tuple[float, ...] = IOU_THRESHOLDS
    recall_thresholds: tuple[float, ...] = RECALL_THRESHOLDS

    def __post_init__(self) -> None:
        if not self.max_detections or min(self.max_detections) < 1:
            raise OptionsError(f"max_detections is {_shown(self.max_detections)}, expected at least 1")
        for name in ("max_detections", "iou_thresholds", "recall_thresholds"):
            values = getattr(self, name)
            if not values or any(later <= earlier for earlier, later in pairwise(values)):
                raise OptionsError(f"{name}: expected rising numbers, found {_shown(values)}")
        for name in ("iou_thresholds", "recall_thresholds"):
            if not all(0 <= value <= 1 for value in getattr(self, name)):
                raise OptionsError(f"{name}: expected numbers from 0 to 1, found {_shown(getattr(self, name))}")
        if next(iter(self.areas), None) != ALL_AREAS:
            raise OptionsError(f"areas: the first must be {ALL_AREAS!r}, found {', '.join(self.areas) or 'none'}")
        for name, (least, most) in self.areas.items():
            if not 0 <= least < most:
                raise OptionsError(f"area {name}: expected 0 <= least < most, found {least:g} to {most:g}")
        if self.pixels not in ("picture", "network"):
            raise OptionsError(f"pixels is {self.pixels!r}, expected 'picture' or 'network'")

    def iou_index(self, iou: float) -> int | None:
        """Where `iou` stands among `iou_thresholds`, None where it does not."""
        near = np.flatnonzero(np.abs(np.array(self.iou_thresholds) - iou) < 1e-9)
        return int(near[0]) if len(near) else None


def network_area_scale(
    image_hw: NDArray[np.int32], network_hw: tuple[int, int], *, letterbox: bool
) -> NDArray[np.float64]:
    """Square network pixels for a square picture pixel, of pictures (M, 2) height and width: (M,)."""
    ratios = np.array(network_hw, np.float64) / image_hw
    scale: NDArray[np.float64] = ratios.min(axis=1) ** 2 if letterbox else ratios.prod(axis=1)
    return scale


def _shown(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values) or "none"
