"""`traffic_yolo.sweep`: the best thresholds from one inference, for a program."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.api.keywords import options_of
from traffic_yolo.metrics.operating_point import OperatingPoint
from traffic_yolo.result_view import ResultView, Viewable
from traffic_yolo.storage import AnyPath
from traffic_yolo.tuning.point_file import POINT_NAME
from traffic_yolo.tuning.tune import REPORT_NAME, TuningSummary, sweep_file
from traffic_yolo.tuning.tune_options import TuneOptions


@dataclass(frozen=True, repr=False)
class Swept(Viewable):
    """A choice of thresholds. `path`: its folder, which `load(…, operating_point=…)` takes; `summary`: the choice."""

    path: Path
    summary: TuningSummary

    @property
    def chosen(self) -> OperatingPoint:
        """The thresholds, and what they give on the pictures that they were chosen on."""
        return self.summary.chosen

    @property
    def confidence_threshold(self) -> float:
        """The chosen one; where classes have their own, `chosen.class_thresholds` has them."""
        return self.chosen.confidence_threshold

    @property
    def iou_threshold(self) -> float:
        """The chosen one of the NMS."""
        return self.chosen.iou_threshold

    @property
    def operating_point(self) -> Path:
        """The file with the choice."""
        return self.path / POINT_NAME

    @property
    def report(self) -> Path:
        """The report, an HTML page."""
        return self.path / REPORT_NAME

    def view(self) -> ResultView:
        """The choice in a few lines, and what it gives for each class."""
        own = self.chosen.class_thresholds or (self.confidence_threshold,) * len(self.chosen.per_class)
        rows = tuple(
            (one.class_name, threshold, one.precision, one.recall, one.f1, one.true_positives + one.false_negatives)
            for one, threshold in zip(self.chosen.per_class, own, strict=True)
        )
        first, *others = self.summary.text.splitlines()
        headers = ("class", "confidence threshold", "precision", "recall", "F1", "boxes")
        return ResultView(first, tuple(others), headers, rows)


def sweep(detections: AnyPath, truth: AnyPath, out: AnyPath, **options: Any) -> Swept:
    """Looks at every cell of a grid of thresholds from one file of raw detections, and writes the choice to `out`.

    `detections`: an `.npz` of `detect` or of an evaluation (`Evaluated.detections`); `truth`: the COCO file of the same
    pictures (`Converted.truth`). `options`: any of the command `sweep` (docs/options.md) by its name with underscores:
    `objective="cost"`, `per_class=True`; lists of numbers will do for `confidences` and `iou_thresholds`. Raises what
    the command refuses, each a `TrafficYoloError` of one line.
    """
    (chosen,) = options_of("sweep", options, TuneOptions)
    summary = sweep_file(detections, truth, out, chosen.sweep())
    return Swept(summary.path, summary)
