"""The sweep: every cell is what NMS and matching done for that cell alone would give."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.evaluation.ground_truth import ALL_CLASSES, GroundTruth
from traffic_yolo.evaluation.matching import match
from traffic_yolo.evaluation.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.evaluation.operating_point import operating_point
from traffic_yolo.evaluation.raw_detections import Protocol, RawDetections
from traffic_yolo.tuning.sweep import Sweep, best_by_f1, sweep

CLASSES = ("CAR", "BUS", "TRUCK")
PROTOCOL = Protocol("c" * 64, "w" * 64, (64, 64), "stretch", "f" * 64 + "/val")
BOX = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(1, 20), st.integers(1, 20))


def case(
    found: list[tuple[int, tuple[int, ...], tuple[float, ...]]],
    truths: list[tuple[int, int, tuple[int, ...]]],
    *,
    pictures: int = 3,
    side: int = 40,
) -> tuple[RawDetections, GroundTruth]:
    """Raw detections of (picture, xywh, a score for each class) and truth of (picture, class id, xywh)."""
    found = sorted(found, key=lambda row: row[0])
    truths = sorted(truths, key=lambda row: row[0])
    boxes = np.array([row[1] for row in found], np.float32).reshape(-1, 4)
    scores = np.array([row[2] for row in found], np.float32).reshape(-1, 3)
    rows = np.array([row[0] for row in found], np.int64)
    truth_boxes = np.array([row[2] for row in truths], np.float64).reshape(-1, 4)
    class_ids = np.array([row[1] for row in truths], np.int64)
    raw = RawDetections(
        image_ids=np.arange(5, 5 + pictures),
        image_hw=np.full((pictures, 2), side, np.int32),
        offsets=np.searchsorted(rows, np.arange(pictures + 1)),
        boxes_xyxy=np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        objectness=scores.max(axis=1, initial=0),
        class_scores=scores,
        classes=CLASSES,
        protocol=PROTOCOL,
    )
    truth = GroundTruth(
        classes=CLASSES,
        image_ids=np.arange(5, 5 + pictures)[::-1].copy(),  # another order than the detections'
        truth_pictures=np.array([row[0] for row in truths], np.int64),
        boxes_xywh=truth_boxes,
        class_ids=class_ids,
        areas=truth_boxes[:, 2] * truth_boxes[:, 3],
        ignore=class_ids == ALL_CLASSES,
    )
    return raw, truth


@settings(max_examples=60, deadline=None)
@given(
    found=st.lists(st.tuples(st.integers(0, 2), BOX, st.tuples(*[st.integers(0, 9)] * 3)), max_size=25),
    truths=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([0, 1, 2, ALL_CLASSES]), BOX), max_size=15),
    kind=st.sampled_from(["default", "greedynms", "diounms"]),
    max_detections=st.sampled_from([2, 300]),
)
def test_every_cell_equals_the_plain_way(
    found: list[tuple[int, tuple[int, ...], tuple[int, ...]]],
    truths: list[tuple[int, int, tuple[int, ...]]],
    kind: str,
    max_detections: int,
) -> None:
    raw, truth = case([(p, box, tuple(s / 10 for s in scores)) for p, box, scores in found], truths)
    confidences, iou_thresholds = (0.05, 0.2, 0.5, 0.8), (0.3, 0.5, 0.75)
    options = NmsOptions(kind=kind, max_detections=max_detections)
    result = sweep(raw, truth, confidences=confidences, iou_thresholds=iou_thresholds, nms=options)
    points = iter(result.points())
    for row, confidence in enumerate(confidences):
        for column, iou_threshold in enumerate(iou_thresholds):
            nms = NmsOptions(confidence, iou_threshold, kind, max_detections=max_detections)
            plain = operating_point(
                match(non_maximum_suppression(raw, nms), truth),
                CLASSES,
                confidence_threshold=confidence,
                iou_threshold=iou_threshold,
            )
            assert next(points) == plain
            assert result.f1[row, column] == pytest.approx(plain.f1, abs=1e-15)


@pytest.mark.parametrize("seed", range(2))
def test_cells_equal_the_plain_way_on_a_crowded_picture(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths = [(p, int(rng.integers(3)), (*rng.uniform(0, 300, 2), *rng.uniform(20, 60, 2))) for p in (0, 1, 2) * 12]
    found = []
    for picture, class_id, box in truths * 6:
        scores = rng.random(3) * 0.3
        scores[class_id] = rng.random()
        # image ids run against each other in `case`: picture p of the truth is 2 - p of the detections
        found.append((2 - picture, tuple(np.array(box) + rng.normal(0, 6, 4)), tuple(scores)))
    raw, truth = case(found, truths, side=400)  # type: ignore[arg-type]
    confidences, iou_thresholds = tuple(np.arange(1, 20) / 20), (0.3, 0.45, 0.6)
    result = sweep(raw, truth, confidences=confidences, iou_thresholds=iou_thresholds)
    assert result.true_positives.max() > 3
    for point in result.points():
        nms = NmsOptions(point.confidence_threshold, point.iou_threshold)
        matching = match(non_maximum_suppression(raw, nms), truth)
        plain = operating_point(
            matching, CLASSES, confidence_threshold=nms.confidence_threshold, iou_threshold=nms.iou_threshold
        )
        assert point == plain


def grid_of(correct: list[list[int]], wrong: list[list[int]]) -> Sweep:
    """A sweep of one class with 10 truths, from counts by confidence and IoU threshold."""
    shape = (len(correct), len(correct[0]))
    return Sweep(
        classes=("CAR",),
        confidences=tuple(0.1 * (i + 1) for i in range(shape[0])),
        iou_thresholds=tuple(0.4 + 0.1 * i for i in range(shape[1])),
        true_positives=np.array(correct)[..., None],
        false_positives=np.array(wrong)[..., None],
        num_truths=np.array([10]),
        num_pictures=4,
    )


def test_the_best_cell_is_the_one_with_the_highest_f1() -> None:
    point = best_by_f1(grid_of([[9, 9], [8, 8], [5, 5]], [[9, 8], [2, 1], [0, 0]]))
    assert (point.confidence_threshold, point.iou_threshold) == (0.2, 0.5)
    assert point.f1 == pytest.approx(16 / 19)


def test_of_equal_cells_the_higher_confidence_and_then_the_lower_iou_wins() -> None:
    point = best_by_f1(grid_of([[8, 8], [8, 8], [8, 8]], [[1, 1], [1, 1], [2, 2]]))
    assert (point.confidence_threshold, point.iou_threshold) == (0.2, 0.4)


def test_no_truth_and_no_detections_give_zero_everywhere() -> None:
    result = sweep(*case([], []), confidences=(0.1, 0.5), iou_thresholds=(0.5,))
    assert result.f1.tolist() == [[0.0], [0.0]]
    assert best_by_f1(result).confidence_threshold == 0.5


def test_the_csv_has_a_line_for_each_cell(tmp_path: Path) -> None:
    result = grid_of([[9, 9], [8, 8]], [[9, 8], [2, 1]])
    result.write_csv(tmp_path / "sweep.csv")
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    assert rows[3] == {
        "confidence_threshold": "0.2",
        "iou_threshold": "0.5",
        "precision": "0.888889",
        "recall": "0.8",
        "f1": "0.842105",
        "true_positives": "8",
        "false_positives": "1",
        "false_negatives": "2",
        "false_positives_per_picture": "0.25",
    }


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"confidences": ()}, "confidences: the grid is empty"),
        ({"iou_thresholds": (0.5, 0.4)}, r"iou_thresholds: the grid must rise, found 0\.5, 0\.4"),
        ({"confidences": (0.5, 1.0)}, r"confidence_threshold is 1\.0, expected a number in \[0, 1\)"),
        ({"iou_thresholds": (0.5, 1.5)}, r"iou_threshold is 1\.5"),
    ],
)
def test_grids_that_make_no_sense_are_refused(grid: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        sweep(*case([], []), **grid)


def test_a_confidence_below_the_floor_is_refused() -> None:
    with pytest.raises(EvaluationError, match=r"confidence_threshold 0\.0005 is below 0\.001, the floor"):
        sweep(*case([], []), confidences=(0.0005, 0.5))
