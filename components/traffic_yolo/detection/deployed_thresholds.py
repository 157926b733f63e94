"""The thresholds that a model is deployed with, as an operating point (the step tune, a model card) states them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traffic_yolo.detection.nms_options import NmsOptions
from traffic_yolo.errors import EvaluationError
from traffic_yolo.messages import shown_names


@dataclass(frozen=True)
class DeployedThresholds:
    """The NMS with the confidence threshold of all classes, and `by_class`, what single ones have in its place."""

    nms: NmsOptions
    by_class: Mapping[str, float]

    @classmethod
    def of(cls, point: Any, classes: Sequence[str], *, where: str) -> "DeployedThresholds":
        """Reads an operating point's values; the NMS' kind, beta and detection limit where it states them.

        Raises `EvaluationError` naming `where` for one without the two thresholds, and for a class threshold that is no
        number or of none of `classes`; `OptionsError` for values out of range.
        """
        try:
            values: dict[str, Any] = {name: float(point[name]) for name in ("confidence_threshold", "iou_threshold")}
            stated = dict(point.get("nms") or {})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvaluationError(
                f"{where}: not an operating point; expected the numbers confidence_threshold and iou_threshold"
            ) from error
        try:
            by_class = {str(name): float(value) for name, value in (point.get("class_thresholds") or {}).items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise EvaluationError(f"{where}: class_thresholds: expected a number for each class name") from error
        if unknown := sorted(set(by_class) - set(classes)):
            known = shown_names(classes)
            raise EvaluationError(f"{where}: class_thresholds: {unknown[0]!r} is no class of the model; it has {known}")
        values |= {name: stated[name] for name in ("kind", "beta", "max_detections") if name in stated}
        return cls(NmsOptions(**values), by_class)
