"""The choice among candidates, by values calculated by hand."""

import random

import numpy as np
import pytest

from traffic_yolo.dataset.records import Annotation
from traffic_yolo.labelling.candidate import Candidate, any_of, doubt, presence_of, uncertainty_of
from traffic_yolo.labelling.choice import LEAST_WORTH, choose, rarity
from traffic_yolo.labelling.options import SelectOptions

EVEN = {"CAR": 10.0, "BUS": 10.0}  # no class is rare


def options(**given: float) -> SelectOptions:
    return SelectOptions(source="any", keep_splits="any", **given)  # type: ignore[arg-type]


def candidate(
    name: str, uncertainty: float = 0.0, camera: str = "c", hour: int | None = 7, **more: object
) -> Candidate:
    return Candidate(name=name, site="A", camera=camera, hour=hour, uncertainty=uncertainty, **more)  # type: ignore[arg-type]


def names(candidates: list[Candidate], labelled: dict[str, float] = EVEN, **given: float) -> list[str]:
    return [one.candidate.name for one in choose(candidates, labelled, options(**given))[0]]


@pytest.mark.parametrize(
    ("score", "expected"), [(0.4, 1.0), (0.2, 0.5), (0.0, 0.0), (0.7, 0.5), (1.0, 0.0), (0.3, 0.75)]
)
def test_doubt_is_greatest_at_the_threshold_and_falls_to_none_at_both_ends(score: float, expected: float) -> None:
    assert doubt(score, 0.4) == pytest.approx(expected)


def test_uncertainty_is_the_mean_of_the_five_most_doubtful_boxes() -> None:
    assert uncertainty_of([0.5, 0.25], 0.5) == pytest.approx((1 + 0.5) / 5)
    assert uncertainty_of([0.5] * 5 + [0.9] * 50, 0.5) == pytest.approx(1)
    assert uncertainty_of([], 0.5) == 0


def test_presence_and_expected_boxes_of_a_class_follow_from_its_scores() -> None:
    box = (0.0, 0.0, 9.0, 9.0)
    found = [
        Annotation("CAR", box, "model", 0.5),
        Annotation("CAR", box, "model", 0.8),
        Annotation("BUS", box, "model"),
    ]
    assert presence_of(found) == ({"CAR": pytest.approx(1 - 0.5 * 0.2), "BUS": 0.0}, {"CAR": 1.3, "BUS": 0.0})
    assert any_of([0.5, 0.8]) == pytest.approx(0.9)
    assert any_of([]) == 0


def test_rarity_is_what_a_class_lacks_of_an_even_share() -> None:
    # 120 boxes of 3 classes: an even share is 40
    assert rarity(np.array([100.0, 20.0, 0.0])).tolist() == [0.0, 0.5, 1.0]
    assert rarity(np.zeros(2)).tolist() == [1.0, 1.0]


def test_pictures_are_shared_out_over_cameras_and_hours_as_seats_are() -> None:
    # Weights 1 and 0: worths 0.9, 0.9 / 2, 0.9 / 3 of the one group and 0.4, 0.4 / 2 of the other
    busy = [candidate(f"busy/{number}", 0.9) for number in range(3)]
    quiet = [candidate(f"quiet/{number}", 0.4, hour=3) for number in range(3)]
    found = names([*quiet, *busy], budget=5, rare_weight=0, radar_weight=0)
    assert found == ["busy/0", "busy/1", "quiet/0", "busy/2", "quiet/1"]


def test_the_choice_does_not_depend_on_the_order_of_the_candidates() -> None:
    candidates = [candidate(f"r/{n}", (n % 4) / 4, hour=n % 3, presence={"BUS": n % 2}, expected={"BUS": n % 2})
                  for n in range(20)]  # fmt: skip
    shuffled = random.Random(5).sample(candidates, len(candidates))
    assert names(shuffled, budget=12) == names(candidates, budget=12)


def test_a_class_is_rare_no_more_once_enough_of_it_was_taken() -> None:
    # 12 labelled boxes of 3 classes, an even share is 4: MOTORCYCLE lacks all of it, BUS half
    labelled = {"CAR": 10.0, "BUS": 2.0, "MOTORCYCLE": 0.0}
    many = [candidate(f"motorcycles/{n}", camera=f"m{n}", presence={"MOTORCYCLE": 1.0}, expected={"MOTORCYCLE": 4.0})
            for n in range(2)]  # fmt: skip
    bus = candidate("bus/0", camera="b", presence={"BUS": 1.0}, expected={"BUS": 1.0})
    chosen, _ = choose([*many, bus], labelled, options(budget=2))
    assert [one.candidate.name for one in chosen] == ["motorcycles/0", "bus/0"]
    assert [one.rare_class for one in chosen] == ["MOTORCYCLE", "BUS"]
    # With four more, 16 boxes, an even share of 16 / 3: BUS lacks 1 - 2 / (16 / 3)
    assert [one.rare for one in chosen] == pytest.approx([1.0, 0.625])
    assert chosen[0].worth == pytest.approx(1 / 3)


def test_what_looks_like_a_picture_that_was_taken_is_passed_over_at_the_same_camera_alone() -> None:
    looks = {"a/0": 0b0, "a/1": 0b1111, "a/2": 0b11111}
    same = [candidate(name, 0.5, look=look) for name, look in looks.items()]
    other = candidate("b/0", 0.1, camera="other", look=0b0)
    chosen, passed = choose([*same, other], EVEN, options(near_distance=4))
    assert [one.candidate.name for one in chosen] == ["a/0", "a/2", "b/0"]
    assert passed == 1


def test_radar_and_weights_decide() -> None:
    doubtful, unseen = candidate("doubtful", 0.6), candidate("unseen", radar=0.5, tracks=1)
    assert names([doubtful, unseen], budget=1) == ["doubtful"]
    assert names([doubtful, unseen], budget=1, radar_weight=2) == ["unseen"]


def test_the_reason_names_the_strongest_part_first() -> None:
    one = candidate("r/1", 0.4, doubts=(("CAR", 0.3),), radar=0.9, tracks=2, boxes=1)
    [chosen] = choose([one], EVEN, options())[0]
    assert (
        chosen.reason
        == "radar: 2 tracks without a box, 1 box without a track; uncertain: CAR 0.30; number 1 of A/c 07h"
    )
    [plain] = choose([candidate("r/2", hour=None)], EVEN, options())[0]
    assert (plain.reason, plain.worth) == ("number 1 of A/c", LEAST_WORTH)
