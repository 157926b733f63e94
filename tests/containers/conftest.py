"""The engine and the image that `make test-containers` built; without it the tests here are skipped."""

import os

import pytest
from container_engine import Engine, found_engine

from traffic_yolo.container_images import image

VARIABLE = "TRAFFIC_YOLO_CONTAINERS"  # the engine's program


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine of `make test-containers`, podman or docker."""
    if not os.environ.get(VARIABLE):
        pytest.skip("containers are not asked for; run `make test-containers`")
    return Engine(found_engine(os.environ[VARIABLE]))


@pytest.fixture(scope="session")
def train_image() -> str:
    """The CPU image's name under the prefix of this process."""
    return image("train", "cpu")
