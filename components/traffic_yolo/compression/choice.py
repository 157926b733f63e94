"""Which units of channels, or which residual blocks, go: by share, by BFLOPs or by a predicted latency.

Channels are ranked by importance, in each layer for itself or over the network. A goal is reached by taking out the
least important ones first, as few as it needs.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.compression.importance import Family
from traffic_yolo.errors import OptionsError

Ratio = float  # share of what may go that goes
STEPS = 14  # of a bisection: a share is found to one in 16,000, finer than one channel of most networks


def least_important(
    families: Sequence[Family],
    importance: NDArray[np.float64],
    ratio: Ratio,
    *,
    is_global: bool,
    multiple: int = 1,
    keep_at_least: float = 0.0,
) -> frozenset[int]:
    """The units that go when the share `ratio` of them is to go.

    `is_global` ranks all units in one row, else each family for itself. Of each family at least the share
    `keep_at_least` stays, never less than one unit; and so many stay that each layer keeps a multiple of `multiple`
    channels, as far as the family has them.
    """
    everything = np.concatenate([family.units for family in families])
    ranked = everything[np.argsort(importance[everything], kind="stable")]
    proposed = frozenset(ranked[: math.floor(ratio * len(ranked) + 1e-9)].tolist()) if is_global else frozenset()
    removed: set[int] = set()
    for family in families:
        order = family.units[np.argsort(importance[family.units], kind="stable")]
        size = len(order) + family.others
        goes = sum(unit in proposed for unit in order.tolist()) if is_global else math.floor(ratio * len(order) + 1e-9)
        stays = max(size - goes, 1, math.ceil(keep_at_least * size - 1e-9))
        stays = min(size, -(-stays // family.step(multiple)) * family.step(multiple))
        removed.update(order[: size - stays].tolist())
    return frozenset(removed)


def smallest_ratio(cost: Callable[[Ratio], float], goal: float, *, what: str) -> Ratio:
    """The smallest share at which `cost`, which falls with the share, is at most `goal`.

    Raises `OptionsError` naming `what` where the whole share does not reach it; the share found is one that was tried.
    """
    least = cost(1.0)
    if least > goal:
        raise OptionsError(
            f"{what}: {goal:.4g} cannot be reached: with all that may go taken out {least:.4g} is left; ask for less, "
            "or lower keep_at_least"
        )
    if cost(0.0) <= goal:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if cost(middle) <= goal else (middle, high)
    return high
