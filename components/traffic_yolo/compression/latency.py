"""What a network and its convolutions take on this machine: measured once by channels, for `latency_table`.

PyTorch with batch-norm folded in, one picture at a time, under this process's threads.
"""

import statistics
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

REPEATS = 5  # the median counts; one run before them is not measured


def measure(network: Network) -> LatencyTable:
    """The table of a network at its own size; layers of one shape are measured once."""
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
        whole = latency_ms(network)
    convolutions = sum(float(times[-1, -1]) for times in layers.values())
    height, width = network.input_hw
    return LatencyTable(layers, channels, max(0.0, whole - convolutions), (height, width), machine())


def measure_model(model: AnyPath) -> LatencyTable:
    """The table of the network of a model folder."""
    folder = ModelFolder.open(model)
    return measure(Network.read(folder.cfg_path, folder.weights_path).eval())


def machine() -> str:
    """What measures here, in words: the processor and the threads of this process."""
    return f"{processor_name()}, threads: {threads()}"


def latency_ms(network: Network, *, repeats: int = 2 * REPEATS) -> float:
    """Median milliseconds of one picture through a network, batch-norm folded in."""
    fused = network.fuse()
    picture = torch.rand((1, network.input_channels, *network.input_hw))
    return _median(fused, picture, repeats)


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
            times[row, column] = _median(module, torch.rand(1, read, *section.input[1:]), REPEATS)
    return times


def _median(module: nn.Module, picture: torch.Tensor, repeats: int) -> float:
    module(picture)
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        module(picture)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken)
