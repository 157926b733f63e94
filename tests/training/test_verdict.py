"""The verdict on a training, and the choice of weights that it judges fairly."""

import numpy as np
import pytest

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.class_subset import detections_of_classes, of_classes
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth
from traffic_yolo.metrics.label_attributes import LabelAttributes
from traffic_yolo.training.choice import Choice
from traffic_yolo.training.verdict import (
    IMPROVED,
    NO_BASELINE,
    UNPROVED,
    WORSENED,
    Verdict,
    judge,
)

PICTURES = 24
SIDE = 20.0


def truth(classes: tuple[str, ...] = ("car", "bus")) -> GroundTruth:
    """One car and one bus in each picture."""
    pictures = np.repeat(np.arange(PICTURES), 2)
    boxes = np.tile([[10.0, 10.0, SIDE, SIDE], [50.0, 10.0, SIDE, SIDE]], (PICTURES, 1))
    return GroundTruth(
        classes,
        np.arange(PICTURES) + 100,
        pictures,
        boxes,
        np.tile([0, 1], PICTURES),
        np.full(2 * PICTURES, SIDE * SIDE),
        np.zeros(2 * PICTURES, bool),
    )


def found(cars: range | list[int], buses: range | list[int] = range(0)) -> Detections:
    """Cars and buses detected where they are, in these pictures."""
    rows = [(picture, 0, 10.0) for picture in cars] + [(picture, 1, 50.0) for picture in buses]
    rows.sort()
    lefts = np.array([left for *_, left in rows], np.float32)
    boxes = np.stack([lefts, lefts * 0 + 10, lefts + SIDE, lefts * 0 + 10 + SIDE], axis=1).astype(np.float32)
    return Detections(
        np.array([picture + 100 for picture, *_ in rows], np.int64),
        boxes.reshape(-1, 4),
        np.full(len(rows), 0.9, np.float32),
        np.array([class_id for _, class_id, _ in rows], np.int64),
    )


def verdict(
    start: Detections, result: Detections, metric: str = "map50", classes: tuple[str, ...] = ("car",)
) -> Verdict:
    labels = LabelAttributes.without(truth())
    return judge(start, result, truth(), labels, split="val", metric=metric, classes=classes, confidence_threshold=0.25)


@pytest.mark.many(1)
@pytest.mark.parametrize("metric", ["map", "map50", "f1"])
def test_word_follows_the_interval(metric: str) -> None:
    few, many, nearly = found(range(6)), found(range(22)), found(range(7))
    assert verdict(few, many, metric).word == IMPROVED
    assert verdict(many, few, metric).word == WORSENED
    assert verdict(few, nearly, metric).word == UNPROVED
    assert verdict(few, few, metric).difference.difference.value == 0  # type: ignore[union-attr]


@pytest.mark.long
def test_only_the_classes_of_the_start_are_judged() -> None:
    start, result = found(range(20)), found(range(4), range(24))  # cars lost, buses learnt
    judged = verdict(start, result)
    assert (judged.word, judged.classes) == (WORSENED, ("car",))
    assert judged.difference is not None
    assert (judged.difference.first, judged.difference.second) == pytest.approx((20 / 24, 4 / 24), abs=0.01)
    assert verdict(start, result, classes=("bus",)).word == IMPROVED


def test_one_line_says_split_numbers_and_pictures() -> None:
    line = verdict(found(range(6)), found(range(22))).text
    assert line.startswith("val: better: 2")
    assert " AP50, 95 % interval +" in line
    assert f"{PICTURES} pictures, paired over {PICTURES} pictures" in line
    assert "\n" not in line


def test_no_truth_of_the_classes_is_no_baseline() -> None:
    empty = GroundTruth(
        ("car", "bus"), np.arange(3), np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0, np.int64), np.zeros(0),
        np.zeros(0, bool),
    )  # fmt: skip
    judged = judge(
        Detections.none(), Detections.none(), empty, LabelAttributes.without(empty), split="val", metric="map50",
        classes=("car",), confidence_threshold=0.25,
    )  # fmt: skip
    assert (judged.word, judged.difference) == (NO_BASELINE, None)
    assert "no true box of car" in judged.text


def test_classes_are_renumbered_alike_in_truth_and_detections() -> None:
    everything = truth()
    ignored = GroundTruth(
        everything.classes, everything.image_ids, np.array([0, 0, 1]), np.tile([[1.0, 1.0, 5.0, 5.0]], (3, 1)),
        np.array([ALL_CLASSES, 1, 0]), np.full(3, 25.0), np.array([True, False, False]),
    )  # fmt: skip
    part = of_classes(ignored, ("bus",))
    assert part.class_ids.tolist() == [ALL_CLASSES, 0]
    assert part.truth_pictures.tolist() == [0, 0]
    assert detections_of_classes(found([0], [0, 1]), everything.classes, ("bus",)).class_ids.tolist() == [0, 0]


def choice(metric: str = "map50") -> Choice:
    return Choice(truth(), LabelAttributes.without(truth()), metric=metric, confidence_threshold=0.25)


def test_best_is_the_first_of_the_highest_and_the_start_may_stay_it() -> None:
    following = choice()
    assert following.add(0, found(range(12)), is_start=True)
    assert not following.add(5, found(range(12)))
    assert (following.best_iteration, following.validations_without_gain) == (0, 1)
    assert following.add(10, found(range(13)))
    assert (following.best_iteration, following.validations_without_gain) == (10, 0)
    assert following.start is not None
    assert len(following.start) == 12


def test_a_class_with_few_boxes_does_not_choose_where_another_has_enough() -> None:
    def of(copies: int, buses: int) -> GroundTruth:
        """`copies` cars and a bus or none in each picture."""
        pictures = np.concatenate([np.repeat(np.arange(PICTURES), copies), np.arange(buses)])
        order = np.argsort(pictures, kind="stable")
        lefts = np.concatenate([np.tile(np.arange(copies) * 30.0, PICTURES), np.full(buses, 200.0)])
        boxes = np.stack([lefts, lefts * 0 + 10, lefts * 0 + SIDE, lefts * 0 + SIDE], axis=1)
        class_ids = np.repeat([0, 1], [copies * PICTURES, buses])
        areas, ignore = np.full(len(pictures), SIDE * SIDE), np.zeros(len(pictures), bool)
        return GroundTruth(
            ("car", "bus"), np.arange(PICTURES) + 100, pictures[order], boxes[order], class_ids[order], areas, ignore
        )

    def choosing(truth: GroundTruth) -> Choice:
        return Choice(truth, LabelAttributes.without(truth), metric="map50", confidence_threshold=0.25)

    few = choosing(of(3, 5))
    assert (few.classes, few.few) == (("car",), {"bus": 5})
    assert few.text == "the best weights are chosen by car; fewer than 50 boxes on val: bus 5"
    assert few.add(0, found([], []), is_start=True)
    assert not few.add(1, found([], range(5)))  # every bus, and no car
    assert few.best_value == 0
    assert (choosing(of(1, 5)).classes, choosing(of(1, 5)).text) == (("car", "bus"), "")  # none has enough


def test_each_half_is_judged_by_the_weights_that_the_other_half_chose() -> None:
    following = choice()
    one_half, other_half = (np.flatnonzero(following.first_half == place).tolist() for place in (True, False))
    assert abs(len(one_half) - len(other_half)) <= 1
    following.add(1, found(one_half, one_half))  # perfect in one half, blind in the other
    following.add(2, found(other_half, other_half))
    assert len(following.fair_detections()) == 0  # chosen by the other half, each is blind
    following.add(3, found(range(PICTURES), range(PICTURES)))  # equal to the others in their own half, not better
    assert len(following.fair_detections()) == 0


def test_a_choice_goes_on_from_its_state() -> None:
    whole, first = choice(), choice()
    parts = [found(range(3)), found(range(9), range(2)), found(range(5), range(9))]
    for iteration, part in enumerate(parts):
        whole.add(iteration, part, is_start=iteration == 0)
    for iteration, part in enumerate(parts[:2]):
        first.add(iteration, part, is_start=iteration == 0)
    second = choice()
    second.restore(first.state())
    second.add(2, parts[2])
    assert (second.best_value, second.best_iteration) == (whole.best_value, whole.best_iteration)
    assert second.validations_without_gain == whole.validations_without_gain
    one, other = second.fair_detections(), whole.fair_detections()
    assert one.boxes_xyxy.tolist() == other.boxes_xyxy.tolist()
    assert one.image_ids.tolist() == other.image_ids.tolist()
    assert second.start is not None
    assert second.start.image_ids.tolist() == parts[0].image_ids.tolist()
