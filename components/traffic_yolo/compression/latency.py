"""What a network and its convolutions take on this machine: measured once by channels, for `latency_table`.

PyTorch with batch-norm folded in, one picture at a time, under this process's threads. Of several runs the fastest
counts: what else the machine does only makes one slower. How much it did meanwhile is told.
"""

import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from traffic_yolo.compression.latency_table import SHARES, LatencyTable
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes.processor import processor_name
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.processors import threads
from traffic_yolo.progress import stage
from traffic_yolo.storage import AnyPath

REPEATS = 7  # the fastest counts; one run before them is not measured


def measure(network: Network) -> LatencyTable:
    """The table of a network at its own size; layers of one shape are measured once."""
    clock = _Clock()
    with stage("measuring the layers"), torch.inference_mode():
        seen: dict[tuple[object, ...], NDArray[np.float64]] = {}
        layers, channels = {}, {}
        for section, layer in zip(network.sections, network.layers, strict=True):
            if not isinstance(section, ConvolutionalSection):
                continue
            shape = (section.input, section.filters, section.groups, section.size, section.stride_x, section.stride_y)
            key = (*shape, section.padding, section.dilation, section.activation)
            if key not in seen:
                seen[key] = _times(section, layer)
            layers[section.index] = seen[key]
            channels[section.index] = (section.input.channels, section.filters)
        rest = _others(network)
    height, width = network.input_hw
    return LatencyTable(layers, channels, rest, (height, width), machine(), clock.busy)


def _others(network: Network) -> float:
    """Milliseconds of all layers of a picture that are no convolutions, each at its fastest.

    Layer by layer, not as what is left of the whole: on a busy machine no run of the whole is left alone.
    """
    fused = network.fuse()
    taken: dict[int, list[float]] = {}
    begun = [0.0]
    for section, layer in zip(fused.sections, fused.layers, strict=True):
        if not isinstance(section, ConvolutionalSection):
            times = taken.setdefault(section.index, [])
            layer.register_forward_pre_hook(lambda *_: begun.__setitem__(0, time.perf_counter()))
            layer.register_forward_hook(lambda *_, times=times: times.append(time.perf_counter() - begun[0]))
    picture = torch.rand((1, network.input_channels, *network.input_hw))
    for _ in range(1 + REPEATS):
        fused(picture)
    return sum(1000 * min(times[1:]) for times in taken.values())


class _Clock:
    """Which share of the time that passes this thread does not compute, because other processes do."""

    def __init__(self) -> None:
        self._wall, self._own = time.perf_counter(), time.thread_time()

    @property
    def busy(self) -> float:
        """From the start to now; 0 to 1. PyTorch's other threads wait busily, so that this one always computes."""
        passed = time.perf_counter() - self._wall
        return max(0.0, 1 - (time.thread_time() - self._own) / passed)


def measure_model(model: AnyPath) -> LatencyTable:
    """The table of the network of a model folder."""
    folder = ModelFolder.open(model)
    return measure(Network.read(folder.cfg_path, folder.weights_path).eval())


def machine() -> str:
    """What measures here, in words: the processor and the threads of this process."""
    return f"{processor_name()}, threads: {threads()}"


def latency_ms(network: Network, *, repeats: int = 2 * REPEATS) -> float:
    """Milliseconds of one picture through a network, batch-norm folded in."""
    fused = network.fuse()
    picture = torch.rand((1, network.input_channels, *network.input_hw))
    return _fastest(fused, picture, repeats)


def _times(section: ConvolutionalSection, layer: nn.Module) -> NDArray[np.float64]:
    times = np.zeros((len(SHARES), len(SHARES)))
    convolution = layer.get_submodule("conv")
    assert isinstance(convolution, nn.Conv2d)
    for row, of_read in enumerate(SHARES):
        for column, of_filters in enumerate(SHARES):
            groups = section.groups
            if groups > 1:  # groups go whole
                groups = max(1, round(groups * min(of_read, of_filters)))
                read, filters = (
                    groups * (count // section.groups) for count in (section.input.channels, section.filters)
                )
            else:
                read = max(1, round(section.input.channels * of_read))
                filters = max(1, round(section.filters * of_filters))
            part = nn.Conv2d(
                read, filters, section.size, stride=(section.stride_y, section.stride_x),
                padding=section.padding * section.dilation, dilation=section.dilation, groups=groups,
            )  # fmt: skip
            part = part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as `fuse` has it
            module = nn.Sequential(part, layer.get_submodule("activation")).eval()
            times[row, column] = _fastest(module, torch.rand(1, read, *section.input[1:]), REPEATS)
    return times


def _fastest(module: nn.Module, picture: torch.Tensor, repeats: int) -> float:
    module(picture)
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        module(picture)
        taken.append(1000 * (time.perf_counter() - start))
    return min(taken)
