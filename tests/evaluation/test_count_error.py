"""Counting errors by hand."""

import numpy as np
import pytest

from traffic_yolo.detection.nms import Detections
from traffic_yolo.evaluation.count_error import count_errors
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth


def case() -> tuple[Detections, GroundTruth]:
    """Site a: picture 1 has two cars and reports three (one more in an ignore region, not counted); picture 2 has a bus
    and reports a car there. Site b: picture 3 has nothing and reports nothing.
    """
    boxes = [(0, 0, 10, 10), (50, 0, 10, 10), (200, 200, 50, 50), (0, 0, 20, 20)]
    truth = GroundTruth(
        classes=("car", "bus"),
        image_ids=np.array([1, 2, 3]),
        truth_pictures=np.array([0, 0, 0, 1]),
        boxes_xywh=np.array(boxes, np.float64),
        class_ids=np.array([0, 0, ALL_CLASSES, 1]),
        areas=np.full(4, 100.0),
        ignore=np.array([False, False, True, False]),
    )
    rows = [
        (1, (0, 0, 10, 10)),
        (1, (50, 0, 60, 10)),
        (1, (90, 90, 99, 99)),
        (1, (210, 210, 220, 220)),
        (2, (0, 0, 20, 20)),
    ]
    detections = Detections(
        np.array([row[0] for row in rows]),
        np.array([row[1] for row in rows], np.float32),
        np.linspace(0.9, 0.5, len(rows)).astype(np.float32),
        np.zeros(len(rows), np.int64),
    )
    return detections, truth


def test_count_errors_by_hand() -> None:
    errors = count_errors(*case(), sites=["a", "a", "b"])
    assert (errors.overall.mean, errors.overall.mean_absolute) == pytest.approx((1 / 3, 1 / 3))
    assert errors.overall.exact == pytest.approx(2 / 3)  # the bus reported as a car is one vehicle all the same
    assert errors.overall.true_per_picture == pytest.approx(1)
    car, bus = errors.per_class
    assert (car.name, car.mean, car.mean_absolute) == ("car", pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (bus.mean, bus.mean_absolute, bus.exact) == pytest.approx((-1 / 3, 1 / 3, 2 / 3))
    assert [(site.name, site.pictures, site.mean) for site in errors.per_site] == [("a", 2, 0.5), ("b", 1, 0.0)]


def test_no_pictures_have_no_mean_and_unnamed_sites_no_row() -> None:
    integers, nothing = np.zeros(0, np.int64), np.zeros(0, np.float64)
    empty = GroundTruth(("car",), integers, integers, np.zeros((0, 4)), integers, nothing, np.zeros(0, np.bool_))
    errors = count_errors(Detections.none(), empty, sites=[])
    assert errors.overall.mean is None
    assert errors.per_site == ()
    assert count_errors(*case(), sites=["", "", ""]).per_site == ()
