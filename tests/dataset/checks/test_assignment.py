"""The pairing against every possible pairing."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.dataset.checks.assignment import assign


def cheapest(cost: "np.ndarray[tuple[int, int], np.dtype[np.float64]]", alone: float) -> float:
    """The smallest total over all pairings, by trying them."""
    rows, columns = cost.shape
    best = rows * alone
    for count in range(1, min(rows, columns) + 1):
        for chosen in itertools.combinations(range(rows), count):
            for places in itertools.permutations(range(columns), count):
                total = sum(cost[r, c] for r, c in zip(chosen, places, strict=True)) + (rows - count) * alone
                best = min(best, total)
    return float(best)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 10**6), st.sampled_from([0.3, 1.0, 5.0]))
def test_no_pairing_is_cheaper(rows: int, columns: int, seed: int, alone: float) -> None:
    rng = np.random.default_rng(seed)
    cost = np.round(rng.uniform(0, 1.5, (rows, columns)), rng.integers(1, 4))  # rounded: ties
    pairs = assign(cost, alone)
    assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
    total = sum(cost[pair] for pair in pairs) + (rows - len(pairs)) * alone
    assert total == pytest.approx(cheapest(cost, alone), abs=1e-9)
    assert all(cost[pair] < alone for pair in pairs)


def test_greed_would_lose_where_the_optimum_wins() -> None:
    cost = np.array([[0.1, 0.2], [0.15, 0.9]])
    assert assign(cost, 1.0) == [(0, 1), (1, 0)]


def test_a_full_radar_scan_is_paired() -> None:
    rng = np.random.default_rng(0)
    assert len(assign(rng.uniform(0, 1, (256, 256)), 0.9)) == 256


def test_a_cost_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        assign(np.array([[np.nan]]), 1.0)
