"""The simulator of nvinfer: its suppression against compiled code, and its pictures a second against onnxruntime alone.

The crowd has the shares of a low threshold: 12,998 boxes around 30 objects, in a few of 80 classes. Pictures and network
are the reference's (Yolo-Fastest 1.1, COCO pictures); without the reference that row is left out.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from harness import Row, Work, interleaved

from traffic_yolo.darknet.network import Network
from traffic_yolo.deepstream.config.nvinfer_config import ClassAttributes, NvinferConfig
from traffic_yolo.deepstream.simulate.postprocess import Objects, cluster
from traffic_yolo.deepstream.simulate.preprocess import preprocess
from traffic_yolo.deepstream.simulate.simulator import Simulator
from traffic_yolo.detection.detect import read_rgb
from traffic_yolo.export.onnx import write_onnx

TOPIC = "simulator"
FOLDER = Path(__file__).parent
IOU_THRESHOLD, CLASSES, BOXES, PICTURES = 0.45, 80, 12_998, 32


@dataclass(frozen=True)
class File:
    """A picture on the disk."""

    image_id: int
    path: Path
    width: int
    height: int


def crowd() -> Objects:
    """Boxes in clusters around objects, most of a class among its cluster."""
    numbers = np.random.default_rng(0)
    kinds, centres, sides = (
        numbers.zipf(1.5, 30) % CLASSES,
        numbers.random((30, 2)) * 608,
        numbers.random((30, 2)) * 150,
    )
    which = numbers.integers(0, 30, BOXES)
    middle = centres[which] + numbers.normal(0, 40, (BOXES, 2))
    size = (sides[which] + 8) * np.exp(numbers.normal(0, 0.3, (BOXES, 2)))
    boxes = np.concatenate([middle - size / 2, size], axis=1).astype(np.float32)
    return Objects(boxes, numbers.random(BOXES, dtype=np.float32), kinds[which].astype(np.int64))


def rows() -> Iterator[Row]:
    """One row of suppression against each peer, one of whole pictures."""
    sys.path.insert(0, str(FOLDER.parent / "helpers"))
    from plain_nvinfer_nms import plain_cluster

    objects = crowd()
    attributes = [ClassAttributes(0.001, 0.0, IOU_THRESHOLD, -1, 0, 0, 0, 0, 0, 0)] * CLASSES
    rivals: dict[str, Work] = {
        "ours": lambda: cluster(objects, attributes),
        "plain": lambda: plain_cluster(objects, attributes),
    }
    with tempfile.TemporaryDirectory() as folder:
        compiler = shutil.which("g++") or shutil.which("clang++")
        if compiler:
            rivals["compiled"] = compiled_peer(compiler, Path(folder), objects)
        times = interleaved(rivals, repeats=5, clock=time.process_time)
    ours_s = times["ours"].median_s
    what = f"suppression of {BOXES:,} boxes, {len(cluster(objects, attributes).scores):,} kept"
    peers = {"compiled": ("C++ loops as nvinfer's", "at most 1.5"), "plain": ("NumPy, a box at a time", "")}
    for name, (label, goal) in peers.items():
        if name in times:
            peer = f"{label}: {times[name].median_s * 1e3:.1f} ms"
            yield Row(TOPIC, what, ours_s * 1e3, "ms", peer, ours_s / times[name].median_s, goal)
    reference = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", FOLDER.parents[2] / "shared" / "reference"))
    if (reference / "weights").is_dir():
        yield _pictures(reference)


def compiled_peer(compiler: str, folder: Path, objects: Objects) -> Work:
    """The peer in C++, which must keep the same boxes."""
    library = folder / "peer.so"
    source = FOLDER / "nvinfer_nms_peer.cpp"
    subprocess.run([compiler, "-O3", "-ffp-contract=off", "-shared", "-fPIC", source, "-o", library], check=True)
    function = ctypes.CDLL(str(library)).nms_peer
    function.restype = ctypes.c_int64
    table = np.ascontiguousarray(np.concatenate([objects.boxes_xywh, objects.scores[:, None]], axis=1))
    kept = np.empty(len(table), np.int64)

    def run() -> np.ndarray:
        pointers = (table.ctypes.data_as(ctypes.c_void_p), objects.class_ids.ctypes.data_as(ctypes.c_void_p))
        sizes = (ctypes.c_int64(len(table)), ctypes.c_int64(CLASSES), ctypes.c_float(IOU_THRESHOLD))
        return kept[: function(*pointers, *sizes, kept.ctypes.data_as(ctypes.c_void_p))]

    attributes = [ClassAttributes(0.001, 0.0, IOU_THRESHOLD, -1, 0, 0, 0, 0, 0, 0)] * CLASSES
    assert np.array_equal(objects.select(run()).boxes_xywh, cluster(objects, attributes).boxes_xywh)
    return run


def _pictures(reference: Path) -> Row:
    files = []
    for number, path in enumerate(sorted((reference / "coco").rglob("*.jpg"))[:PICTURES]):
        height, width = cv2.imread(str(path)).shape[:2]
        files.append(File(number, path, width, height))
    weights = reference / "weights" / "yolo-fastest-1.1.weights"
    settings = {"net-scale-factor": "0.0039215697906911373", "onnx-file": "model.onnx", "num-detected-classes": "80"}
    settings |= {"cluster-mode": "2", "scaling-filter": "1", "crop-objects-to-roi-boundary": "1"}
    thresholds = {"pre-cluster-threshold": "0.001", "nms-iou-threshold": "0.45", "topk": "300"}
    config = NvinferConfig({"property": settings, "class-attrs-all": thresholds})
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(Network.read(weights.with_suffix(".cfg"), weights).eval(), Path(folder) / "model.onnx")
        simulator = Simulator(config, Path(folder))
        inputs = [preprocess(read_rgb(file), config, simulator.network_hw)[0][None] for file in files]
        session = simulator._session

        def bare() -> None:
            for tensor in inputs:
                session.run(["output"], {"input": tensor})

        rivals: dict[str, Work] = {"bare": bare, "ours": lambda: simulator.detections(simulator.run(files))}
        times = interleaved(rivals, repeats=5)
    ours, theirs = (PICTURES / times[name].median_s for name in ("ours", "bare"))
    peer = f"onnxruntime on tensors that are ready: {theirs:.1f}"
    what = "Yolo-Fastest from JPEG to objects, threshold 0.001"
    return Row(TOPIC, what, ours, "pictures/s", peer, ours / theirs, "at least 0.8")
