"""Fixtures that every test folder shares; importing this file loads neither torch nor h5py."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
os.environ.setdefault("TRAFFIC_YOLO_PROGRESS", "0")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of reference material; a test that asks for it is skipped where it is missing."""
    folder = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", REPOSITORY.parent / "shared" / "reference"))
    if not folder.is_dir():
        pytest.skip(f"reference material not found at {folder}; set TRAFFIC_YOLO_REFERENCE")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY
