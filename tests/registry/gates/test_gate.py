"""The rules of gates: which end of an interval is held to which side of which limit, and what would decide."""

import math

import pytest
from examples import examples
from hypothesis import assume, given
from hypothesis import strategies as st

from traffic_yolo.errors import OptionsError
from traffic_yolo.metrics.bootstrap import Interval
from traffic_yolo.registry.gates.gate import (
    FAILED,
    GUARD_ERROR,
    PASSED,
    SKIPPED,
    UNDECIDED,
    Change,
    Gate,
    comparison,
    gate_of,
    guard,
    guard_confidence,
    minimum,
    needed_groups,
    parity,
    recordings,
    training,
)
from traffic_yolo.registry.gates.rules import BETTER, NO_WORSE, GateRules, parse_minimum


def change(
    value: float, low: float, high: float, *, groups: int = 10, of: str = "recording", pictures: int = 200
) -> Change:
    return Change(0.5, 0.5 + value, Interval(value, low, high), groups, of, pictures)


@pytest.mark.parametrize(
    ("value", "low", "high", "no_worse", "better"),
    [
        (0.0, -0.0099, 0.02, PASSED, UNDECIDED),
        (0.0, -0.01, 0.02, UNDECIDED, UNDECIDED),  # the limit itself is not above it
        (0.02, 0.0, 0.04, PASSED, UNDECIDED),
        (0.02, 1e-9, 0.04, PASSED, PASSED),
        (0.05, -0.3, 0.4, UNDECIDED, UNDECIDED),
        (-0.02, -0.03, -0.0101, FAILED, FAILED),
        (-0.02, -0.03, -0.01, FAILED, FAILED),
        (-0.02, -0.03, -0.0099, UNDECIDED, FAILED),
        (-0.005, -0.009, 0.0, PASSED, FAILED),
        (0.0, 0.0, 0.0, PASSED, FAILED),  # equal to the last box: no worse, and no better
        (-0.05, -0.09, 0.001, UNDECIDED, UNDECIDED),
    ],
)
def test_the_headline_wants_the_whole_interval_above_the_limit(
    value: float, low: float, high: float, no_worse: str, better: str
) -> None:
    found = change(value, low, high)
    assert comparison("x", found, gate=NO_WORSE, against="v").verdict == no_worse
    assert comparison("x", found, gate=BETTER, against="v").verdict == better


@pytest.mark.parametrize(
    ("value", "low", "high", "no_worse", "better"),
    [
        (-0.2, -0.5, 0.001, PASSED, PASSED),  # a loss that is not shown
        (-0.2, -0.5, -0.001, PASSED, FAILED),
        (-0.2, -0.5, -0.01, PASSED, FAILED),
        (-0.2, -0.5, -0.0101, FAILED, FAILED),
        (0.0, 0.0, 0.0, PASSED, PASSED),
        (0.2, 0.1, 0.3, PASSED, PASSED),
    ],
)
def test_a_class_fails_only_where_a_loss_is_shown(
    value: float, low: float, high: float, no_worse: str, better: str
) -> None:
    found = change(value, low, high)
    assert guard("x", found, gate=NO_WORSE, against="v").verdict == no_worse
    assert guard("x", found, gate=BETTER, against="v").verdict == better


def test_the_guards_share_one_chance_to_fail_by_luck() -> None:
    assert guard_confidence(1) == pytest.approx(0.95)
    assert guard_confidence(10) == pytest.approx(0.995)
    assert guard_confidence(0) == pytest.approx(0.95)
    for count in (1, 3, 40):  # an upper end alone fails one, so what lies beyond it is half of what the interval leaves
        assert count * (1 - guard_confidence(count)) / 2 <= GUARD_ERROR / 2 + 1e-12


@examples(60)
@given(value=st.floats(-0.2, 0.2), below=st.floats(0.001, 0.5), above=st.floats(0.001, 0.5),
       groups=st.integers(5, 60), limit=st.sampled_from([-0.01, 0.0]))  # fmt: skip
def test_as_many_groups_as_are_said_to_be_needed_would_decide(
    value: float, below: float, above: float, groups: int, limit: float
) -> None:
    """Intervals that narrow with the root of the number: at the stated number they lie on one side, at fewer they do not."""
    assume(value - below <= limit < value + above)
    assume(abs(value - limit) > 1e-4)
    found = change(value, value - below, value + above, groups=groups)
    needed = needed_groups(found, limit)
    assert needed is not None

    def decides(count: int) -> bool:
        narrowed = math.sqrt(groups / count)
        return value - below * narrowed >= limit - 1e-9 if value > limit else value + above * narrowed <= limit + 1e-9

    assert decides(needed)
    assert needed == groups + 1 or not decides(needed - 1)


def test_a_change_at_the_limit_is_decided_by_no_number_of_pictures() -> None:
    assert needed_groups(change(-0.01, -0.03, 0.02), -0.01) is None
    sentence = comparison("x", change(-0.01, -0.03, 0.02), gate=NO_WORSE, against="v").sentence
    assert "no number of pictures would decide" in sentence


def test_what_is_undecided_says_how_many_labelled_pictures_would_decide() -> None:
    found = comparison("in_use_map50", change(0.02, -0.04, 0.08), gate=NO_WORSE, against="0001 (in use)")
    # 10 recordings of 20 pictures, an end .06 below and .03 of room: four times as many
    assert found.text == (
        "in_use_map50: UNDECIDED 0.020 (limit above -0.01) 0.520 instead of 0.500: +0.020, 95 % interval -0.040 to "
        "+0.080 over 10 recordings, against 0001 (in use). The interval is too wide to say: about 40 recordings, about "
        "800 pictures, labelled, would decide for it, if the change stays"
    )
    worse = comparison("x", change(-0.05, -0.08, 0.03, of="picture"), gate=NO_WORSE, against="v")
    assert "about 40 pictures, labelled, would decide against it" in worse.sentence


@pytest.mark.parametrize(
    ("measured", "least", "verdict"),
    [(0.3, 0.3, PASSED), (0.2999, 0.3, FAILED), (0.0, 0.0, PASSED), (0.0, None, FAILED), (1e-9, None, PASSED),
     (None, 0.3, UNDECIDED), (None, None, UNDECIDED)],
)  # fmt: skip
def test_a_minimum_is_reached_or_not(measured: float | None, least: float | None, verdict: str) -> None:
    assert minimum("minimum_f1", measured, least).verdict == verdict


def test_few_recordings_pass_only_where_they_were_accepted() -> None:
    assert recordings(5, split="test", accept_few=False).verdict == PASSED
    assert recordings(4, split="test", accept_few=False).verdict == FAILED
    assert recordings(0, split="test", accept_few=False).verdict == FAILED
    accepted = recordings(4, split="test", accept_few=True)
    assert (accepted.verdict, accepted.measured) == (PASSED, 4)
    assert "split test has 4 recordings; accepted (accept_few)" in accepted.text
    assert "accepted" not in recordings(5, split="test", accept_few=True).text


def test_parity_and_training_say_what_they_found() -> None:
    assert parity(True, 0.97, ()).text == "parity: passed 0.970 of the boxes agree under nvinfer's rules"
    assert parity(False, 0.2, ("one", "two")).text == "parity: FAILED 0.200 one; two"
    assert training(None).verdict == SKIPPED
    assert training(()).verdict == PASSED
    assert training(("test: worse",)).text == "training: FAILED 1 test: worse"


def test_only_what_failed_or_is_undecided_blocks() -> None:
    verdicts = {verdict: Gate("x", verdict, None, "", "").blocks for verdict in (PASSED, FAILED, UNDECIDED, SKIPPED)}
    assert verdicts == {PASSED: False, FAILED: True, UNDECIDED: True, SKIPPED: False}


def test_a_gate_is_read_back_from_its_plain_values() -> None:
    for gate in (parity(True, 0.9, ()), training(("worse",)), minimum("m", None, 0.5)):
        assert gate_of(gate.document()) == gate
    for wrong in ({}, [], {**training(()).document(), "verdict": "fine"}, {**training(()).document(), "measured": "1"}):
        with pytest.raises(ValueError, match="expected"):
            gate_of(wrong)


def test_minimums_are_read() -> None:
    assert parse_minimum("map50=.3, f1 = 0.5") == {"map50": 0.3, "f1": 0.5}
    assert parse_minimum("") == {}


@pytest.mark.parametrize("text", ["map50", "ap50=.3", "f1=.3,f1=.4", "f1=2", "f1=-1", "f1=nan", "f1=high", "=1"])
def test_what_is_no_minimum_is_refused(text: str) -> None:
    with pytest.raises(OptionsError, match="minimum: expected"):
        parse_minimum(text)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(OptionsError, match="gate: expected one of no-worse, better, any"):
        GateRules(gate="same")
    with pytest.raises(OptionsError, match="gate_metric: expected one of map50, map, f1"):
        GateRules(metric="ap")
