"""What a user may choose about the choice of thresholds, as the texts of flags and forms."""

from dataclasses import dataclass

from traffic_yolo.metrics.objective import LEAST_TRUTHS, Objective, ObjectiveOptions, parse_class_costs
from traffic_yolo.options import check_options, option
from traffic_yolo.tuning.sweep_options import METHODS, SweepOptions, parse_grid, parse_kinds, parse_limits

_GRID = "Numbers with commas, or FROM:TO:COUNT;"


@dataclass(frozen=True)
class TuneOptions(ObjectiveOptions):
    """One search for thresholds. Raises `OptionsError` for values that make no sense; `sweep` checks the texts."""

    per_class: bool = option(
        False, "Also choose a confidence threshold for each class with enough true boxes.", headline=True
    )
    class_costs: str = option("", "cost: CLASS=MISS:FALSE_ALARM,... in place of the shared two.")
    confidences: str = option("", f"Confidence thresholds. {_GRID} empty: 0.01 to 0.99.")
    iou_thresholds: str = option("", f"NMS IoU thresholds. {_GRID} empty: 0.25 to 0.85.")
    kinds: str = option("", "NMS kinds with commas, or all; empty: that of the evaluation.")
    topk: str = option("", "Most detections of a picture, with commas; empty: that of the evaluation.")
    method: str = option(
        "grid",
        "grid, or adaptive: refine the IoU thresholds around the best, then take the best of all confidences.",
        choices=METHODS,
    )
    least_truths: int = option(
        LEAST_TRUTHS, "per_class: a class of fewer true boxes keeps the shared threshold.", least=0
    )

    def __post_init__(self) -> None:
        check_options(self)
        self.sweep()

    def sweep(self) -> SweepOptions:
        """The search that the texts come to."""
        grids = {
            name: parse_grid(text, name=name)
            for name in ("confidences", "iou_thresholds")
            if (text := getattr(self, name))
        }
        return SweepOptions(
            objective=Objective(
                self.objective,
                self.false_positives_per_picture,
                self.miss_cost,
                self.false_alarm_cost,
                parse_class_costs(self.class_costs),
            ),
            **grids,
            kinds=parse_kinds(self.kinds),
            limits=parse_limits(self.topk),
            method=self.method,
            per_class=self.per_class,
            least_truths=self.least_truths,
        )
