"""How hypothesis draws: the same examples in every run, and under TRAFFIC_YOLO_SLOW=1 others each time, and many more."""

import os
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"
slow = pytest.mark.skipif(not SLOW, reason="takes many seconds; set TRAFFIC_YOLO_SLOW=1 to run it")
MANY = 10  # times as many examples in `make slow`
FEW = 5  # times fewer in `make test`, of those that are counted in tens: they are the same ones every time


# It fails a test because the machine is busy
CLOCK_CHECKS = (HealthCheck.too_slow,)


def load_profile() -> None:
    """Takes luck, the clock and what earlier runs left out of what hypothesis does."""
    settings.register_profile(
        "repeatable",
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=CLOCK_CHECKS,
        max_examples=100 // FEW,
    )
    settings.register_profile(
        "anew",
        derandomize=False,
        deadline=None,
        database=None,
        suppress_health_check=CLOCK_CHECKS,
        print_blob=True,
        max_examples=100 * MANY,
    )
    settings.load_profile("anew" if SLOW else "repeatable")
    # Hypothesis also draws the constants that it finds in the modules loaded so far; which those are depends on the
    # tests that ran before in the same process, so with them derandomized tests would still differ from run to run.
    nothing = providers.Constants()
    providers._get_local_constants = lambda: nothing


def examples(count: int, *, suppress_health_check: Sequence[HealthCheck] = ()) -> settings:
    """Settings of a test for which `count` examples are a fair trial: fewer in `make test`, many more in `make slow`."""
    tried = count * MANY if SLOW else max(min(count, 10), count // FEW)
    return settings(max_examples=tried, suppress_health_check=(*CLOCK_CHECKS, *suppress_health_check))
