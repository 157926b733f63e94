"""The learning rate: Darknet's own numbers, and how a cfg's schedule fits a run of another length."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.errors import DarknetFormatError, OptionsError
from traffic_yolo.training.schedule import Schedule, schedule_of


def test_rates_are_those_that_darknet_used(reference: Path) -> None:
    golden = np.load(reference / "golden" / "training" / "tiny-train-v4-burnin.npz")
    rates = [iteration["rate"] for iteration in json.loads(str(golden["params"]))["iters"]]
    net = Cfg.parse(str(golden["cfg"])).net
    schedule = schedule_of(net, max_batches=net.get_int("max_batches", 0))
    assert [schedule.rate(number) for number in range(1, 7)] == pytest.approx(rates, rel=1e-6)


def test_warm_up_has_the_fourth_power_unless_the_cfg_says_otherwise() -> None:
    schedule = Schedule(0.1, 100, burn_in=10)
    assert schedule.rate(5) == pytest.approx(0.1 * 0.5**4)
    assert schedule.rate(10) == 0.1


def test_steps_stop_at_the_first_one_not_reached() -> None:
    schedule = Schedule(1.0, 100, "steps", steps=(10, 50, 20), scales=(0.1, 0.1, 0.5))
    assert [schedule.rate(number) for number in (9, 10, 49)] == pytest.approx([1, 0.1, 0.1])
    assert schedule.rate(50) == pytest.approx(0.005)


def test_cosine_falls_from_the_rate_to_a_hundredth() -> None:
    schedule = Schedule(1.0, 110, "cosine", burn_in=10)
    assert schedule.rate(10) == pytest.approx(1.0)
    assert schedule.rate(60) == pytest.approx(0.505)
    assert schedule.rate(110) == pytest.approx(0.01)


def test_sgdr_restarts_and_doubles_its_cycle() -> None:
    schedule = Schedule(1.0, 100, "sgdr", learning_rate_min=0.0, sgdr_cycle=10, sgdr_mult=2)
    assert schedule.rate(5) == pytest.approx(0.5)
    assert schedule.rate(10) == pytest.approx(0.0)
    assert schedule.rate(11) == pytest.approx((1 + math.cos(math.pi / 20)) / 2)
    assert schedule.rate(20) == pytest.approx(0.5)


def test_poly_reaches_nothing_at_the_end() -> None:
    schedule = Schedule(1.0, 100, "poly", power=2)
    assert [schedule.rate(number) for number in (50, 100)] == pytest.approx([0.25, 0])


NET = "[net]\nlearning_rate=.01\nburn_in=1000\nmax_batches=10000\npolicy=steps\nsteps=8000,9000\nscales=.1,.1\n"


def schedule_of_net(text: str, max_batches: int = 10000) -> Schedule:
    """The schedule of a [net] section, nothing given beside it."""
    return schedule_of(Cfg.parse(text).net, max_batches=max_batches)


def test_steps_of_a_cfg_keep_their_share_of_a_shorter_run() -> None:
    schedule = schedule_of_net(NET, 500)
    assert (schedule.steps, schedule.burn_in, schedule.learning_rate) == ((400, 450), 1000, 0.01)


def test_what_is_given_goes_before_the_cfg() -> None:
    schedule = schedule_of(Cfg.parse(NET).net, max_batches=10000, learning_rate=0.5, burn_in=0, policy="cosine")
    assert (schedule.learning_rate, schedule.burn_in, schedule.policy) == (0.5, 0, "cosine")


def test_unknown_policy_is_refused_with_its_line() -> None:
    with pytest.raises(DarknetFormatError, match=r"line 5 \[net\]: policy: expected one of constant, .* found 'stepz'"):
        schedule_of_net(NET.replace("=steps", "=stepz"))


def test_steps_without_scales_are_refused() -> None:
    with pytest.raises(OptionsError, match="found 2 steps and 0 scales"):
        schedule_of_net(NET.replace("scales=.1,.1\n", ""))


# network.c get_current_rate, by hand
@pytest.mark.parametrize(
    ("keys", "rates"),
    [
        ("policy=step\nstep=3\nscale=.5\n", {2: 1, 3: 0.5, 5: 0.5, 6: 0.25}),
        ("policy=exp\ngamma=.5\n", {1: 0.5, 3: 0.125}),
        ("policy=sigmoid\ngamma=.5\nstep=4\n", {4: 0.5, 6: 1 / (1 + math.e), 2: 1 / (1 + 1 / math.e)}),
        ("policy=poly\npower=2\n", {10: 0.25}),
        ("policy=steps\nsteps=-1,5\nscales=.1,10\n", {1: 0.1, 5: 1}),
    ],
)
def test_policies_of_darknet(keys: str, rates: dict[int, float]) -> None:
    schedule = schedule_of_net(f"[net]\nlearning_rate=1\nmax_batches=20\n{keys}", 20)
    assert {number: schedule.rate(number) for number in rates} == pytest.approx(rates)


@pytest.mark.parametrize(
    "keys", ["policy=step\nstep=30\nscale=.5\n", "policy=exp\ngamma=.99\n", "policy=sigmoid\ngamma=.1\nstep=40\n"]
)
def test_policies_that_count_iterations_keep_their_shape_in_a_shorter_run(keys: str) -> None:
    text = f"[net]\nlearning_rate=1\nmax_batches=100\n{keys}"
    whole, half = schedule_of_net(text, 100), schedule_of_net(text, 50)
    assert [half.rate(number) for number in (10, 20, 40)] == pytest.approx([whole.rate(n) for n in (20, 40, 80)])


def test_random_policy_is_the_same_for_a_seed_and_below_the_rate() -> None:
    net = Cfg.parse("[net]\nlearning_rate=.5\npolicy=random\npower=1\n").net
    first, again, other = (schedule_of(net, max_batches=50, seed=seed) for seed in (1, 1, 2))
    rates = [first.rate(number) for number in range(1, 51)]
    assert rates == [again.rate(number) for number in range(1, 51)]
    assert rates != [other.rate(number) for number in range(1, 51)]
    assert 0 < min(rates) < 0.1 < 0.4 < max(rates) < 0.5


def test_learning_rate_of_nothing_is_refused() -> None:
    with pytest.raises(OptionsError, match="learning_rate: expected a number above 0, found 0"):
        Schedule(0.0, 10)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "max_batches=10000",
            "max_batches=1e4",
            "line 4 [net]: max_batches: expected a whole number of digits alone, ",
        ),
        (
            "steps=8000,9000",
            "steps=8000,9e3",
            "line 6 [net]: steps: expected a whole number of digits alone, found '9e3'",
        ),
        ("burn_in=1000", "burn_in=1000.5", "found '1000.5', of which Darknet reads 1000"),
    ],
)
def test_a_length_that_darknet_reads_as_another_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(DarknetFormatError, match=re.escape(words)):
        schedule_of_net(NET.replace(old, new))
