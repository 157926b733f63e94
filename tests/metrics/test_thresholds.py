"""Thresholds from one matching: the best of every choice there is, by trying them all."""

import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.detection.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import OptionsError
from traffic_yolo.metrics.coco import evaluate_coco
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.matching import CORRECT, IGNORED, WRONG, Matching, match
from traffic_yolo.metrics.objective import LEAST_TRUTHS, OBJECTIVES, Objective, parse_class_costs
from traffic_yolo.metrics.operating_point import OperatingPoint, operating_point
from traffic_yolo.metrics.thresholds import (
    best_class_thresholds,
    best_threshold,
    recall_at_false_positives,
    threshold_metrics,
)

CLASSES = ("CAR", "BUS")
FLOOR = 0.001
PICTURES = 4
ROWS = st.lists(
    st.tuples(st.integers(1, 19), st.integers(0, 1), st.sampled_from([CORRECT, WRONG, WRONG, IGNORED])), max_size=14
)
NUMBERS = st.sampled_from([0.25, 0.5, 1.0, 2.5])


def matching_of(rows: list[tuple[int, int, int]], missed: int = 2) -> Matching:
    """A matching of (score in twentieths, class id, outcome); `missed` true boxes of each class that nothing finds."""
    rows = sorted(rows, key=lambda row: -row[0])
    class_ids = np.array([row[1] for row in rows], np.int64)
    outcomes = np.array([row[2] for row in rows], np.int8)
    found = np.bincount(class_ids[outcomes == CORRECT], minlength=2)
    return Matching(
        scores=np.array([row[0] / 20 for row in rows], np.float32),
        class_ids=class_ids,
        outcomes=outcomes,
        order=np.arange(len(rows)),
        truths=np.full(len(rows), -1),
        num_truths=found + missed,
        num_pictures=PICTURES,
    )


def at(matching: Matching, *thresholds: float) -> OperatingPoint:
    return operating_point(
        matching, CLASSES, confidence_threshold=thresholds[0], iou_threshold=0.5, class_thresholds=thresholds
    )


def value(point: OperatingPoint, objective: Objective) -> float:
    """The objective, higher is better, -inf for no choice; written without the code under test."""
    if objective.objective == "f1":
        return point.f1
    if objective.objective == "cost":
        pairs = [
            objective.class_costs.get(c.class_name, (objective.miss_cost, objective.false_alarm_cost))
            for c in point.per_class
        ]
        return -sum(
            c.false_negatives * m + c.false_positives * f for c, (m, f) in zip(point.per_class, pairs, strict=True)
        )
    borne = point.false_positives <= objective.false_positives_per_picture * PICTURES
    return point.recall if borne else -np.inf


OBJECTIVE = st.builds(
    Objective,
    st.sampled_from(["f1", "cost", "recall_at_fppi"]),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.sampled_from([{}, {"BUS": (5.0, 0.5)}]),
)
EVERY_CUT = [step / 20 for step in range(20)]  # scores lie on twentieths: nothing else can part them


@examples(200)
@given(rows=ROWS, objective=OBJECTIVE)
def test_one_threshold_is_the_best_of_all_that_there_are(
    rows: list[tuple[int, int, int]], objective: Objective
) -> None:
    matching = matching_of(rows)
    chosen = best_threshold(matching, objective, CLASSES, floor=FLOOR)
    assert FLOOR <= chosen < 1
    reached = value(at(matching, chosen, chosen), objective)
    assert reached == pytest.approx(max(value(at(matching, t, t), objective) for t in EVERY_CUT), abs=1e-12)


@examples(150)
@given(rows=ROWS, objective=OBJECTIVE)
def test_thresholds_of_classes_are_the_best_of_all_pairs(
    rows: list[tuple[int, int, int]], objective: Objective
) -> None:
    matching = matching_of(rows)
    shared = best_threshold(matching, objective, CLASSES, floor=FLOOR)
    chosen = best_class_thresholds(matching, objective, CLASSES, shared=shared, floor=FLOOR, least_truths=0)
    reached = value(at(matching, *chosen), objective)
    best = max(value(at(matching, *pair), objective) for pair in itertools.product(EVERY_CUT, repeat=2))
    if objective.objective == "recall_at_fppi":  # a knapsack: filled greedily, and never over the limit
        assert value(at(matching, shared, shared), objective) <= reached <= best + 1e-12
    else:
        assert reached == pytest.approx(best, abs=1e-12)


def test_the_knapsack_of_false_positives_takes_the_best_ratios_first() -> None:
    rows = [(18, 0, CORRECT), (17, 0, CORRECT), (16, 0, WRONG), (15, 0, CORRECT)]
    rows += [(12, 1, WRONG), (11, 1, WRONG), (10, 1, CORRECT)]
    matching = matching_of(rows)
    objective = Objective("recall_at_fppi", false_positives_per_picture=1 / PICTURES)
    thresholds = best_class_thresholds(matching, objective, CLASSES, shared=0.5, floor=FLOOR, least_truths=0)
    point = at(matching, *thresholds)
    assert [counts.true_positives for counts in point.per_class] == [3, 0]
    assert point.false_positives == 1


def test_what_all_classes_share_stays_where_the_ratios_lead_to_less() -> None:
    """The knapsack's trap: two of class 0 for one false one look best, and leave too little for three of class 1."""
    rows = [(18, 1, WRONG), (17, 1, WRONG), (16, 1, CORRECT), (15, 1, CORRECT), (14, 1, CORRECT)]
    rows += [(6, 0, WRONG), (5, 0, CORRECT), (4, 0, CORRECT)]
    matching = matching_of(rows)

    def found(shared: float, borne: int) -> tuple[list[int], int]:
        objective = Objective("recall_at_fppi", false_positives_per_picture=borne / PICTURES)
        thresholds = best_class_thresholds(matching, objective, CLASSES, shared=shared, floor=FLOOR, least_truths=0)
        point = at(matching, *thresholds)
        return [counts.true_positives for counts in point.per_class], point.false_positives

    assert found(0.5, 2) == ([0, 3], 2)  # by ratio: 2 and 0
    assert found(0.99, 2) == ([2, 0], 1)  # nothing is shared: by ratio
    assert found(0.5, 1) == ([2, 0], 1)  # what is shared has one false box too many
    assert found(0.5, 3) == ([2, 3], 3)


def test_a_class_of_twenty_true_boxes_has_a_threshold_of_its_own_and_one_of_nineteen_has_not() -> None:
    rows = [(18, 0, CORRECT), (17, 0, WRONG), (16, 1, CORRECT), (15, 1, WRONG)]
    matching = dataclasses.replace(matching_of(rows), num_truths=np.array([20, 19]))
    thresholds = best_class_thresholds(matching, Objective(), CLASSES, shared=0.321, floor=FLOOR)
    assert thresholds.tolist() == [pytest.approx(0.87, abs=0.03), 0.321]
    assert LEAST_TRUTHS == 20


def test_a_rare_class_keeps_the_shared_threshold() -> None:
    rows = [(18, 0, CORRECT), (17, 1, CORRECT), (16, 1, WRONG)]
    thresholds = best_class_thresholds(
        matching_of(rows), Objective(), CLASSES, shared=0.321, floor=FLOOR, least_truths=4
    )
    assert thresholds.tolist() == [0.321, 0.321]


def test_a_threshold_lies_between_two_scores_in_few_digits() -> None:
    matching = matching_of([(12, 0, CORRECT), (9, 0, WRONG), (3, 0, WRONG)])
    assert best_threshold(matching, Objective(), CLASSES, floor=FLOOR) == 0.53  # scores 0.6 and 0.45


def test_ap_cannot_choose_so_it_gets_the_floor() -> None:
    matching = matching_of([(12, 0, CORRECT), (9, 0, WRONG)])
    assert best_threshold(matching, Objective("map"), CLASSES, floor=FLOOR) == FLOOR


def test_recall_at_false_positives_is_that_of_the_longest_prefix_borne() -> None:
    matching = matching_of([(18, 0, CORRECT), (16, 0, WRONG), (14, 1, CORRECT), (12, 0, WRONG), (10, 0, CORRECT)])
    assert recall_at_false_positives(matching, 0) == 1 / 7
    assert recall_at_false_positives(matching, 0.25) == 2 / 7
    assert recall_at_false_positives(matching, 9) == 3 / 7
    assert recall_at_false_positives(matching_of([], missed=0), 1) == 0


def raw_and_truth(*, nothing: bool = False, no_truth: bool = False) -> tuple[RawDetections, GroundTruth]:
    rng = np.random.default_rng(0)
    boxes = np.array([[10, 10, 40, 40], [60, 10, 90, 40], [12, 11, 41, 42]], np.float32)
    scores = np.array([[0.9, 0.0], [0.0, 0.6], [0.5, 0.0]], np.float32)
    count = 0 if nothing else 3
    raw = RawDetections.from_dense(
        image_ids=np.array([1, 2]),
        image_hw=np.full((2, 2), 100),
        offsets=np.array([0, count, count]),
        boxes_xyxy=boxes[:count] + rng.normal(0, 0.1, (count, 4)).astype(np.float32),
        objectness=np.ones(count),
        class_scores=scores[:count],
        classes=CLASSES,
        protocol=Protocol("c" * 64, "w" * 64, (64, 64), "stretch", "f" * 64 + "/val"),
    )
    rows = [] if no_truth else [(0, 0, (10, 10, 30, 30)), (1, 1, (20, 20, 30, 30))]
    truth = GroundTruth(
        classes=CLASSES,
        image_ids=np.array([1, 2]),
        truth_pictures=np.array([row[0] for row in rows], np.int64),
        boxes_xywh=np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        class_ids=np.array([row[1] for row in rows], np.int64),
        areas=np.full(len(rows), 900.0),
        ignore=np.zeros(len(rows), bool),
    )
    return raw, truth


def test_the_metrics_of_a_trial_are_those_of_its_thresholds() -> None:
    raw, truth = raw_and_truth()
    nms = NmsOptions(0.3, 0.5)
    metrics = threshold_metrics(raw, truth, nms, Objective(false_positives_per_picture=0.0, miss_cost=3))
    coco = evaluate_coco(truth, non_maximum_suppression(raw, nms))
    assert set(OBJECTIVES) < set(metrics)
    assert (metrics["precision"], metrics["recall"], metrics["f1"]) == (0.5, 0.5, 0.5)
    assert (metrics["map"], metrics["map50"]) == (coco.ap, coco.ap50)
    assert metrics["recall_at_fppi"] == 0.5
    assert metrics["cost"] == (3 + 1) / 2


@pytest.mark.parametrize("case", [{"nothing": True}, {"no_truth": True}, {"nothing": True, "no_truth": True}])
def test_the_metrics_are_finite_whatever_is_missing(case: dict[str, bool]) -> None:
    metrics = threshold_metrics(*raw_and_truth(**case), NmsOptions(0.3, 0.5), Objective())
    assert np.isfinite(list(metrics.values())).all()


@pytest.mark.long
def test_measuring_thresholds_loads_no_torch() -> None:
    code = "import sys, traffic_yolo.tuning.tune, traffic_yolo.metrics.thresholds; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Objective("ap"), "objective: expected one of f1, map, map50, recall_at_fppi, cost, found 'ap'"),
        (lambda: Objective(miss_cost=-1), "miss_cost: expected at least 0, found -1"),
        (lambda: Objective(class_costs={"CAR": (1, float("nan"))}), "cost of a false CAR: expected a number"),
        (lambda: Objective(class_costs={"TRAM": (1, 1)}).costs(CLASSES), "cost of 'TRAM': no class of that name"),
        (lambda: parse_class_costs("CAR=1"), "class costs: expected CLASS=MISS:FALSE_ALARM, found 'CAR=1'"),
        (lambda: parse_class_costs("1:2"), "class costs: expected CLASS=MISS:FALSE_ALARM, found '1:2'"),
    ],
)
def test_objectives_that_make_no_sense_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        make()


def test_class_costs_are_read_from_text() -> None:
    assert parse_class_costs("BUS=5:1, CAR=1:0.5") == {"BUS": (5, 1), "CAR": (1, 0.5)}
    assert parse_class_costs("") == {}


def test_matching_counts_agree_with_match_on_detections() -> None:
    raw, truth = raw_and_truth()
    found = non_maximum_suppression(raw, NmsOptions(0.01, 0.9))
    assert isinstance(found, Detections)
    assert sorted(match(found, truth).outcomes.tolist()) == [WRONG, WRONG, CORRECT]
