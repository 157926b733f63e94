"""The kinds of errors and what they cost: by hand, against the published tool's numbers, and as properties."""

import numpy as np
import pytest

from traffic_yolo.detection.nms import Detections
from traffic_yolo.evaluation.error_split import KIND_NAMES, NO_KIND, ErrorSplit, error_costs, split_errors
from traffic_yolo.metrics.coco import evaluate_coco
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth

CLASSES = ("car", "bus")


def truth_of(rows: list[tuple[int, int, tuple[float, float, float, float], bool]], pictures: int = 1) -> GroundTruth:
    """Rows of (picture, class, xywh, ignore)."""
    boxes = np.array([row[2] for row in rows], np.float64).reshape(-1, 4)
    return GroundTruth(
        classes=CLASSES,
        image_ids=np.arange(1, pictures + 1, dtype=np.int64),
        truth_pictures=np.array([row[0] for row in rows], np.int64),
        boxes_xywh=boxes,
        class_ids=np.array([row[1] for row in rows], np.int64),
        areas=boxes[:, 2] * boxes[:, 3],
        ignore=np.array([row[3] for row in rows], np.bool_),
    )


def detections_of(rows: list[tuple[int, tuple[float, float, float, float], float]]) -> Detections:
    """Rows of (class, xyxy, score) in picture 1."""
    return Detections(
        np.ones(len(rows), np.int64),
        np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[0] for row in rows], np.int64),
    )


# One picture: a car at (0, 0, 100, 100), a bus at (200, 0, 100, 100), a car far away at (500, 500, 50, 50).
TRUTH = truth_of(
    [(0, 0, (0, 0, 100, 100), False), (0, 1, (200, 0, 100, 100), False), (0, 0, (500, 500, 50, 50), False)]
)

KINDS_BY_HAND = {
    "right": (0, (0, 0, 100, 100), None),
    "classification": (0, (200, 0, 300, 100), "classification"),  # IoU 1 with the bus
    "localisation": (0, (0, 0, 100, 40), "localisation"),  # IoU 0.4 with the car
    "both": (0, (200, 0, 300, 40), "both"),  # IoU 0.4 with the bus
    "background": (1, (700, 0, 750, 50), "background"),
    "background that touches": (0, (95, 95, 195, 195), "background"),  # IoU 25 / 19975
}


@pytest.mark.parametrize("name", list(KINDS_BY_HAND))
def test_kind_of_a_single_detection(name: str) -> None:
    class_id, box, kind = KINDS_BY_HAND[name]
    errors = split_errors(detections_of([(class_id, box, 0.9)]), TRUTH)
    assert (KIND_NAMES[errors.kinds[0]] if errors.kinds[0] != NO_KIND else None) == kind


def test_the_weaker_of_two_on_one_box_is_a_duplicate() -> None:
    errors = split_errors(detections_of([(0, (0, 0, 100, 90), 0.5), (0, (0, 0, 100, 100), 0.9)]), TRUTH)
    assert errors.kinds.tolist() == [KIND_NAMES.index("duplicate"), NO_KIND]
    assert errors.targets[0] == 0


def test_a_box_that_an_error_meant_is_undetected_but_not_missed() -> None:
    errors = split_errors(detections_of([(0, (0, 0, 100, 40), 0.9), (0, (200, 0, 300, 100), 0.8)]), TRUTH)
    assert errors.undetected.tolist() == [True, True, True]
    assert errors.missed.tolist() == [False, False, True]
    assert errors.totals() == {
        **dict.fromkeys(KIND_NAMES, 0),
        "classification": 1,
        "localisation": 1,
        "missed": 1,
    }
    assert errors.counts[KIND_NAMES.index("missed")].tolist() == [1, 0]


def test_detections_in_ignore_regions_are_no_errors_and_regions_are_never_missed() -> None:
    truth = truth_of([(0, ALL_CLASSES, (0, 0, 100, 100), True), (0, 0, (300, 0, 50, 50), False)])
    errors = split_errors(detections_of([(1, (10, 10, 40, 40), 0.9)]), truth)
    assert errors.kinds.tolist() == [NO_KIND]
    assert errors.missed.tolist() == [False, True]


def test_costs_by_hand() -> None:
    """One class with two truths: one found at 0.9, above it a background box at 0.95; the other missed.

    AP50: precision 1/2 at recall 1/2, so 51 of 101 recalls at 0.5. Without the background box 51 at 1. Asking for one
    truth only: all 101 recalls at 0.5.
    """
    truth = truth_of([(0, 0, (0, 0, 100, 100), False), (0, 0, (500, 500, 50, 50), False)])
    detections = detections_of([(0, (0, 0, 100, 100), 0.9), (0, (800, 0, 900, 90), 0.95)])
    costs = error_costs(detections, truth, split_errors(detections, truth))
    base = 51 / 101 * 0.5
    assert costs.ap50 == pytest.approx(base, abs=1e-12)
    assert costs.by_kind["background"] == pytest.approx(51 / 101 - base, abs=1e-12)
    assert costs.by_kind["missed"] == pytest.approx(0.5 - base, abs=1e-12)
    assert costs.by_kind["localisation"] == 0
    assert costs.false_positives == costs.by_kind["background"]


def test_a_localisation_error_repaired_finds_its_box_once() -> None:
    """Two loose boxes mean the one car: the stronger becomes right, the weaker goes: AP 1 after the repair."""
    truth = truth_of([(0, 0, (0, 0, 100, 100), False)])
    detections = detections_of([(0, (0, 0, 100, 40), 0.4), (0, (0, 0, 40, 100), 0.8)])
    costs = error_costs(detections, truth, split_errors(detections, truth))
    assert costs.ap50 == 0
    assert costs.by_kind["localisation"] == pytest.approx(1.0)
    assert costs.by_kind["missed"] == 0  # an error meant it


def test_a_classification_error_on_a_box_that_is_found_goes() -> None:
    detections = detections_of([(1, (200, 0, 300, 100), 0.5), (0, (200, 0, 300, 100), 0.9)])
    truth = truth_of([(0, 1, (200, 0, 100, 100), False), (0, 0, (0, 0, 100, 100), False)])
    errors = split_errors(detections, truth)
    costs = error_costs(detections, truth, errors)
    assert costs.ap50 == pytest.approx(0.5)  # bus 1, car 0
    assert costs.by_kind["classification"] == 0


def test_without_truth_costs_are_undefined_and_without_detections_everything_is_missed() -> None:
    empty = truth_of([])
    costs = error_costs(Detections.none(), empty, split_errors(Detections.none(), empty))
    assert costs.ap50 is None
    assert set(costs.by_kind.values()) == {None}
    errors = split_errors(Detections.none(), TRUTH)
    assert errors.totals()["missed"] == 3
    costs = error_costs(Detections.none(), TRUTH, errors)
    assert costs.ap50 == 0
    assert costs.by_kind["missed"] is None  # nothing is left to ask for


# What tidecv 1.0.1, the program of TIDE's authors (MIT), printed for `random_case` of these seeds: counts in the order of
# KIND_NAMES, AP50 and repairs in hundredths. Its Cls and Loc repairs are not comparable: it repairs, of all errors of
# both kinds that mean one box, only the strongest.
PUBLISHED = {
    1: (
        [43, 82, 29, 71, 93, 67],
        25.258101444874757,
        {"both": 1.92231556, "duplicate": 1.50808979, "background": 6.3247551, "missed": 9.70009321},
        (33.40526489, 17.75256271),
    ),
    5: (
        [45, 82, 35, 86, 95, 56],
        29.77652250644491,
        {"both": 1.98786934, "duplicate": 2.55455786, "background": 5.65676327, "missed": 8.73535716},
        (31.36209135, 18.51902471),
    ),
}


def random_case(seed: int, pictures: int = 40, classes: int = 4) -> tuple[Detections, GroundTruth]:
    """Boxes that jitter around the truth, some of another class, and some anywhere."""
    rng = np.random.default_rng(seed)
    places = np.sort(rng.integers(0, pictures, pictures * 6))
    count = len(places)
    corner, size = rng.uniform(0, 400, (count, 2)), rng.uniform(10, 120, (count, 2))
    class_ids = rng.integers(0, classes, count)
    truth = GroundTruth(
        tuple(f"c{index}" for index in range(classes)),
        np.arange(1, pictures + 1),
        places,
        np.concatenate([corner, size], axis=1),
        class_ids,
        size.prod(axis=1),
        np.zeros(count, np.bool_),
    )
    image_ids, boxes, found = [], [], []
    for row in range(count):
        for _ in range(rng.integers(0, 4)):
            box = np.r_[corner[row], corner[row] + size[row]] + rng.normal(0, 0.18, 4) * np.r_[size[row], size[row]]
            image_ids.append(places[row] + 1)
            boxes.append(np.r_[np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:]) + 1])
            found.append(class_ids[row] if rng.random() < 0.75 else rng.integers(0, classes))
    for _ in range(count // 2):
        corner_of, size_of = rng.uniform(0, 400, 2), rng.uniform(10, 120, 2)
        image_ids.append(rng.integers(1, pictures + 1))
        boxes.append(np.r_[corner_of, corner_of + size_of])
        found.append(rng.integers(0, classes))
    order = np.argsort(image_ids, kind="stable")
    return (
        Detections(
            np.array(image_ids, np.int64)[order],
            np.array(boxes, np.float32)[order],
            rng.uniform(0.01, 1, len(image_ids)).astype(np.float32),
            np.array(found, np.int64)[order],
        ),
        truth,
    )


@pytest.mark.parametrize("seed", list(PUBLISHED))
def test_counts_and_repairs_are_those_of_the_published_tool(seed: int) -> None:
    counts, ap50, by_kind, (false_positives, false_negatives) = PUBLISHED[seed]
    detections, truth = random_case(seed)
    errors = split_errors(detections, truth)
    assert list(errors.totals().values()) == counts
    costs = error_costs(detections, truth, errors)
    assert costs.ap50 is not None
    assert 100 * costs.ap50 == pytest.approx(ap50, abs=1e-9)
    for name, value in by_kind.items():
        assert 100 * costs.by_kind[name] == pytest.approx(value, abs=0.02), name  # type: ignore[operator]
    # Where N_GT changes, a recall falls on either side of one of the 101 steps by the last bit
    assert 100 * costs.false_positives == pytest.approx(false_positives, abs=0.02)  # type: ignore[operator]
    assert 100 * costs.false_negatives == pytest.approx(false_negatives, abs=0.02)  # type: ignore[operator]


@pytest.mark.parametrize("seed", range(4))
def test_the_split_is_complete_and_its_ap_is_cocos(seed: int) -> None:
    detections, truth = random_case(seed, pictures=12)
    errors: ErrorSplit = split_errors(detections, truth)
    assert ((errors.kinds == NO_KIND) == (errors.outcomes != 0)).all()
    assert (errors.missed <= errors.undetected).all()
    assert int(errors.counts.sum()) == int((errors.outcomes == 0).sum() + errors.missed.sum())
    assert error_costs(detections, truth, errors).ap50 == pytest.approx(
        evaluate_coco(truth, detections).ap50, abs=1e-12
    )
