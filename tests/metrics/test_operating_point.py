"""Matching, precision and recall, confusion matrix: against pycocotools, and by hand."""

import contextlib
import io

import numpy as np
import pytest
from examples import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from traffic_yolo.boxes import xywh_to_xyxy
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth
from traffic_yolo.metrics.matching import CORRECT, IGNORED, WRONG, match
from traffic_yolo.metrics.operating_point import confidence_curve, confusion_matrix, operating_point

CLASSES = ("CAR", "BUS")
Row = tuple[int, int, tuple[float, float, float, float]]


def truth_of(rows: list[Row], *, ignore: list[bool] | None = None, pictures: int = 3) -> GroundTruth:
    """Truth of (image id 1.., class id, xywh)."""
    order = sorted(range(len(rows)), key=lambda index: rows[index][0])
    boxes = np.array([rows[i][2] for i in order], np.float64).reshape(-1, 4)
    flags = ignore or [False] * len(rows)
    return GroundTruth(
        classes=CLASSES,
        image_ids=np.arange(1, pictures + 1),
        truth_pictures=np.array([rows[i][0] - 1 for i in order], np.int64),
        boxes_xywh=boxes,
        class_ids=np.array([rows[i][1] for i in order], np.int64),
        areas=boxes[:, 2] * boxes[:, 3],
        ignore=np.array([flags[i] for i in order], np.bool_),
    )


def detections_of(rows: list[tuple[int, int, float, tuple[float, float, float, float]]]) -> Detections:
    """Detections of (image id, class id, score, xywh)."""
    return Detections(
        np.array([row[0] for row in rows], np.int64),
        xywh_to_xyxy(np.array([row[3] for row in rows], np.float32).reshape(-1, 4)),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[1] for row in rows], np.int64),
    )


def coco_matches(
    found: Detections, truth: GroundTruth, iou: float, *, by_class: bool = True
) -> dict[int, tuple[int, int]]:
    """What pycocotools' evalImgs say of each detection: row -> (outcome, row of the true box or -1).

    Crowds are the truth's ignored boxes. Not `by_class`: pycocotools' useCats=0.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        indices = []
        xyxy = found.boxes_xyxy.astype(np.float64)
        xywh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
        truths = [
            {
                "id": row + 1,
                "image_id": int(truth.truth_pictures[row]) + 1,
                "category_id": int(truth.class_ids[row]),
                "bbox": truth.boxes_xywh[row].tolist(),
                "area": float(truth.areas[row]),
                "iscrowd": int(truth.ignore[row]),
            }
            for row in range(len(truth.class_ids))
        ]
        results = [
            {
                "id": row + 1,
                "image_id": int(found.image_ids[row]),
                "category_id": int(found.class_ids[row]),
                "bbox": xywh[row].tolist(),
                "area": 1.0,
                "score": float(found.scores[row]),
                "iscrowd": 0,
            }
            for row in range(len(found))
        ]
        for annotations in (truths, results):
            index = COCO()
            index.dataset = {
                "images": [{"id": int(i)} for i in truth.image_ids],
                "categories": [{"id": 0}, {"id": 1}],
                "annotations": annotations,
            }
            index.createIndex()
            indices.append(index)
        evaluator = COCOeval(*indices, "bbox")
        evaluator.params.iouThrs = np.array([iou])
        evaluator.params.areaRng = [[0, 1e10]]
        evaluator.params.areaRngLbl = ["all"]
        evaluator.params.maxDets = [10_000]
        evaluator.params.useCats = int(by_class)
        evaluator.evaluate()
    outcomes = {}
    for picture in evaluator.evalImgs:
        if picture is not None:
            for detection, matched, ignored in zip(
                picture["dtIds"], picture["dtMatches"][0], picture["dtIgnore"][0], strict=True
            ):
                outcome = IGNORED if ignored else (CORRECT if matched else WRONG)
                outcomes[detection - 1] = (outcome, int(matched) - 1)
    return outcomes


def coco_outcomes(found: Detections, truth: GroundTruth, iou: float) -> dict[int, int]:
    """The outcomes alone of `coco_matches`."""
    return {row: outcome for row, (outcome, _) in coco_matches(found, truth, iou).items()}


SMALL_BOX = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 10), st.integers(1, 10))


@examples(120)
@given(
    truths=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1), SMALL_BOX), max_size=14),
    crowds=st.lists(st.booleans(), min_size=14, max_size=14),
    found=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1), st.integers(1, 5), SMALL_BOX), max_size=20),
    iou=st.sampled_from([0.3, 0.5, 0.75, 1.0]),
)
def test_outcomes_are_those_of_pycocotools(
    truths: list[Row],
    crowds: list[bool],
    found: list[tuple[int, int, int, tuple[float, float, float, float]]],
    iou: float,
) -> None:
    truth = truth_of(truths, ignore=[a and b for a, b in zip(crowds, [*crowds[1:], True], strict=True)][: len(truths)])
    detections = detections_of([(i, c, score / 5, box) for i, c, score, box in found])
    matching = match(detections, truth, iou=iou)
    ours = dict(zip(matching.order.tolist(), matching.outcomes.tolist(), strict=True))
    assert ours == coco_outcomes(detections, truth, iou)


@settings(max_examples=60)
@given(
    truths=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1), SMALL_BOX), max_size=14),
    crowds=st.lists(st.booleans(), min_size=14, max_size=14),
    found=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 1), SMALL_BOX), max_size=20),
    iou=st.sampled_from([0.3, 0.5, 0.75, 1.0]),
)
def test_the_confusion_matrix_is_pycocotools_matching_without_categories(
    truths: list[Row],
    crowds: list[bool],
    found: list[tuple[int, int, tuple[float, float, float, float]]],
    iou: float,
) -> None:
    # In the order in which pycocotools puts the categories together: which of two equal overlaps wins depends on it
    truth = truth_of(sorted(truths, key=lambda row: row[:2]), ignore=crowds[: len(truths)])
    detections = detections_of([(i, c, 1 - place / 40, box) for place, (i, c, box) in enumerate(found)])
    expected = np.zeros((3, 3), np.int64)
    missed = ~truth.ignore
    for row, (outcome, true_box) in coco_matches(detections, truth, iou, by_class=False).items():
        if outcome == CORRECT:
            expected[truth.class_ids[true_box], detections.class_ids[row]] += 1
            missed[true_box] = False
        elif outcome == WRONG:
            expected[2, detections.class_ids[row]] += 1
    np.add.at(expected[:, 2], truth.class_ids[missed], 1)
    np.testing.assert_array_equal(confusion_matrix(detections, truth, iou=iou).counts, expected)


@pytest.mark.parametrize("seed", range(3))
def test_true_positives_at_every_confidence_are_those_of_pycocotools(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truths = [
        (int(rng.integers(1, 4)), int(rng.integers(2)), (*rng.uniform(0, 300, 2), *rng.uniform(20, 80, 2)))
        for _ in range(40)
    ]
    found = []
    for image_id, class_id, box in truths * 3:
        moved = tuple((np.array(box) + rng.normal(0, 7, 4)).clip(1).tolist())
        found.append((image_id, class_id, float(rng.random()), moved))
    truth, detections = truth_of(truths), detections_of(found)
    outcomes = coco_outcomes(detections, truth, 0.5)
    matching = match(detections, truth)
    for confidence in (0.1, 0.25, 0.5, 0.9):
        point = operating_point(matching, CLASSES, confidence_threshold=confidence, iou_threshold=0.45)
        kept = [outcomes[row] for row in range(len(detections)) if detections.scores[row] > np.float32(confidence)]
        assert point.true_positives == kept.count(CORRECT) > 0
        assert point.false_positives == kept.count(WRONG)
        assert point.true_positives + point.false_negatives == len(truths)


def test_precision_recall_and_f1_by_hand() -> None:
    car, bus = (0.0, 0.0, 10.0, 10.0), (50.0, 0.0, 10.0, 10.0)
    truth = truth_of([(1, 0, car), (1, 1, bus), (2, 0, car)])
    found = detections_of([(1, 0, 0.9, car), (1, 0, 0.8, (1.0, 0.0, 10.0, 10.0)), (1, 0, 0.7, bus), (2, 0, 0.2, car)])
    point = operating_point(match(found, truth), CLASSES, confidence_threshold=0.25, iou_threshold=0.45)
    assert (point.true_positives, point.false_positives, point.false_negatives) == (1, 2, 2)
    assert point.precision == pytest.approx(1 / 3)
    assert point.recall == pytest.approx(1 / 3)
    assert point.f1 == pytest.approx(1 / 3)
    assert point.false_positives_per_picture == pytest.approx(2 / 3)
    assert [(c.class_name, c.true_positives, c.false_positives, c.false_negatives) for c in point.per_class] == [
        ("CAR", 1, 2, 1),
        ("BUS", 0, 0, 1),
    ]


def test_nothing_to_divide_by_gives_zero() -> None:
    nothing = operating_point(
        match(Detections.none(), truth_of([])), CLASSES, confidence_threshold=0.5, iou_threshold=0.5
    )
    assert (nothing.precision, nothing.recall, nothing.f1) == (0, 0, 0)
    box = (0.0, 0.0, 10.0, 10.0)
    unfounded = match(detections_of([(1, 0, 0.9, box)]), truth_of([]))
    assert operating_point(unfounded, CLASSES, confidence_threshold=0.5, iou_threshold=0.5).f1 == 0


def test_the_curve_agrees_with_the_operating_points() -> None:
    rng = np.random.default_rng(3)
    truths = [(1 + i % 3, i % 2, (20.0 * i, 0.0, 10.0, 10.0)) for i in range(20)]
    found = [(i, c, float(rng.random()), (x + float(rng.normal(0, 2)), y, w, h)) for i, c, (x, y, w, h) in truths * 2]
    matching = match(detections_of(found), truth_of(truths))
    confidences = np.array([0.0, 0.25, float(matching.scores[4]), 0.5, 0.99])
    confidences.sort()
    curve = confidence_curve(matching, confidences)
    for index, confidence in enumerate(confidences):
        point = operating_point(matching, CLASSES, confidence_threshold=float(confidence), iou_threshold=0.45)
        assert (curve.precision[index], curve.recall[index], curve.f1[index]) == pytest.approx(
            (point.precision, point.recall, point.f1), abs=1e-12
        )


def test_an_ignore_region_takes_detections_of_every_class_and_is_never_missed() -> None:
    truth = truth_of([(1, ALL_CLASSES, (0.0, 0.0, 100.0, 100.0))], ignore=[True])
    found = detections_of([(1, 0, 0.9, (10.0, 10.0, 5.0, 5.0)), (1, 1, 0.8, (20.0, 10.0, 5.0, 5.0))])
    point = operating_point(match(found, truth), CLASSES, confidence_threshold=0.1, iou_threshold=0.45)
    assert (point.true_positives, point.false_positives, point.false_negatives) == (0, 0, 0)
    assert not confusion_matrix(found, truth).counts.any()


def test_the_confusion_matrix_tells_wrong_class_from_background() -> None:
    car, bus, far = (0.0, 0.0, 10.0, 10.0), (50.0, 0.0, 10.0, 10.0), (200.0, 0.0, 10.0, 10.0)
    truth = truth_of([(1, 0, car), (1, 1, bus), (2, 1, far)])
    found = detections_of([(1, 0, 0.9, car), (1, 0, 0.8, bus), (1, 1, 0.6, bus), (3, 1, 0.7, far)])
    matrix = confusion_matrix(found, truth)
    assert matrix.labels == ("CAR", "BUS", "background")
    # rows: truth. The bus was taken by the stronger CAR, so its second report stands on background.
    assert matrix.counts.tolist() == [[1, 0, 0], [1, 0, 1], [0, 2, 0]]
    assert matrix.counts[:2].sum() == 3


def test_an_overlap_of_exactly_a_half_is_a_match() -> None:
    truth = truth_of([(1, 0, (0.0, 0.0, 10.0, 10.0)), (2, 1, (0.0, 0.0, 10.0, 10.0))])
    found = detections_of([(1, 1, 0.9, (0.0, 0.0, 10.0, 5.0)), (2, 1, 0.9, (0.0, 0.0, 10.0, 4.9))])
    assert confusion_matrix(found, truth).counts.tolist() == [[0, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert match(detections_of([(1, 0, 0.9, (0.0, 0.0, 10.0, 5.0))]), truth).outcomes.tolist() == [CORRECT]


def test_of_true_boxes_that_overlap_equally_the_last_one_is_found_as_in_pycocotools() -> None:
    truth = truth_of([(1, 0, (0.0, 0.0, 10.0, 10.0)), (1, 1, (6.0, 0.0, 10.0, 10.0))])
    between = detections_of([(1, 0, 0.9, (3.0, 0.0, 10.0, 10.0))])  # IoU 70 / 130 with either
    assert confusion_matrix(between, truth).counts.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_detections_of_other_pictures_or_classes_are_refused() -> None:
    box = (0.0, 0.0, 10.0, 10.0)
    with pytest.raises(EvaluationError, match="detections for picture 9, which the ground truth does not have"):
        match(detections_of([(9, 0, 0.5, box)]), truth_of([]))
    with pytest.raises(EvaluationError, match="detections of class 2, but the ground truth has 2 classes"):
        match(detections_of([(1, 2, 0.5, box)]), truth_of([]))
