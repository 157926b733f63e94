"""The sweep of 50 confidences x 20 IoU thresholds against ONE evaluation by pycocotools of the same data.

5,000 pictures of about 300 boxes before NMS, 3.5 scores a box as a real network gives (TRAFFIC_YOLO_BENCH_PICTURES:
other sizes). pycocotools evaluates one cell: the detections that NMS leaves at the lowest confidence.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from coco_data import raw_detections_of, truth_of, write_truth
from harness import Row, interleaved

from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.metrics.coco import coco_metrics, settings_up_to
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.pycocotools_engine import accumulate_with_pycocotools
from traffic_yolo.tuning.sweep import Sweep, sweep

TOPIC = "sweep"
PICTURES = int(os.environ.get("TRAFFIC_YOLO_BENCH_PICTURES", "5000"))
CONFIDENCES = tuple(np.linspace(0.001, 0.95, 50).tolist())
IOU_THRESHOLDS = tuple(np.linspace(0.25, 0.9, 20).tolist())
CELL = 6  # the IoU threshold of the cell that pycocotools evaluates
os.environ.setdefault("TRAFFIC_YOLO_PROGRESS", "0")

MEMORY = f"""
import re, sys
from pathlib import Path
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.tuning.sweep import sweep
folder = Path(sys.argv[1])
raw = RawDetections.load(folder / "detections.npz")
truth = read_ground_truth(folder / "truth.json", raw.classes)
sweep(raw, truth, confidences={CONFIDENCES}, iou_thresholds={IOU_THRESHOLDS})
# Not ru_maxrss: a child inherits the peak of the process that started it
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def rows() -> Iterator[Row]:
    """The rows of this benchmark."""
    truth = truth_of(PICTURES)
    raw = raw_detections_of(truth)
    seconds = interleaved({"ours": lambda: _sweep(raw, truth)}, repeats=3)["ours"].median_s
    one_cell = non_maximum_suppression(raw, NmsOptions(CONFIDENCES[0], IOU_THRESHOLDS[CELL]))
    start = time.perf_counter()
    accumulated = accumulate_with_pycocotools(truth, one_cell, settings_up_to(100))
    pycocotools_s = time.perf_counter() - start
    plain = coco_metrics(accumulated, truth.classes, settings_up_to(100))
    assert plain.ap is not None
    assert plain.ap50 is not None
    result = _sweep(raw, truth)
    apart = max(abs(float(result.ap[0, CELL]) - plain.ap), abs(float(result.ap50[0, CELL]) - plain.ap50))
    size = f"{len(raw.boxes_xyxy):,} boxes, {len(raw.scores):,} scores"
    against = f"one pycocotools {pycocotools_s:.1f} s"
    cells = len(CONFIDENCES) * len(IOU_THRESHOLDS)
    yield Row(TOPIC, f"{cells} cells of {size}", seconds, "s", against, seconds / pycocotools_s, "at most 1")
    yield Row(TOPIC, "AP, AP50 of that cell apart from pycocotools", apart, "", "0", apart, "at most 1e-12")
    few = truth_of(PICTURES // 10)
    fewer = raw_detections_of(few)
    tenth = interleaved({"ours": lambda: _sweep(fewer, few)}, repeats=5)["ours"].median_s
    yield Row(
        TOPIC,
        "slope: all pictures against a tenth",
        seconds / tenth,
        "times",
        "10 is linear",
        seconds / tenth,
        "at most 15",
    )
    yield from _memory(raw, truth)


def _sweep(raw: RawDetections, truth: GroundTruth) -> Sweep:
    return sweep(raw, truth, confidences=CONFIDENCES, iou_thresholds=IOU_THRESHOLDS)


def _memory(raw: RawDetections, truth: GroundTruth) -> Iterator[Row]:
    """The peak of a process that does nothing else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw.save(folder / "detections.npz")
        write_truth(truth, folder / "truth.json")
        peak = float(
            subprocess.run([sys.executable, "-c", MEMORY, name], capture_output=True, text=True, check=True).stdout
        )
        yield Row(TOPIC, "memory of a process that sweeps, all told", peak, "MiB", "4096 MiB", peak / 4096, "at most 1")
