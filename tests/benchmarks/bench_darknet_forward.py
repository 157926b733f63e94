"""The forward pass of yolov4-tiny and yolov4 at 416 x 416, batch 1, two threads: our runtimes against four peers.

The peers: OpenCV's Darknet importer, onnxruntime on the plain ONNX export, a PyTorch port as they are usually written
(one module after the other, batch-norm kept, mish as x * tanh(softplus(x))), and the same with batch-norm folded in.
Each rival rests before its turn: onnxruntime's and OpenCV's threads go on spinning for a while after a run.

What a processor can do differs from machine to machine, and how OpenCV's kernels fare on it too. So the targets are
shares of this machine's own rate of multiplying two 2,048 x 2,048 matrices, in the same format, by as many threads, in
turns with the rivals: the multiplications and additions of the network's convolutions a second, over that rate.
"""

import copy
import time
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import onnxruntime
import torch
from darknet_models import darknet_pair
from harness import Row, Work, interleaved
from torch import Tensor, nn

from traffic_yolo.darknet.network import Network, read_sections
from traffic_yolo.darknet.runtimes import openvino
from traffic_yolo.darknet.runtimes.compiled import missing_for_compiling
from traffic_yolo.darknet.runtimes.opening import open_runtime
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.darknet.runtimes.processor import bfloat16_flag
from traffic_yolo.darknet.show import layer_bflops
from traffic_yolo.darknet.tracing import trace_to_onnx

TOPIC = "darknet forward"
SIZE, THREADS, REST_S = 416, 2, 0.03
NETWORKS = ("yolov4-tiny", "yolov4")
SHARES = {"float32": "at least 1.0", "bfloat16": "at least 0.95"}  # of the matrix rate
MATRIX = 2048
REPEATS = {"yolov4-tiny": 25, "yolov4": 7}
OPENCV = "OpenCV DNN"
DEFAULT = f"{RuntimeOptions().runtime} {RuntimeOptions().precision}"


class WrittenOutMish(nn.Module):
    """Mish as its definition reads."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape in, the same shape out."""
        return x * torch.tanh(nn.functional.softplus(x))


def peers(network: Network, cfg: str, weights: str, picture: Tensor) -> dict[str, Work]:
    """The rivals that are not ours."""
    opencv = cv2.dnn.readNetFromDarknet(cfg, weights)
    names = opencv.getUnconnectedOutLayersNames()
    array = picture.numpy()

    def run_opencv() -> object:
        opencv.setInput(array)
        return opencv.forward(names)

    plain = copy.deepcopy(network)
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Mish):
                setattr(module, name, WrittenOutMish())
    fused = network.fuse()
    outputs = [f"logits_{head.layer_index}" for head in network.heads]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    graph = trace_to_onnx(fused, picture, output_names=outputs, opset=17)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run_torch(module: Network) -> object:
        with torch.no_grad():
            return module(picture)

    return {
        OPENCV: run_opencv,
        "onnxruntime, plain ONNX": lambda: session.run(outputs, {"input": array}),
        "plain PyTorch port": lambda: run_torch(plain),
        "PyTorch, batch-norm folded": lambda: run_torch(fused),
    }


def runtimes(network: Network, picture: Tensor) -> tuple[dict[str, Work], dict[str, str]]:
    """Our rivals, and what each is: its name, or why it cannot run here."""
    works: dict[str, Work] = {}
    missing: dict[str, str] = {}
    for precision in ("float32", "bfloat16"):
        for name in ("pytorch", "onnxruntime", "openvino", "compiled"):
            label = f"{name} {precision}"
            if name == "onnxruntime" and precision == "bfloat16":
                continue
            if precision == "bfloat16" and bfloat16_flag() is None:
                missing[label] = "this processor does not multiply in bfloat16"
            elif name == "compiled" and (lacks := missing_for_compiling()):
                missing[label] = f"needs {lacks}"
            elif name == "openvino" and (package := openvino.missing_packages()):
                missing[label] = f"needs {package} (extra `openvino`)"
            else:
                runtime = open_runtime(network, RuntimeOptions(name, precision))
                works[label] = lambda runtime=runtime: runtime(picture)
    return works, missing


def matrices() -> dict[str, Work]:
    """The multiplication of two matrices in each format that this processor multiplies in, by its name."""
    works: dict[str, Work] = {}
    for precision in SHARES:
        if precision == "float32" or bfloat16_flag() is not None:
            left, right = (
                torch.rand(MATRIX, MATRIX, generator=torch.Generator().manual_seed(seed)).to(getattr(torch, precision))
                for seed in (0, 1)
            )
            works[f"matrix {precision}"] = lambda left=left, right=right: torch.mm(left, right)
    return works


def operations(network: Network) -> float:
    """Operations of one picture, as Darknet counts them: nearly all of them a convolution's."""
    return sum(layer_bflops(section) for section in read_sections(network.cfg)) * 1e9


def moved(network: Network, picture: Tensor, work: Work) -> float:
    """How far the logits are from the network's own, in shares of each head's range: the largest."""
    with torch.no_grad():
        expected = network(picture)
    return max(float((a - b).abs().max() / (b.max() - b.min())) for a, b in zip(work(), expected, strict=True))


def rows() -> Iterator[Row]:
    """One row for each rival of ours and each network, against OpenCV; and the best of ours against the best peer."""
    threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    try:
        for name in NETWORKS:
            yield from _rows_of(name)
    finally:
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv_threads)


def _rows_of(name: str) -> Iterator[Row]:
    cfg, weights = darknet_pair(name, SIZE)
    network = Network.read(cfg, weights).eval()
    picture = torch.from_numpy(np.random.default_rng(0).random((1, 3, SIZE, SIZE), dtype=np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peers(network, str(cfg), str(weights), picture)
        ours, missing = runtimes(network, picture)
    rivals: dict[str, Work] = {}
    for label, work in {**theirs, **ours, **matrices()}.items():
        rivals[f"rest before {label}"] = lambda: time.sleep(REST_S)
        rivals[label] = work
    times = interleaved(rivals, repeats=REPEATS[name], warm_up=2)
    opencv_s = times[OPENCV].median_s
    best_peer = min(theirs, key=lambda label: times[label].median_s)
    best_ours = min((label for label in ours if "float32" in label), key=lambda label: times[label].median_s)
    in_bfloat16 = [label for label in ours if "bfloat16" in label]
    best_bfloat16 = min(in_bfloat16, key=lambda label: times[label].median_s, default="")
    for label in theirs:
        peer = f"{OPENCV} {opencv_s * 1e3:.1f} ms"
        ratio = opencv_s / times[label].median_s
        yield Row(TOPIC, f"{name}@{SIZE}, peer: {label}", times[label].median_s * 1e3, "ms", peer, ratio)
    for label, work in ours.items():
        median_s = times[label].median_s
        what = f"{name}@{SIZE}, {label} (logits moved {moved(network, picture, work):.1g} of their range)"
        yield Row(TOPIC, what, median_s * 1e3, "ms", f"{OPENCV} {opencv_s * 1e3:.1f} ms", opencv_s / median_s)
    for label, why in missing.items():
        yield Row(TOPIC, f"{name}@{SIZE}, {label}: not run, {why}", float("nan"), "ms")
    best_s, peer_s = times[best_ours].median_s, times[best_peer].median_s
    peer = f"best peer, {best_peer}: {peer_s * 1e3:.1f} ms"
    yield Row(
        TOPIC, f"{name}@{SIZE}, best of ours: {best_ours}", best_s * 1e3, "ms", peer, peer_s / best_s, "at least 0.98"
    )
    fastest = f"the fastest installed, {best_ours}: {best_s * 1e3:.1f} ms"
    default_s = times[DEFAULT].median_s
    what = f"{name}@{SIZE}, the default runtime: {DEFAULT}"
    yield Row(TOPIC, what, default_s * 1e3, "ms", fastest, default_s / best_s, "at most 1.05")
    count = operations(network)
    for label in filter(None, (best_ours, best_bfloat16)):
        precision = label.rpartition(" ")[2]
        matrix_rate = 2 * MATRIX**3 / times[f"matrix {precision}"].median_s
        rate = count / times[label].median_s
        what = f"{name}@{SIZE}, {label}: operations a second over the matrix rate"
        peer = f"{MATRIX} x {MATRIX} in {precision}: {matrix_rate / 1e9:.0f} GFLOP/s"
        yield Row(TOPIC, what, rate / 1e9, "GFLOP/s", peer, rate / matrix_rate, SHARES[precision])
