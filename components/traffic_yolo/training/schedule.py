"""The learning rate of every weight update, by Darknet's rules (network.c get_current_rate), and a plain cosine."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from traffic_yolo.darknet.cfg import Section
from traffic_yolo.errors import OptionsError
from traffic_yolo.training.options import POLICIES

COSINE_END = 0.01  # share of the learning rate left at the last update of policy=cosine


@dataclass(frozen=True)
class Schedule:
    """`rate(number)` for update numbers 1, 2, … `max_batches`.

    Below `burn_in` the rate is learning_rate * (number / burn_in) ** power, whatever the policy. `steps` and `scales`
    belong to policy "steps": at each step the rate is multiplied by its scale. `step` is the length of policy "step"
    and the middle of "sigmoid", `scale` the factor of "step", `gamma` the base of "exp" and the slope of "sigmoid".
    """

    learning_rate: float
    max_batches: int
    policy: str = "constant"
    burn_in: int = 0
    power: float = 4.0
    steps: tuple[int, ...] = ()
    scales: tuple[float, ...] = ()
    learning_rate_min: float = 1e-5  # policy sgdr
    sgdr_cycle: int = 1000
    sgdr_mult: int = 2
    step: int = 1
    scale: float = 1.0
    gamma: float = 1.0
    seed: int = 0  # policy random

    def __post_init__(self) -> None:
        """Raises `OptionsError` for an unknown policy, a rate of 0 or less, or steps and scales of different length."""
        if self.policy not in _RATES:
            raise OptionsError(f"policy: expected one of {', '.join(_RATES)}, found {self.policy!r}")
        if not self.learning_rate > 0:
            raise OptionsError(f"learning_rate: expected a number above 0, found {self.learning_rate:g}")
        if len(self.steps) != len(self.scales):
            found = f"{len(self.steps)} steps and {len(self.scales)} scales"
            raise OptionsError(f"steps and scales: expected as many of one as of the other, found {found}")

    def rate(self, number: int) -> float:
        """The learning rate of update `number`, counted from 1 as Darknet counts."""
        if number < self.burn_in:
            return self.learning_rate * float((number / self.burn_in) ** self.power)
        return _RATES[self.policy](self, number)


def _steps(schedule: Schedule, number: int) -> float:
    rate = schedule.learning_rate
    for step, scale in zip(schedule.steps, schedule.scales, strict=True):
        if step > number:
            break  # Darknet stops at the first step not reached, even when a later one is smaller
        rate *= scale
    return rate


def _cosine(schedule: Schedule, number: int) -> float:
    length = max(schedule.max_batches - schedule.burn_in, 1)
    progress = min(max(number - schedule.burn_in, 0) / length, 1.0)
    return schedule.learning_rate * (COSINE_END + (1 - COSINE_END) * (1 + math.cos(math.pi * progress)) / 2)


def _poly(schedule: Schedule, number: int) -> float:
    # `power` serves the warm-up and this policy alike, as in Darknet.
    return schedule.learning_rate * float((1 - min(number / schedule.max_batches, 1.0)) ** schedule.power)


def _step(schedule: Schedule, number: int) -> float:
    return schedule.learning_rate * float(schedule.scale ** (number // schedule.step))


def _exp(schedule: Schedule, number: int) -> float:
    return schedule.learning_rate * float(schedule.gamma**number)


def _sigmoid(schedule: Schedule, number: int) -> float:
    height = schedule.gamma * (number - schedule.step)
    return schedule.learning_rate / (1 + math.exp(min(height, 700.0)))  # exp(710) is beyond a float


def _random(schedule: Schedule, number: int) -> float:
    share = float(np.random.default_rng([schedule.seed, number]).random())  # of the update alone: resumable
    return schedule.learning_rate * float(share**schedule.power)


def _sgdr(schedule: Schedule, number: int) -> float:
    start, cycle = 0, schedule.sgdr_cycle
    while start + cycle < number:
        start += cycle
        cycle *= schedule.sgdr_mult
    span = schedule.learning_rate - schedule.learning_rate_min
    return schedule.learning_rate_min + span * (1 + math.cos((number - start) * math.pi / cycle)) / 2


_RATES: dict[str, Callable[[Schedule, int], float]] = {
    "constant": lambda schedule, _: schedule.learning_rate,
    "steps": _steps,
    "cosine": _cosine,
    "poly": _poly,
    "sgdr": _sgdr,
    "step": _step,
    "exp": _exp,
    "sigmoid": _sigmoid,
    "random": _random,
}
assert set(_RATES) == set(POLICIES)


# What a cfg counts in updates and pictures: a training whose length nobody meant is too dear.
COUNTS = ("batch", "subdivisions", "max_batches", "burn_in", "steps", "step", "sgdr_cycle", "sgdr_mult")


def schedule_of(
    net: Section,
    *,
    max_batches: int,
    learning_rate: float | None = None,
    policy: str | None = None,
    burn_in: int | None = None,
    power: float | None = None,
    seed: int = 0,
) -> Schedule:
    """The schedule of a cfg's [net] section for a run of `max_batches`, under what is given in its place.

    A cfg is written for its own `max_batches`: what it counts in iterations (steps, step, sgdr_cycle, and gamma per
    iteration) keeps its share of a run of another length. Its burn_in is taken uncut. Raises `DarknetFormatError` for
    an unknown policy and for numbers that Darknet reads as others (max_batches=1e4 is 1 there), `OptionsError` as
    `Schedule` does.
    """
    net.refuse_misread_ints(*COUNTS)
    cfg_max_batches = net.get_int("max_batches", max_batches, at_least=1)
    share = max_batches / cfg_max_batches
    policy = policy or net.get_str("policy", "constant")
    if policy not in _RATES:
        raise net.error(f"policy: expected one of {', '.join(_RATES)}, found {policy!r}", key="policy")
    gamma = net.get_float("gamma", 1.0, at_least=0)
    return Schedule(
        learning_rate=learning_rate or net.get_float("learning_rate", 0.001),
        max_batches=max_batches,
        policy=policy,
        burn_in=net.get_int("burn_in", 0, at_least=0) if burn_in is None else burn_in,
        power=net.get_float("power", 4.0) if power is None else power,
        steps=tuple(round(step * share) for step in net.get_ints("steps")),
        scales=net.get_floats("scales"),
        learning_rate_min=net.get_float("learning_rate_min", 1e-5),
        sgdr_cycle=max(1, round(net.get_int("sgdr_cycle", cfg_max_batches, at_least=1) * share)),
        sgdr_mult=net.get_int("sgdr_mult", 2, at_least=1),
        step=max(1, round(net.get_int("step", 1) * share)),
        scale=net.get_float("scale", 1.0, at_least=0),
        # The base of "exp" is taken once an iteration; in "sigmoid" it is a slope over iterations.
        gamma=gamma ** (1 / share) if policy == "exp" else gamma / share,
        seed=seed,
    )
