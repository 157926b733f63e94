"""A thresholds trial as Katib runs it: the command line, from process start to its last metric line, and where it goes.

5,000 pictures of about 300 boxes before NMS (TRAFFIC_YOLO_BENCH_PICTURES: other sizes), cached on disk as the step
evaluate leaves them. Ratios are seconds: the target is 3.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from coco_data import raw_detections_of, truth_of, write_truth
from harness import Row, interleaved

from traffic_yolo.dataset.data_set import SCHEMA_VERSION
from traffic_yolo.dataset.manifest import CLASSES_NAME, MANIFEST_NAME
from traffic_yolo.detection.protocol import detections_name
from traffic_yolo.storage import sha256_of_file
from traffic_yolo.tuning.metrics import METRICS

TOPIC = "trial"
PICTURES = int(os.environ.get("TRAFFIC_YOLO_BENCH_PICTURES", "5000"))
HEAVY = ("torch", "matplotlib", "pandas", "optuna", "kfp", "pycocotools")
PROGRAM = "import sys; from traffic_yolo.cli import main; main(sys.argv[1:])"
STARTED = f"""
import sys
import traffic_yolo.cli, traffic_yolo.commands.trial, traffic_yolo.tuning.trial_metrics
print(sum(name in sys.modules for name in {HEAVY}))
"""


def rows() -> Iterator[Row]:
    """The rows of this benchmark."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = _write_inputs(folder)
        trial = [sys.executable, "-c", PROGRAM, "trial", "thresholds", f"--evaluation={folder}", f"--dataset={folder}"]
        start = [sys.executable, "-c", STARTED]
        timings = interleaved({"trial": lambda: _metrics(trial), "start": lambda: _output(start)}, repeats=5)
        seconds = timings["trial"].median_s
        what = f"a thresholds trial of {size}, process start to metrics"
        yield Row(TOPIC, what, seconds, "s", "seconds", seconds, "at most 3")
        yield Row(TOPIC, "of it, Python and imports", timings["start"].median_s, "s")
        heavy = float(_output(start))
        yield Row(TOPIC, f"imported of {', '.join(HEAVY)}", heavy, "", "0", heavy, "at most 0")
        begin = time.perf_counter()
        _metrics(trial, NUMBA_CACHE_DIR=str(folder / "cold"))
        yield Row(TOPIC, "the very first trial, which compiles (an image has this behind it)", _since(begin), "s")


def _write_inputs(folder: Path) -> str:
    """A data set and an evaluation as far as a trial reads them; says how much that is."""
    truth = truth_of(PICTURES)
    raw = raw_detections_of(truth)
    raw.save(folder / detections_name("val"))
    (folder / "annotations").mkdir()
    write_truth(truth, folder / "annotations" / "instances_val.json")
    fingerprint = raw.protocol.images_fingerprint.partition("/")[0]
    (folder / CLASSES_NAME).write_text(json.dumps({"classes": list(truth.classes)}))  # JSON is YAML
    files = [
        {"path": path, "sha256": sha256_of_file(folder / path)}
        for path in (CLASSES_NAME, "annotations/instances_val.json")
    ]
    manifest = {"schema_version": SCHEMA_VERSION, "fingerprint": fingerprint, "files": files}
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))
    return f"{PICTURES:,} pictures, {len(raw.boxes_xyxy):,} boxes"


def _metrics(command: list[str], **environment: str) -> None:
    printed = [line.partition("=")[0] for line in _output(command, **environment).splitlines()]
    assert printed == list(METRICS), printed


def _output(command: list[str], **environment: str) -> str:
    environment = {**os.environ, **environment}
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout


def _since(start: float) -> float:
    return time.perf_counter() - start
