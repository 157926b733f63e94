"""A server with Katib behind it, a client of it, and the Experiment of a pipeline run."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from katib_server import KatibServer, serving
from kubernetes import client

from traffic_yolo.cluster import api_server
from traffic_yolo.katib.launch.cluster import Experiments
from traffic_yolo.katib.launch.launch import LaunchOptions, experiment_of


@pytest.fixture
def server() -> Iterator[KatibServer]:
    with serving(KatibServer()) as state:
        yield state


@pytest.fixture
def experiments(server: KatibServer, monkeypatch: pytest.MonkeyPatch) -> Experiments:
    monkeypatch.setattr(api_server, "LONGEST_WAIT_S", 0.01)
    configuration = client.Configuration(host=server.url)
    configuration.retries = False
    return Experiments("team", api=client.ApiClient(configuration))


@pytest.fixture
def document(repository: Path) -> dict[str, Any]:
    return experiment_of((repository / "katib" / "thresholds_experiment.yaml").read_text(), LaunchOptions("run-1"))
