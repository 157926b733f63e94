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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from harness import Row, Timing, Work, interleaved

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
REST_S = 0.03  # onnxruntime's threads go on spinning for a while after a run


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
        yield from _pictures(reference)


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


def _pictures(reference: Path) -> Iterator[Row]:
    """Whole pictures against the network alone, and what the steps take in one thread."""
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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(Path(folder) / "model.onnx"), options)

        def bare() -> None:
            for tensor in inputs:
                session.run(["output"], {"input": tensor})

        def steps(clock: Callable[[], float]) -> dict[str, Timing]:
            """One thread's seconds for each step of all pictures."""
            frames = simulator.run(files)
            pictures = [read_rgb(file) for file in files]
            works: dict[str, Work] = {
                "reading and decoding": lambda: [read_rgb(file) for file in files],
                "resizing": lambda: [preprocess(each, config, simulator.network_hw) for each in pictures],
                "network": lambda: [simulator.rows(tensor[0]) for tensor in inputs],
                "suppression and frames": lambda: simulator.detections(frames),
            }
            return interleaved(works, repeats=5, clock=clock)

        whole = {"bare": bare, "ours": lambda: simulator.detections(simulator.run(files))}
        rivals: dict[str, Work] = {}
        for name, work in whole.items():
            rivals[f"rest before {name}"] = lambda: time.sleep(REST_S)
            rivals[name] = work
        times, used = interleaved(rivals, repeats=5), interleaved(rivals, repeats=3, clock=time.process_time)
        shares = steps(time.thread_time)
    ours, theirs = (PICTURES / times[name].median_s for name in ("ours", "bare"))
    peer = f"onnxruntime on tensors that are ready: {theirs:.1f}"
    what = "Yolo-Fastest from JPEG to objects, threshold 0.001"
    yield Row(TOPIC, what, ours, "pictures/s", peer, ours / theirs, "at least 0.8")
    mine, bare_ms = (used[name].median_s / PICTURES * 1e3 for name in ("ours", "bare"))
    yield Row(TOPIC, f"{what}: processor time a picture", mine, "ms", f"onnxruntime: {bare_ms:.1f} ms", bare_ms / mine)
    for name, timing in shares.items():
        yield Row(TOPIC, f"of that, {name}, in one thread", timing.median_s / PICTURES * 1e3, "ms")
