"""The search for thresholds: which cell is taken, ties, cells that are no choice, the adaptive method."""

from dataclasses import replace

import numpy as np
import pytest

from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.objective import OBJECTIVES, Objective
from traffic_yolo.tuning.search import best_cell, objective_values, search
from traffic_yolo.tuning.sweep import Sweep
from traffic_yolo.tuning.sweep_options import SweepOptions, parse_grid, parse_kinds, parse_limits

PROTOCOL = Protocol("c" * 64, "w" * 64, (64, 64), "stretch", "f" * 64 + "/val")


def grid_of(correct: list[list[int]], wrong: list[list[int]]) -> Sweep:
    """A sweep of one class with 10 truths on 4 pictures, from counts by confidence and IoU threshold."""
    shape = (len(correct), len(correct[0]))
    return Sweep(
        classes=("CAR",),
        confidences=tuple(0.1 * (i + 1) for i in range(shape[0])),
        iou_thresholds=tuple(0.4 + 0.1 * i for i in range(shape[1])),
        true_positives=np.array(correct)[..., None],
        false_positives=np.array(wrong)[..., None],
        num_truths=np.array([10]),
        num_pictures=4,
        ap=np.array(correct) / 10,
        ap50=np.array(correct) / 10,
    )


def test_the_best_cell_is_the_one_with_the_highest_f1() -> None:
    result = grid_of([[9, 9], [8, 8], [5, 5]], [[9, 8], [2, 1], [0, 0]])
    values = objective_values(result, Objective("f1"))
    assert best_cell(values, Objective("f1")) == (1, 1)
    assert values[1, 1] == pytest.approx(16 / 19)


def test_of_equal_cells_the_higher_confidence_and_then_the_lower_iou_wins() -> None:
    result = grid_of([[8, 8], [8, 8], [8, 8]], [[1, 1], [1, 1], [2, 2]])
    assert best_cell(objective_values(result, Objective("f1")), Objective("f1")) == (1, 0)


def test_recall_is_taken_where_false_positives_are_borne() -> None:
    result = grid_of([[9, 9], [8, 7], [5, 5]], [[9, 8], [2, 1], [0, 0]])
    objective = Objective("recall_at_fppi", false_positives_per_picture=0.5)
    values = objective_values(result, objective)
    assert np.isnan(values).tolist() == [[True, True], [False, False], [False, False]]
    assert best_cell(values, objective) == (1, 0)


def test_cost_is_made_least_with_the_costs_of_each_class() -> None:
    result = grid_of([[9, 9], [8, 7], [5, 5]], [[9, 8], [2, 1], [0, 0]])
    dear_misses, dear_alarms = Objective("cost", miss_cost=10), Objective("cost", class_costs={"CAR": (1, 10)})
    assert best_cell(objective_values(result, dear_misses), dear_misses) == (0, 1)
    assert objective_values(result, dear_misses)[0, 1] == (1 * 10 + 8) / 4
    assert best_cell(objective_values(result, dear_alarms), dear_alarms) == (2, 0)


def test_ap_takes_the_highest_confidence_at_which_it_is_still_the_best() -> None:
    result = grid_of([[9, 9], [9, 8], [5, 5]], [[9, 8], [2, 1], [0, 0]])
    assert best_cell(objective_values(result, Objective("map")), Objective("map")) == (1, 0)


def crowded(seed: int = 0) -> tuple[RawDetections, GroundTruth]:
    """Thirty pictures of neighbouring boxes, each found by several candidates of falling quality."""
    rng = np.random.default_rng(seed)
    truths, boxes, scores, counts = [], [], [], []
    for picture in range(30):
        corners = rng.uniform(0, 200, (6, 2))
        mine = np.concatenate([corners, rng.uniform(15, 40, (6, 2))], axis=1)
        truths += [(picture, int(rng.integers(2)), box) for box in mine]
        class_ids = [row[1] for row in truths[-6:]]
        around = np.repeat(mine, 5, axis=0) + rng.normal(0, 4, (30, 4))
        table = np.zeros((30, 2))
        table[np.arange(30), np.repeat(class_ids, 5)] = rng.beta(2, 3, 30)
        boxes.append(np.concatenate([around[:, :2], around[:, :2] + np.maximum(around[:, 2:], 2)], axis=1))
        scores.append(table)
        counts.append(30)
    raw = RawDetections.from_dense(
        image_ids=np.arange(30),
        image_hw=np.full((30, 2), 260),
        offsets=np.append(0, np.cumsum(counts)),
        boxes_xyxy=np.concatenate(boxes).astype(np.float32),
        objectness=np.concatenate(scores).max(axis=1),
        class_scores=np.concatenate(scores).astype(np.float32),
        classes=("CAR", "BUS"),
        protocol=PROTOCOL,
    )
    areas = np.array([row[2][2] * row[2][3] for row in truths])
    truth = GroundTruth(
        classes=("CAR", "BUS"),
        image_ids=np.arange(30),
        truth_pictures=np.array([row[0] for row in truths]),
        boxes_xywh=np.array([row[2] for row in truths]),
        class_ids=np.array([row[1] for row in truths]),
        areas=areas,
        ignore=np.zeros(len(truths), bool),
    )
    return raw, truth


@pytest.mark.parametrize("objective", ["f1", "cost", "recall_at_fppi"])
def test_the_adaptive_search_is_at_least_as_good_as_its_coarse_grid_with_few_columns(objective: str) -> None:
    raw, truth = crowded()
    aim = Objective(objective, false_positives_per_picture=1.0)
    coarse = SweepOptions(aim, iou_thresholds=(0.2, 0.4, 0.6, 0.8))
    grid = search(raw, truth, coarse, NmsOptions())
    adaptive = search(raw, truth, replace(coarse, method="adaptive"), NmsOptions())
    fine = search(raw, truth, replace(coarse, iou_thresholds=tuple(np.arange(16, 65) / 80)), NmsOptions())

    def reached(found: object) -> float:
        point = found.point  # type: ignore[attr-defined]
        counts = [
            np.array([[getattr(c, name) for c in point.per_class]]) for name in ("true_positives", "false_positives")
        ]
        value = aim.of_counts(*counts, truth.num_truths, classes=truth.classes, num_pictures=30)[0]
        return float(value if aim.is_maximised else -value)

    assert reached(adaptive) >= reached(grid)
    assert reached(adaptive) >= reached(fine) - 0.02 * abs(reached(fine))
    columns = adaptive.sweeps[0].iou_thresholds
    assert 4 < len(columns) < 20
    assert adaptive.nms.iou_threshold in columns


def test_thresholds_of_classes_never_do_worse_than_one_for_all() -> None:
    raw, truth = crowded(1)
    found = search(raw, truth, SweepOptions(per_class=True, method="adaptive"), NmsOptions())
    assert found.point.f1 >= found.shared_point.f1
    assert len(found.point.class_thresholds) == 2
    rare = search(raw, truth, SweepOptions(per_class=True, least_truths=10_000), NmsOptions())
    assert rare.point.class_thresholds == (rare.nms.confidence_threshold,) * 2


def test_false_positives_everywhere_are_said_plainly() -> None:
    raw, truth = crowded()
    options = SweepOptions(Objective("recall_at_fppi", false_positives_per_picture=0), confidences=(0.01, 0.02))
    with pytest.raises(
        EvaluationError, match="no threshold keeps to 0 false positives a picture; the highest confidence"
    ):
        search(raw, truth, options, NmsOptions())


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_no_truth_and_no_detections_still_give_a_choice(objective: str) -> None:
    raw, truth = crowded()
    nothing = replace(
        truth,
        truth_pictures=truth.truth_pictures[:0],
        boxes_xywh=truth.boxes_xywh[:0],
        class_ids=truth.class_ids[:0],
        areas=truth.areas[:0],
        ignore=truth.ignore[:0],
    )
    found = search(raw, nothing, SweepOptions(Objective(objective), per_class=True), NmsOptions())
    assert found.point.f1 == 0
    empty = replace(
        raw,
        offsets=np.zeros(31, np.int64),
        score_offsets=np.zeros(1, np.int64),
        **{name: getattr(raw, name)[:0] for name in ("boxes_xyxy", "objectness", "scores", "score_class_ids")},
    )
    for method in ("grid", "adaptive"):
        options = SweepOptions(Objective(objective), per_class=True, method=method)
        assert search(empty, truth, options, NmsOptions()).point.recall == 0


def test_grids_are_read_from_text() -> None:
    assert parse_grid("0.1,0.25", name="x") == (0.1, 0.25)
    assert parse_grid("0.1:0.5:5", name="x") == (0.1, 0.2, 0.3, 0.4, 0.5)
    with pytest.raises(OptionsError, match="confidences: expected numbers with commas, or FROM:TO:COUNT, found 'a:b'"):
        parse_grid("a:b", name="confidences")
    assert parse_kinds("all") == ("default", "greedynms", "diounms")
    assert parse_limits("100,300") == (100, 300)
    with pytest.raises(OptionsError, match="topk: expected whole numbers"):
        parse_limits("many")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "random"}, "method 'random' is unknown; expected one of grid, adaptive"),
        ({"kinds": ("default", "default")}, "kinds: one stands twice"),
        ({"kinds": ("soft",)}, "kind: expected one of default, greedynms, diounms, found 'soft'"),
        ({"limits": (0,)}, "max_detections: expected at least 1, found 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        SweepOptions(**change)  # type: ignore[arg-type]
