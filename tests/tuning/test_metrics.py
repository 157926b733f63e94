"""Metric lines for Katib."""

import pytest

from traffic_yolo.errors import OptionsError
from traffic_yolo.tuning.metrics import metric_lines


def test_metric_lines_are_name_and_value() -> None:
    assert metric_lines({"f1": 0.5, "map50": 1 / 3}) == ["f1=0.500000", "map50=0.333333"]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"mAP@0.5": 0.1}, r"metric 'mAP@0\.5': Katib reads letters, digits"),
        ({"f1": float("nan")}, "metric f1: nan is no finite number"),
        ({"f1": float("inf")}, "metric f1: inf is no finite number"),
    ],
)
def test_lines_that_katib_could_not_read_are_refused(metrics: dict[str, float], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        metric_lines(metrics)
