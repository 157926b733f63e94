"""Tests of kfp's client without what lies around: no token, proxy or context file of whoever runs them, and no pauses."""

import os
from pathlib import Path

import pytest


def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Takes the surroundings away for one test."""
    monkeypatch.setattr("kfp.Client._LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    for name in list(os.environ):
        if name.startswith(("KF_PIPELINES_", "TRAFFIC_YOLO_KFP_")) or name.lower() in ("http_proxy", "all_proxy"):
            monkeypatch.delenv(name)
    for module in ("server_connection", "pipeline_versions", "run_watch"):
        monkeypatch.setattr(f"traffic_yolo_pipelines.{module}.pause", lambda _seconds: None)
