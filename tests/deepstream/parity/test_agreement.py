"""Parity: which boxes belong together, what is left over, and why."""

import numpy as np
import pytest

from traffic_yolo.deepstream.parity.agreement import Counts, compare
from traffic_yolo.detection.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError


def detections(*rows: tuple[int, float, float, float, float, float, int]) -> Detections:
    """Rows of image id, left, top, right, bottom, score, class_id."""
    table = np.array(rows, np.float64).reshape(-1, 7)
    return Detections(
        table[:, 0].astype(np.int64),
        table[:, 1:5].astype(np.float32),
        table[:, 5].astype(np.float32),
        table[:, 6].astype(np.int64),
    )


def test_the_same_detections_agree_wholly() -> None:
    side = detections((1, 0, 0, 10, 10, 0.9, 0), (2, 5, 5, 30, 30, 0.6, 1))
    parity = compare(side, side, num_classes=2, confidence_threshold=0.25)
    assert (parity.matched, parity.only_left, parity.only_right) == (2, 0, 0)
    assert parity.agreement == parity.explained_agreement == 1
    assert parity.iou_quantiles == (1, 1, 1, 1, 1)
    assert parity.score_difference_quantiles == (0, 0, 0, 0, 0)


def test_nothing_on_both_sides_is_agreement() -> None:
    parity = compare(detections(), detections(), num_classes=2, confidence_threshold=0.25)
    assert (parity.agreement, parity.explained_agreement) == (1, 1)
    assert parity.iou_quantiles == ()


def test_pictures_and_classes_are_kept_apart() -> None:
    left = detections((1, 0, 0, 10, 10, 0.9, 0), (1, 50, 50, 60, 60, 0.9, 0))
    right = detections((2, 0, 0, 10, 10, 0.9, 0), (1, 50, 50, 60, 60, 0.9, 1))
    parity = compare(left, right, num_classes=2, confidence_threshold=0.25)
    assert (parity.matched, parity.only_left, parity.only_right) == (0, 2, 2)
    assert parity.agreement == 0
    assert [(each.only_left, each.only_right) for each in parity.per_class] == [(2, 1), (0, 1)]


def test_the_best_overlap_is_matched_first_and_each_box_once() -> None:
    left = detections((1, 0, 0, 10, 10, 0.9, 0), (1, 0, 2, 10, 12, 0.8, 0))
    right = detections((1, 0, 1.5, 10, 11.5, 0.7, 0))  # IoU 0.74 with the first, 0.90 with the second
    parity = compare(left, right, num_classes=1, confidence_threshold=0.25)
    assert (parity.matched, parity.only_left, parity.only_right) == (1, 1, 0)
    np.testing.assert_allclose(parity.score_pairs, [[0.8, 0.7]])
    assert parity.iou_quantiles[0] == pytest.approx(9.5 / 10.5, abs=1e-5)
    assert parity.agreement == pytest.approx(2 / 3)


@pytest.mark.parametrize(("bottom", "matched"), [(5.0, 1), (4.9, 0)])
def test_overlap_must_reach_one_half(bottom: float, matched: int) -> None:
    left, right = detections((1, 0, 0, 10, 10, 0.9, 0)), detections((1, 0, 0, 10, bottom, 0.9, 0))
    assert compare(left, right, num_classes=1, confidence_threshold=0.25).matched == matched


PLACES = np.array([[0, 0, 10, 10], [50, 0, 60, 10], [80, 0, 90, 10]], np.float32)


def raw_of(*class_scores: tuple[float, ...]) -> RawDetections:
    """One picture (id 1) with a box at each of `PLACES` and these scores of its classes."""
    table = np.array(class_scores, np.float32)
    return RawDetections.from_dense(
        image_ids=np.array([1]),
        image_hw=np.array([[100, 100]]),
        offsets=np.array([0, len(table)]),
        boxes_xyxy=PLACES[: len(table)],
        objectness=np.ones(len(table)),
        class_scores=table,
        classes=tuple("abc"[: table.shape[1]]),
        protocol=Protocol("c", "w", (32, 32), "stretch", "f/test"),
    )


def test_left_over_boxes_are_told_apart_by_their_reason() -> None:
    left = detections(
        (1, 0, 0, 10, 10, 0.9, 0),
        (1, 0, 0, 10, 10, 0.5, 1),  # a second class of the box above
        (1, 50, 0, 60, 10, 0.29, 0),  # the other side saw 0.24
        (1, 80, 0, 90, 10, 0.8, 0),  # really missing
    )
    right = detections((1, 0, 0, 10, 10, 0.9, 0), (1, 20, 60, 30, 70, 0.31, 1))
    raw = raw_of((0.9, 0.5), (0.29, 0), (0.8, 0))
    parity = compare(left, right, num_classes=2, confidence_threshold=0.25, raw=raw)
    assert (parity.matched, parity.only_left, parity.only_right) == (1, 3, 1)
    assert (parity.second_labels, parity.near_threshold, parity.unexplained) == (1, 1, 2)
    assert parity.agreement == pytest.approx(2 / 6)
    assert parity.explained_agreement == pytest.approx(4 / 6)
    assert parity.per_class == (Counts(1, 2, 0, 0, 1), Counts(0, 1, 1, 1, 0))


@pytest.mark.parametrize(
    ("scores", "reported", "excused"),
    [
        ((0.9, 0.5, 0), 0, 1),  # the best class is matched, the second excused
        ((0.9, 0.88, 0), 1, 1),  # a near tie: another resize may make the second the best
        ((0.9, 0.5, 0), 1, 0),  # the parser never names the second when the best is far above
        ((0.9, 0.2, 0), 1, 0),  # and never a class below the threshold
        ((0.9, 0, 0), 1, 0),  # a label off by one
    ],
)
def test_a_second_label_excuses_a_box_only_where_the_raw_detections_hold_it(
    scores: tuple[float, ...], reported: int, excused: int
) -> None:
    raw = raw_of(scores)
    left = non_maximum_suppression(raw, NmsOptions(confidence_threshold=0.25, iou_threshold=0.45))
    right = detections((1, 0, 0, 10, 10, 0.9, reported))
    parity = compare(left, right, num_classes=3, confidence_threshold=0.25, raw=raw)
    assert parity.second_labels == excused
    assert parity.unexplained == (0 if excused else len(left) + 1 - 2 * parity.matched)
    assert compare(left, right, num_classes=3, confidence_threshold=0.25).second_labels == 0


@pytest.mark.parametrize(
    ("scores", "excused"),
    [
        (None, 0),  # nothing says that the network was undecided: the label is another
        ((0.27, 0), 0),
        ((0.27, 0.19), 0),
        ((0.27, 0.21), 2),  # undecided at the threshold of 0.25
    ],
)
def test_a_score_at_the_threshold_does_not_excuse_another_class(
    scores: tuple[float, float] | None, excused: int
) -> None:
    left, right = detections((1, 0, 0, 10, 10, 0.27, 0)), detections((1, 0, 0, 10, 10, 0.27, 1))
    raw = None if scores is None else raw_of(scores)
    parity = compare(left, right, num_classes=2, confidence_threshold=0.25, raw=raw)
    assert (parity.near_threshold, parity.unexplained) == (excused, 2 - excused)


def test_a_score_at_the_threshold_is_excused_beside_a_box_that_has_its_partner() -> None:
    left = detections((1, 0, 0, 10, 10, 0.27, 0), (1, 0, 0, 10, 10, 0.9, 1))
    right = detections((1, 0, 0, 10, 10, 0.9, 1))
    assert compare(left, right, num_classes=2, confidence_threshold=0.25).near_threshold == 1
    beside = detections((1, 4, 0, 14, 10, 0.27, 1))  # another place
    assert compare(left, beside, num_classes=2, confidence_threshold=0.25).near_threshold == 2


def test_a_second_class_of_another_box_excuses_nothing() -> None:
    """Class 1 stands in the raw detections, but beside this box."""
    raw = raw_of((0.9, 0), (0, 0.8))
    left = detections((1, 0, 0, 10, 10, 0.9, 0))
    right = detections((1, 0, 0, 10, 10, 0.9, 1))
    parity = compare(left, right, num_classes=2, confidence_threshold=0.25, raw=raw)
    assert (parity.second_labels, parity.unexplained) == (0, 2)


def test_raw_boxes_are_compared_as_cut_at_the_edge() -> None:
    raw = raw_of((0.9, 0.5))
    raw.boxes_xyxy[0] = [-30, -30, 10, 10]
    left = detections((1, 0, 0, 10, 10, 0.9, 0), (1, 0, 0, 10, 10, 0.5, 1))
    right = detections((1, 0, 0, 10, 10, 0.9, 0))
    assert compare(left, right, num_classes=2, confidence_threshold=0.25, raw=raw).second_labels == 1


def test_matching_is_symmetric() -> None:
    generator = np.random.default_rng(4)

    def side() -> Detections:
        left_top = generator.integers(0, 40, (60, 2))
        boxes = np.concatenate([left_top, left_top + generator.integers(5, 25, (60, 2))], axis=1)
        columns = (generator.integers(1, 4, 60), boxes, generator.random(60), generator.integers(0, 2, 60))
        return detections(*[(int(i), *map(float, b), float(s), int(c)) for i, b, s, c in zip(*columns, strict=True)])

    a, b = side(), side()
    one = compare(a, b, num_classes=2, confidence_threshold=0.25)
    other = compare(b, a, num_classes=2, confidence_threshold=0.25)
    assert 0 < one.matched == other.matched
    assert (one.only_left, one.only_right) == (other.only_right, other.only_left)


@pytest.mark.parametrize("class_id", [-1, 2, 3])
def test_a_class_beyond_the_model_is_refused(class_id: int) -> None:
    side = detections((1, 0, 0, 10, 10, 0.9, 1), (1, 0, 0, 10, 10, 0.8, class_id))
    for left, right in ((side, detections()), (detections(), side)):
        with pytest.raises(EvaluationError, match=f"class_id {class_id} found, expected 0 to 1"):
            compare(left, right, num_classes=2, confidence_threshold=0.25)
