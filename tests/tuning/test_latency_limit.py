"""AP at a latency: within the limit AP itself, beyond it worse than any AP, and the more so the slower."""

import pytest

from traffic_yolo.errors import OptionsError
from traffic_yolo.tuning.latency_limit import LatencyLimit, ap_at_latency


def test_within_the_limit_it_is_ap_and_beyond_it_minus_the_share_beyond():
    assert ap_at_latency(0.4, 5.0, 10.0) == 0.4
    assert ap_at_latency(0.4, 10.0, 10.0) == 0.4
    assert ap_at_latency(0.9, 12.0, 10.0) == pytest.approx(-0.2)
    assert ap_at_latency(0.9, 12.0, None) == 0.9


def test_a_network_that_finds_nothing_in_time_is_better_than_a_good_one_that_is_late():
    assert ap_at_latency(0.0, 10.0, 10.0) > ap_at_latency(0.9, 10.001, 10.0) > ap_at_latency(0.95, 11.0, 10.0)


def test_a_share_is_one_of_the_whole_network():
    assert LatencyLimit(most_latency_share=0.6).milliseconds(20.0) == pytest.approx(12.0)
    assert LatencyLimit(most_latency_ms=7.0).milliseconds(20.0) == 7.0
    assert LatencyLimit().milliseconds(20.0) is None


def test_two_limits_are_refused():
    with pytest.raises(OptionsError, match="most_latency_share: most_latency_ms is another limit; leave one of them"):
        LatencyLimit(most_latency_ms=7.0, most_latency_share=0.5)
