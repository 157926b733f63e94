"""Speed and time left, on a clock of the test's own, and the text behind the bar."""

import pytest

from traffic_yolo.training.pace import WINDOW, Pace, bar_text, duration


def test_speed_is_that_of_updates_alone_and_time_left_counts_validations_too() -> None:
    pace = Pace(100.0, iteration=0, last=10)
    assert (pace.images_per_s, pace.seconds_left) == (None, None)
    pace.update(102.0, pictures=16, iteration=1)
    pace.update(104.0, pictures=16, iteration=2)
    assert (pace.images_per_s, pace.seconds_left) == (8.0, 16.0)
    pace.pause(124.0)
    assert (pace.images_per_s, pace.seconds_left) == (8.0, 96.0)
    pace.update(126.0, pictures=16, iteration=3)
    assert pace.images_per_s == 8.0


def test_what_an_earlier_run_has_done_costs_no_time_of_this_one() -> None:
    pace = Pace(0.0, iteration=90, last=100)
    pace.update(3.0, pictures=4, iteration=91)
    assert pace.seconds_left == 27.0


def test_speed_forgets_the_first_slow_updates() -> None:
    pace, now = Pace(0.0, iteration=0, last=1000), 0.0
    for number in range(1, WINDOW + 3):
        now += 50.0 if number <= 2 else 1.0
        pace.update(now, pictures=4, iteration=number)
    assert pace.images_per_s == 4.0


def test_the_bar_says_parts_rate_speed_best_and_time_left() -> None:
    text = bar_text(
        loss={"loss": 3.2149, "box": 0.4, "objectness": 2.1049, "classes": 0.71},
        learning_rate=0.0013,
        images_per_s=123.4,
        seconds_left=4000,
        best={"map50": 0.41234},
    )
    assert text == (
        "loss 3.21 (box 0.4, objectness 2.1, classes 0.71), rate 0.0013, 123 images/s, best map50 0.412, 1 h 07 min left"
    )
    assert bar_text(loss={"loss": 1234.5}, learning_rate=1e-4) == "loss 1234, rate 0.0001"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3569, "59 min"), (3599, "1 h 00 min"), (11100, "3 h 05 min"),
     (187_200, "2 d 4 h"), (float("inf"), "?"), (-3, "0 s")],
)  # fmt: skip
def test_durations_are_said_in_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text
