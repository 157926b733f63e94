"""Opens the runtime that options name; `auto` measures those that this machine has on the network itself."""

import logging
import statistics
import time

import torch

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes import onnxruntime, openvino
from traffic_yolo.darknet.runtimes.base import Runtime
from traffic_yolo.darknet.runtimes.compiled import CompiledRuntime, missing_for_compiling
from traffic_yolo.darknet.runtimes.onnxruntime import OnnxruntimeRuntime
from traffic_yolo.darknet.runtimes.openvino import OpenvinoRuntime
from traffic_yolo.darknet.runtimes.options import RuntimeOptions
from traffic_yolo.darknet.runtimes.pytorch import PyTorchRuntime

RUNTIMES: dict[str, type[Runtime]] = {
    runtime.name: runtime for runtime in (PyTorchRuntime, CompiledRuntime, OnnxruntimeRuntime, OpenvinoRuntime)
}

# Compiling costs 10 to 20 seconds and saves up to a tenth in float32, a fifth in bfloat16 (docs/performance.md): for
# less work than this it does not pay.
WORTH_COMPILING_S = 200.0
TRIALS = 3

logger = logging.getLogger(__name__)


def open_runtime(
    network: Network, options: RuntimeOptions, *, input_hw: tuple[int, int] | None = None, pictures: int | None = None
) -> Runtime:
    """The runtime of `options` for `network` at `input_hw` (the cfg's size unless given).

    `pictures` is how many it will be given, where that is known: "auto" compiles only for many. Raises `OptionsError`
    for a runtime that this machine lacks something for, `ValueError` for a size that the network cannot have.
    """
    if options.runtime != "auto":
        return RUNTIMES[options.runtime](network, precision=options.precision, input_hw=input_hw)
    return _fastest(network, options.precision, input_hw, pictures or 0)


def _fastest(network: Network, precision: str, input_hw: tuple[int, int] | None, pictures: int) -> Runtime:
    best: Runtime = PyTorchRuntime(network, precision=precision, input_hw=input_hw)
    if next(network.parameters()).device.type != "cpu":
        return best
    best_s = _seconds(best)
    measured = {best.name: best_s}
    rivals: list[type[Runtime]] = []
    if precision == "float32" and onnxruntime.missing_packages() is None:
        rivals.append(OnnxruntimeRuntime)
    if openvino.missing_packages() is None:
        rivals.append(OpenvinoRuntime)
    if pictures * best_s > WORTH_COMPILING_S and missing_for_compiling() is None:
        rivals.append(CompiledRuntime)
    for rival in rivals:
        runtime = rival(network, precision=precision, input_hw=input_hw)
        measured[rival.name] = _seconds(runtime)
        if measured[rival.name] < best_s:
            best, best_s = runtime, measured[rival.name]
    shown = ", ".join(f"{name} {seconds * 1000:.1f} ms" for name, seconds in measured.items())
    logger.info("runtime: %s (measured for one picture: %s)", best.name, shown)
    return best


def _seconds(runtime: Runtime) -> float:
    """The median time of one picture."""
    picture = torch.rand(1, runtime.input_channels, *runtime.input_hw, generator=torch.Generator().manual_seed(0))
    runtime(picture)  # the first one makes oneDNN's plans
    seconds = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        runtime(picture)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
