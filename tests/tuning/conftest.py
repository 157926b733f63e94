"""A small data set for the tests of tuning."""

from pathlib import Path

import pytest
from made_by_one import MakeOnce
from small_data_set import write_small_data_set


@pytest.fixture(scope="session")
def small_data_set(make_once: MakeOnce) -> Path:
    """Rendered pictures of three sites, one for each split; four a recording."""
    return make_once("tuned", lambda folder: write_small_data_set(folder, frames=4, seed=5)) / "dataset"
