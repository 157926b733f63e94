"""Which channels go: shares by layer and over the network, what always stays, multiples, and the way to a goal."""

import numpy as np
import pytest

from traffic_yolo.compression.choice import least_important, smallest_ratio
from traffic_yolo.compression.importance import Family
from traffic_yolo.compression.options import PruneOptions
from traffic_yolo.errors import OptionsError

FIRST = Family(np.arange(0, 8), ((0, 1),))
SECOND = Family(np.arange(8, 16), ((1, 1),))
# The second layer's channels all matter less than the first one's
IMPORTANCE = np.array([8, 7, 6, 5, 4, 3, 2, 1, *np.linspace(0.1, 0.8, 8)])


def test_by_layer_each_one_loses_its_share():
    gone = least_important((FIRST, SECOND), IMPORTANCE, 0.25, is_global=False)
    assert gone == {6, 7, 8, 9}


def test_over_the_network_the_least_important_layer_loses_most_and_keeps_one():
    assert least_important((FIRST, SECOND), IMPORTANCE, 0.25, is_global=True) == {8, 9, 10, 11}
    assert least_important((FIRST, SECOND), IMPORTANCE, 0.75, is_global=True) == {*range(8, 15), 4, 5, 6, 7}


def test_a_share_of_each_layer_stays_whatever_its_rank():
    gone = least_important((FIRST, SECOND), IMPORTANCE, 0.5, is_global=True, keep_at_least=0.5)
    assert gone == {8, 9, 10, 11}


def test_multiples_round_what_stays_up():
    wide = Family(np.arange(32), ((0, 1),))
    gone = least_important((wide,), np.arange(32.0), 0.6, is_global=True, multiple=8)  # 13 would stay
    assert gone == set(range(16))
    odd = Family(np.arange(12), ((0, 1),))
    assert least_important((odd,), np.arange(12.0), 0.2, is_global=True, multiple=8) == frozenset()


def test_a_unit_of_two_channels_in_a_layer_needs_half_as_many_for_a_multiple():
    halves = Family(np.arange(16), ((0, 2),))
    assert halves.step(8) == 4
    assert Family(np.arange(16), ((0, 1), (3, 3))).step(8) == 8
    assert len(least_important((halves,), np.arange(16.0), 0.4, is_global=False, multiple=8)) == 4


def test_channels_that_may_not_go_count_among_those_that_stay():
    left = FIRST.without({0, 1})
    assert left.others == 2
    assert least_important((left,), IMPORTANCE, 0.99, is_global=False, keep_at_least=0.5) == {7, 6, 5, 4}


def test_equal_importances_go_in_the_order_of_the_layers():
    assert least_important((FIRST, SECOND), np.ones(16), 0.25, is_global=True) == {0, 1, 2, 3}


def test_the_smallest_share_that_reaches_a_goal():
    ratio = smallest_ratio(lambda share: 10 - 8 * share, 6.0, what="goal")
    assert ratio == pytest.approx(0.5, abs=1e-4)
    assert 10 - 8 * ratio <= 6
    assert smallest_ratio(lambda share: 10 - 8 * share, 20.0, what="goal") == 0


def test_a_goal_out_of_reach_names_what_can_be_had():
    with pytest.raises(OptionsError, match=r"bflops_ratio: 1 cannot be reached: .* 2 is left; ask for less, or lower"):
        smallest_ratio(lambda share: 10 - 8 * share, 1.0, what="bflops_ratio")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"prune_ratio": 1.0}, "prune_ratio: expected a number from 0 to 0.99, found 1"),
        ({"prune_kind": "rows"}, "prune_kind: expected one of channels, regular, blocks, found 'rows'"),
        ({"bflops_ratio": 0.3, "latency_ms": 5.0}, "bflops_ratio: latency_ms is another goal; leave one of them out"),
        (
            {"prune_kind": "blocks", "latency_ms": 1.0},
            "latency_ms: the table is one of channels; give blocks a prune_ratio or bflops_ratio",
        ),
        ({"prune_kind": "blocks", "prune_scope": "per_layer"}, "prune_scope: per_layer ranks channels; blocks are"),
    ],
)
def test_options_that_make_no_sense(values, expected):
    with pytest.raises(OptionsError, match=expected):
        PruneOptions(**values)
