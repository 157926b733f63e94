"""The metrics of a trial: their names, what they mean, and the lines by which Katib's collector reads them."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from traffic_yolo.errors import OptionsError

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True)
class Metric:
    """One metric of a trial: in which direction it is better, what it is, and whether it can be below 0."""

    direction: Direction
    text: str
    is_signed: bool = False


# Names as Katib's collector can read them: letters, digits, '_' and '-'. A trial prints all of them.
METRICS: dict[str, Metric] = {
    "f1": Metric("maximize", "F1 of all classes together at the two thresholds"),
    "precision": Metric("maximize", "precision at the two thresholds"),
    "recall": Metric("maximize", "recall at the two thresholds"),
    "map": Metric("maximize", "COCO AP of what is above the confidence threshold"),
    "map50": Metric("maximize", "AP at IoU 0.50 of what is above the confidence threshold"),
    "recall_at_fppi": Metric("maximize", "recall at so many false positives a picture, not below the threshold"),
    "cost": Metric("minimize", "cost of missed and of false boxes, for each picture"),
}
# What a trial of the compression prints: AP on the validation split beside what the network costs
COMPRESSION_METRICS: dict[str, Metric] = {
    "map_at_latency": Metric(
        "maximize", "AP where the latency is within its limit, else minus the share beyond it", is_signed=True
    ),
    "map": Metric("maximize", "COCO AP"),
    "map50": Metric("maximize", "AP at IoU 0.50"),
    "latency_ms": Metric("minimize", "milliseconds a picture, predicted by the table of layers or measured"),
    "bflops": Metric("minimize", "BFLOPs a picture, as Darknet counts them"),
    "weights": Metric("minimize", "number of weights"),
}
METRIC_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def metric_format(metrics: Mapping[str, Metric]) -> str:
    """The expression of a collector for trials that print these metrics.

    Line by line: only a line that is nothing but `name=value` counts, never a progress bar or a sentence of the log.
    """
    sign = "-?" if any(metric.is_signed for metric in metrics.values()) else ""
    return rf"^({'|'.join(metrics)})=({sign}[0-9]+\.[0-9]+)$"


def metric_lines(metrics: Mapping[str, float]) -> list[str]:
    """`name=value` for each metric, as Katib's collector reads it from the log.

    Raises `OptionsError` for a name that its expression cannot read, or a value that is no finite number: Katib would
    count the whole trial as one without metrics, or take it for the best.
    """
    for name, value in metrics.items():
        if not METRIC_NAME.fullmatch(name):
            raise OptionsError(f"metric {name!r}: Katib reads letters, digits, '_' and '-' only")
        if not math.isfinite(value):
            raise OptionsError(f"metric {name}: {value} is no finite number; Katib could not read it")
    return [f"{name}={value:.6f}" for name, value in metrics.items()]
