"""A store of MLflow in files, through MLflow's own client, for the time of a test."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mlflow_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Makes `folder` the server of `MLFLOW_TRACKING_URI`; skips the test where the extra mlflow is not installed."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{folder}")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    logger = logging.getLogger("mlflow")  # it sets up a handler and stops propagation
    kept = (logger.handlers[:], logger.propagate)
    yield folder
    logger.handlers[:], logger.propagate = kept
