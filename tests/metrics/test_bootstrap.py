"""Intervals by resampling groups: an oracle for the weights, coverage, few groups, what depends within a group."""

import os

import numpy as np
import pytest
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import OptionsError
from traffic_yolo.metrics.bootstrap import (
    PictureCounts,
    ap_of_resamples,
    class_ap_of_resamples,
    coarsest_groups,
    groups_of,
    interval,
    picture_counts,
    resample_weights,
    student_t_quantile,
)
from traffic_yolo.metrics.coco import ap_and_ap50, evaluate_coco
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.label_attributes import LabelAttributes, PictureLabels
from traffic_yolo.metrics.match_table import MatchTable, match_table
from traffic_yolo.metrics.matching import match


def world(pictures: int = 12, seed: int = 0) -> tuple[GroundTruth, Detections]:
    """Two true boxes a picture, most found, some detections wrong."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(pictures), 2)
    boxes = np.concatenate([rng.uniform(0, 80, (len(owners), 2)), rng.uniform(10, 30, (len(owners), 2))], axis=1)
    truth = GroundTruth(
        classes=("CAR", "BUS"),
        image_ids=np.arange(1, pictures + 1),
        truth_pictures=owners,
        boxes_xywh=boxes,
        class_ids=rng.integers(0, 2, len(owners)),
        areas=boxes[:, 2] * boxes[:, 3],
        ignore=np.zeros(len(owners), bool),
    )
    moved = boxes + rng.normal(0, 2, boxes.shape)
    found = Detections(
        truth.image_ids[owners],
        np.concatenate([moved[:, :2], moved[:, :2] + moved[:, 2:]], axis=1).astype(np.float32),
        rng.random(len(owners)).astype(np.float32),
        np.where(rng.random(len(owners)) < 0.8, truth.class_ids, 1 - truth.class_ids),
    )
    return truth, found


def test_a_resample_draws_as_many_groups_as_there_are() -> None:
    groups = groups_of(["a", "b", "a", "c", "d", "e"], of="recording")
    weights = resample_weights(groups, resamples=500, seed=3)
    assert weights.shape == (500, 6)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])  # of one recording
    assert (weights[:, [0, 1, 3, 4, 5]].sum(axis=1) == 5).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.15)
    np.testing.assert_array_equal(weights, resample_weights(groups, resamples=500, seed=3))


@pytest.mark.parametrize("threads", ["1", "3"])
def test_draws_that_repeat_are_worked_out_once_and_stand_where_they_were_drawn(
    threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAFFIC_YOLO_THREADS", threads)
    monkeypatch.setattr("traffic_yolo.metrics.bootstrap.ap_and_ap50", counting := Counting())
    truth, found = world(9)
    table = match_table(found, truth)
    few = groups_of([f"r{index // 3}" for index in range(9)], of="recording", least=2)  # three: ten draws there are
    many = groups_of([f"r{index}" for index in range(9)], of="recording", least=2)
    for groups in (few, many):
        weights = resample_weights(groups, resamples=400)
        counting.calls.clear()
        ap, ap50 = ap_of_resamples(table, weights)
        assert len(counting.calls) == len(np.unique(weights, axis=0))
        alone = np.array([ap_and_ap50(table, counted) for counted in weights], np.float64)
        np.testing.assert_array_equal(np.stack([ap, ap50], axis=1), alone)
    assert len(np.unique(resample_weights(few, resamples=400), axis=0)) == 10
    assert class_ap_of_resamples(table, np.zeros((0, 9), np.int64)).shape == (0, 10, 2)


class Counting:
    """`ap_and_ap50`, counted; a list, since threads may append to it at once."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, table: MatchTable, counted: NDArray[np.int64]) -> tuple[float | None, float | None]:
        self.calls.append(1)
        return ap_and_ap50(table, counted)


def test_ap_of_a_resample_is_that_of_the_pictures_repeated() -> None:
    truth, found = world()
    groups = groups_of([f"r{index // 2}" for index in range(12)], of="recording")
    weights = resample_weights(groups, resamples=5)
    ap, ap50 = ap_of_resamples(match_table(found, truth), weights)
    for row, counted in enumerate(weights):
        pictures = np.repeat(np.arange(12), counted)
        rows = [np.flatnonzero(truth.truth_pictures == picture) for picture in pictures]
        shown = [np.flatnonzero(found.image_ids == truth.image_ids[picture]) for picture in pictures]
        chosen, reported = np.concatenate(rows), np.concatenate(shown)
        repeated = GroundTruth(
            truth.classes,
            np.arange(len(pictures)),
            np.repeat(np.arange(len(pictures)), [len(each) for each in rows]),
            truth.boxes_xywh[chosen],
            truth.class_ids[chosen],
            truth.areas[chosen],
            truth.ignore[chosen],
        )
        detections = Detections(
            np.repeat(np.arange(len(pictures)), [len(each) for each in shown]),
            found.boxes_xyxy[reported],
            found.scores[reported],
            found.class_ids[reported],
        )
        expected = evaluate_coco(repeated, detections, engine="pycocotools")
        assert (ap[row], ap50[row]) == pytest.approx((expected.ap, expected.ap50), abs=1e-12)


def test_counts_of_pictures_sum_to_the_operating_point() -> None:
    truth, found = world()
    true = np.bincount(truth.truth_pictures, minlength=12)
    counts = picture_counts(match(found, truth), truth.picture_indices(found.image_ids), true, np.array([0.3, 0.6]))
    reported = found.select(found.scores > np.where(found.class_ids == 0, 0.3, 0.6).astype(np.float32))
    outcomes = match(reported, truth).outcomes
    assert (counts.right.sum(), counts.wrong.sum()) == ((outcomes == 1).sum(), (outcomes == 0).sum())
    ratios = counts.ratios(np.ones((1, 12), np.int64))
    assert ratios["recall"][0] == pytest.approx((outcomes == 1).sum() / 24)


def test_ratios_of_nothing_are_zero() -> None:
    nothing = PictureCounts(*(np.zeros(3, np.int64),) * 3)
    assert {name: values.tolist() for name, values in nothing.ratios(np.ones((2, 3), np.int64)).items()} == {
        "precision": [0, 0],
        "recall": [0, 0],
        "f1": [0, 0],
    }


def test_few_groups_fall_back_to_pictures_with_a_note() -> None:
    groups = groups_of(["a", "a", "b"], of="site")
    assert (groups.of, groups.count, groups.places.tolist()) == ("picture", 3, [0, 1, 2])
    assert "only 2 sites where at least 5 are needed" in groups.note
    assert "The intervals are too narrow." in groups.note
    assert groups_of(["a", "a", "b"], of="site", least=2).note == ""
    with pytest.raises(OptionsError, match="groups: expected at least 2, found 1"):
        groups_of(["a"], of="site", least=1)


def test_the_coarsest_groups_that_suffice_are_taken() -> None:
    def labels(sites: int, recordings: int) -> LabelAttributes:
        return LabelAttributes(
            tuple(
                PictureLabels(f"s{i % sites}" if sites else "", "", f"r{i % recordings}" if recordings else "", "")
                for i in range(40)
            ),
            (),
        )

    assert (coarsest_groups(labels(6, 20)).of, coarsest_groups(labels(6, 20)).count) == ("site", 6)
    by_recording = coarsest_groups(labels(2, 20))
    assert (by_recording.of, by_recording.count) == ("recording", 20)
    assert by_recording.note == "fewer than 5 sites: recordings were resampled."
    assert coarsest_groups(labels(2, 3)).of == "picture"
    assert "the labels name no sites or recordings" in coarsest_groups(labels(0, 0)).note


def test_students_t_is_that_of_the_tables() -> None:
    for degrees, expected in ((1, 12.7062), (4, 2.77645), (9, 2.26216), (30, 2.04227)):
        assert student_t_quantile(0.975, degrees) == pytest.approx(expected, abs=1e-4)


def test_an_interval_contains_its_value_and_leaves_undefined_resamples_out() -> None:
    samples = np.array([0.5, 0.6, np.nan, 0.7])
    found = interval(0.9, samples, groups=10)
    assert found.low >= 0.5
    assert found.high == 0.9
    assert interval(0.4, np.full(3, np.nan), groups=10) == interval(0.4, samples, groups=1)
    assert (interval(0.4, samples, groups=1).low, interval(0.4, samples, groups=1).high) == (0.4, 0.4)


def coverage(groups: int, runs: int, *, within: float) -> tuple[float, float]:
    """How often the interval of a recall covers the true 0.6: resampling groups, and pictures as if independent.

    Pictures of a group share its chance, which is spread around 0.6 by `within`.
    """
    rng = np.random.default_rng(1)
    covered = np.zeros(2)
    for run in range(runs):
        chances = np.clip(rng.normal(0.6, within, groups), 0, 1)
        right = rng.binomial(10, np.repeat(chances, 8))
        true = np.full(groups * 8, 10)
        counts = PictureCounts(right, np.zeros_like(right), true)
        names = [f"g{index // 8}" for index in range(groups * 8)]
        for column, chosen in enumerate((names, [str(index) for index in range(groups * 8)])):
            by = groups_of(chosen, of="recording")
            samples = counts.ratios(resample_weights(by, resamples=400, seed=run))["recall"]
            found = interval(right.sum() / true.sum(), samples, groups=by.count)
            covered[column] += found.low <= 0.6 <= found.high
    return tuple(covered / runs)  # type: ignore[return-value]


def test_groups_cover_the_truth_where_pictures_taken_alone_do_not() -> None:
    by_group, by_picture = coverage(10, 120, within=0.15)
    assert by_group >= 0.88
    assert by_picture < 0.75


@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="30 s; set TRAFFIC_YOLO_SLOW=1 to run it")
@pytest.mark.parametrize("groups", [5, 10, 30])
def test_the_interval_covers_the_truth_in_about_95_of_100_cases(groups: int) -> None:
    by_group, _ = coverage(groups, 1000, within=0.12)
    assert 0.92 <= by_group <= 0.985
