"""Small shares of recordings with human labels."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_shares import Share, three_sites


@pytest.fixture
def share(tmp_path: Path) -> Share:
    """Three sites, one recording each, three labelled frames each."""
    return three_sites(tmp_path / "nas")


@pytest.fixture
def make_share(tmp_path: Path) -> Callable[[str], Share]:
    """An empty share of this name."""
    return lambda name: Share(tmp_path / name)
