"""The image's warm-up: afterwards a trial compiles nothing, on whatever processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TRIAL = """
import sys, numpy as np
from pathlib import Path
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.metrics.objective import Objective
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.metrics.thresholds import threshold_metrics
from traffic_yolo.tuning.search import search
from traffic_yolo.tuning.sweep_options import SweepOptions
path = Path(sys.argv[1])
RawDetections.from_dense(
    image_ids=np.arange(3), image_hw=np.full((3, 2), 50), offsets=np.array([0, 2, 2, 2]),
    boxes_xyxy=np.array([[1, 1, 9, 9], [2, 2, 9, 9]], np.float32), objectness=np.ones(2),
    class_scores=np.array([[0.5, 0.1], [0.2, 0.9]], np.float32), classes=("a", "b"),
    protocol=Protocol("", "", (32, 32), "stretch", ""),
).save(path)
raw = RawDetections.load(path)  # mapped, as in a trial
truth = GroundTruth(
    ("a", "b"), np.arange(3), np.array([0]), np.array([[1.0, 1, 8, 8]]), np.array([0]), np.array([64.0]), np.array([False])
)
print(threshold_metrics(raw, truth, NmsOptions(), Objective())["f1"])
search(raw, truth, SweepOptions(), NmsOptions())
"""


@pytest.mark.skipif(os.environ.get("TRAFFIC_YOLO_SLOW") != "1", reason="15 s; set TRAFFIC_YOLO_SLOW=1 to run it")
def test_after_the_warm_up_a_trial_compiles_nothing(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    environment = {
        **os.environ,
        "NUMBA_CACHE_DIR": str(cache),
        "NUMBA_CPU_NAME": "generic",
        "TRAFFIC_YOLO_PROGRESS": "0",
    }
    subprocess.run([sys.executable, "-m", "traffic_yolo.tuning.warm_up"], env=environment, check=True)
    compiled = sorted(path.name for path in cache.rglob("*.nbc"))
    assert len(compiled) >= 8
    command = [sys.executable, "-c", TRIAL, str(tmp_path / "raw.npz")]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert float(done.stdout) > 0
    assert sorted(path.name for path in cache.rglob("*.nbc")) == compiled


def test_the_image_is_warmed_up_for_any_processor(repository: Path) -> None:
    """And for any user: `make test-containers` looks at what an unknown one finds compiled."""
    text = (repository / "docker" / "train" / "Dockerfile").read_text()
    assert "python -m traffic_yolo.tuning.warm_up" in text
    assert "NUMBA_CPU_NAME=generic" in text
