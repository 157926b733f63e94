"""Darknet's rejection of suspicious deltas late in a training (yolo_layer.c 745-854, rule 17): off unless [net] asks.

Keys of [net]: badlabels_rejection_percentage, num_sigmas_reject_badlabels, equidistant_point.
"""

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from traffic_yolo.darknet.cfg import Section

OLD_SHARE = 0.99  # of rolling numbers
THRESHOLD_STEP = 0.01
LOW_FACTOR = 1.4  # of the rolling mean, below which equidistant_point lets deltas go


@dataclass
class RollingState:
    """What calls leave for later ones, over all heads: of absolute deltas, and the threshold of the percentage."""

    largest: float = 0.0
    mean: float = 0.0
    deviation: float = 0.0
    threshold: float = 0.0


class Rejection:
    """Sets deltas to 0 that are too large or too small to be believed; changes with every call while active."""

    def __init__(self, net: Section, *, max_batches: int) -> None:
        """`max_batches`: updates of the whole training; the rejection of large deltas starts after 3/4 of them."""
        self.percentage = net.get_float("badlabels_rejection_percentage", 0.0)
        self.sigmas = net.get_float("num_sigmas_reject_badlabels", 0.0)
        self.equidistant_point = net.get_int("equidistant_point", 0)
        self.max_batches = max_batches
        self.start = max_batches * 3 // 4
        self.state = RollingState()

    @property
    def keys(self) -> list[str]:
        """The keys of [net] that ask for a rejection."""
        asked = {
            "badlabels_rejection_percentage": self.percentage,
            "num_sigmas_reject_badlabels": self.sigmas,
            "equidistant_point": self.equidistant_point,
        }
        return [key for key, value in asked.items() if value]

    def state_dict(self) -> dict[str, float]:
        """The rolling numbers, for a checkpoint."""
        return {field.name: getattr(self.state, field.name) for field in fields(self.state)}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Takes over what `state_dict` gave."""
        self.state = RollingState(**state)

    def apply(self, delta: Tensor, *, iteration: int) -> None:
        """Changes the deltas of one head (any shape) in place; `iteration` counts the updates done before."""
        large = iteration > self.start
        by_sigmas, by_percentage = bool(self.sigmas) and large, bool(self.percentage) and large
        low = 0 < self.equidistant_point < iteration
        if not (by_sigmas or by_percentage or low):
            return
        nonzero = delta[delta != 0].double()
        if not len(nonzero):
            return  # Darknet's means become NaN here
        state, absolute = self.state, nonzero.abs()
        progress = (iteration - self.equidistant_point) / max(1, self.max_batches - self.equidistant_point)
        low_limit = state.mean * progress * LOW_FACTOR
        largest = float(absolute.max())
        state.largest = _rolled(state.largest or largest, largest)
        state.mean = _rolled(state.mean, float(absolute.mean()))
        if by_sigmas:
            usual = state.mean + state.deviation * self.sigmas
            late = (iteration - self.start) / max(1, self.start)
            limit = max(usual, state.largest - late * abs(state.largest - usual))
            deviation = math.sqrt(float((nonzero - state.mean).square().mean()))
            state.deviation = _rolled(state.deviation, deviation)
            delta.masked_fill_(delta.abs() > limit, 0.0)
            low_limit = min(usual, state.mean) * progress
        if by_percentage:
            self._reject_percentage(delta)
        if low:
            delta.masked_fill_(delta.abs() < low_limit, 0.0)

    def _reject_percentage(self, delta: Tensor) -> None:
        """By a threshold that is moved until the wanted share of predictions is above it; `delta` (B, A, 5 + C, …)."""
        state = self.state
        state.threshold = state.threshold or state.largest
        above = delta.abs() > state.threshold
        rejected = 100 * int(above.sum()) * delta.shape[2] / max(1, int(torch.count_nonzero(delta)))
        delta.masked_fill_(above, 0.0)
        state.threshold += THRESHOLD_STEP if rejected > self.percentage else -THRESHOLD_STEP


def _rolled(old: float, new: float) -> float:
    return OLD_SHARE * old + (1 - OLD_SHARE) * new
