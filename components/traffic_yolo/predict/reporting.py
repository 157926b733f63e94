"""Which of a model's raw detections are reported: its operating point, and what a caller puts in its place."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from traffic_yolo.detection.deployed_thresholds import DeployedThresholds
from traffic_yolo.detection.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.messages import shown_names
from traffic_yolo.predict.options import ModelOptions, parse_class_thresholds


@dataclass(frozen=True)
class Reporting:
    """The NMS, and a confidence threshold for each class (C,), in [0, 1). `origin`: where they come from, for people.

    `nms.confidence_threshold` is the lowest of the thresholds.
    """

    nms: NmsOptions
    thresholds: tuple[float, ...]
    origin: str

    @classmethod
    def chosen(
        cls, classes: tuple[str, ...], point: Mapping[str, Any] | None, options: ModelOptions, *, where: str
    ) -> "Reporting":
        """What the options say; else the operating point `point` of the card `where`; else Darknet's defaults.

        A `confidence_threshold` of the options holds for all classes but those that the options name, so it puts the
        point's own class thresholds aside. Raises `OptionsError` for a class that the model does not have,
        `EvaluationError` for an operating point that is none.
        """
        nms, by_class, origin = NmsOptions(), {}, "defaults, for the model states no operating point"
        if point is not None:
            deployed = DeployedThresholds.of(point, classes, where=where)
            nms, by_class, origin = deployed.nms, dict(deployed.by_class), f"the operating point {where}"
            if beyond := [name for name, value in by_class.items() if not 0 <= value < 1]:
                raise EvaluationError(f"{where}: class_thresholds: {beyond[0]}: expected a number in [0, 1)")
        given = parse_class_thresholds(options.class_thresholds)
        if unknown := [name for name in given if name not in classes]:
            raise OptionsError(
                f"class_thresholds: {unknown[0]!r} is no class of the model; it has {shown_names(classes)}"
            )
        confidence = nms.confidence_threshold
        if options.confidence_threshold is not None:
            confidence, by_class = options.confidence_threshold, {}
        by_class = {**by_class, **given}
        thresholds = tuple(by_class.get(name, confidence) for name in classes)
        changed = options.confidence_threshold is not None or given or options.iou_threshold is not None
        nms = dataclasses.replace(
            nms,
            confidence_threshold=min(thresholds),
            iou_threshold=nms.iou_threshold if options.iou_threshold is None else options.iou_threshold,
        )
        return cls(nms, thresholds, f"{origin}, changed by options" if changed else origin)

    def reported(self, raw: RawDetections) -> Detections:
        """What is reported of `raw`, picture by picture, in a picture by falling score.

        NMS works class by class, and a box below its class's threshold suppresses none above it: so NMS runs once at
        the lowest threshold. Only then are the strongest `max_detections` of a picture taken: boxes that their class's
        threshold drops must not have pushed others out.
        """
        unlimited = dataclasses.replace(self.nms, max_detections=max(len(raw.scores), 1))
        found = non_maximum_suppression(raw, unlimited)
        found = found.select(found.scores > np.array(self.thresholds, np.float32)[found.class_ids])
        if not len(found):
            return found
        begins = np.flatnonzero(np.append(True, np.diff(found.image_ids) != 0))
        ranks = np.arange(len(found)) - np.repeat(begins, np.diff(np.append(begins, len(found))))
        return found.select(ranks < self.nms.max_detections)

    def described(self, classes: tuple[str, ...]) -> str:
        """The thresholds in a few words."""
        if len(set(self.thresholds)) == 1:
            confidence = f"{self.thresholds[0]:g}"
        else:
            confidence = ", ".join(f"{name} {each:g}" for name, each in zip(classes, self.thresholds, strict=True))
        return f"confidence above {confidence}; NMS at IoU {self.nms.iou_threshold:g}; {self.origin}"
