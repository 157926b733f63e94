"""medianstop by hand: the mean of means, from the first reports, and only once enough trials have finished."""

import pytest

from traffic_yolo.errors import OptionsError
from traffic_yolo.katib.run.early_stopping import MedianStop


def test_the_limit_is_the_mean_of_the_first_reports_of_finished_trials() -> None:
    rule = MedianStop(True, min_trials_required=2, start_step=2)
    rule.add_finished([0.2, 0.4, 9.0])
    assert rule.limit() is None
    rule.add_finished([0.9])
    rule.add_finished([])  # nothing to learn from
    assert rule.limit() == pytest.approx((0.3 + 0.9) / 2)


@pytest.mark.parametrize(
    ("maximise", "values", "stops"),
    [
        (True, [0.1], False),  # too early
        (True, [0.1, 0.2], True),
        (True, [0.7, 0.2], False),  # its best counts
        (True, [0.1, 0.5], False),  # as good
        (False, [0.9, 0.8], True),
        (False, [0.4, 0.8], False),
    ],
)
def test_a_trial_stops_when_its_best_is_worse(maximise: bool, values: list[float], stops: bool) -> None:
    assert MedianStop(maximise, start_step=2).stops(0.5, values) is stops


def test_nothing_stops_without_a_limit() -> None:
    assert not MedianStop(True, start_step=1).stops(None, [0.0])


def test_settings_are_katibs() -> None:
    rule = MedianStop.of_settings({"start_step": "7"}, maximise=True)
    assert (rule.start_step, rule.min_trials_required) == (7, 3)
    with pytest.raises(OptionsError, match="unknown setting 'steps'"):
        MedianStop.of_settings({"steps": "7"}, maximise=True)
