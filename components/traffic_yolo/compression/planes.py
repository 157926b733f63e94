"""What the convolutions of a network read, on pictures of the training split: means and covariances of the planes.

A plane that goes can be told, in part, by those that stay: by as much as they vary together. Pixels of all pictures
count alike; labels are not needed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traffic_yolo.compression.drawn_pictures import drawn_pictures
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import network_input
from traffic_yolo.progress import progress

PICTURES = 64  # by default; 128 moved AP50 of a pruned Yolo-Fastest by .003


@dataclass(frozen=True)
class Planes:
    """By convolution that sums up all channels it reads: `means` (C,), `covariances` (C, C), float64, over `pixels`."""

    means: Mapping[int, NDArray[np.float64]]
    covariances: Mapping[int, NDArray[np.float64]]
    pixels: Mapping[int, int]
    pictures: int


def readers(network: Network) -> dict[int, nn.Conv2d]:
    """The convolutions, by layer, that sum up all channels they read, those with another layer's weights too."""
    found = {
        section.index: layer.get_submodule("conv")
        for section, layer in zip(network.sections, network.layers, strict=True)
        if isinstance(section, ConvolutionalSection) and section.groups == 1
    }
    return {index: module for index, module in found.items() if isinstance(module, nn.Conv2d)}


def measure_planes(network: Network, data: DataSet, *, pictures: int = PICTURES, seed: int = 0) -> Planes:
    """Measures them on up to `pictures` pictures of split train, drawn by `seed`, as detection sees them.

    `network` (in eval mode) stays as it is. Raises `DatasetError` for a split without pictures.
    """
    drawn = drawn_pictures(
        data, pictures, seed=seed, purpose="measure planes on", instead="give importance scale, refit_pictures 0"
    )
    # Of what was read less the means of the first picture: planes far from 0 would lose their variance in float32
    first: dict[int, Tensor] = {}
    sums: dict[int, NDArray[np.float64]] = {}
    products: dict[int, NDArray[np.float64]] = {}
    pixels: dict[int, int] = {}

    def watch(index: int, module: nn.Conv2d) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            read = inputs[0][0].flatten(1)  # (C, pixels)
            if index not in first:
                first[index] = read.mean(1, keepdim=True)
                sums[index], products[index] = np.zeros(len(read)), np.zeros((len(read), len(read)))
                pixels[index] = 0
            read = read - first[index]
            products[index] += (read @ read.T).double().cpu().numpy()
            sums[index] += read.sum(1).double().cpu().numpy()
            pixels[index] += read.shape[1]

        return module.register_forward_pre_hook(hook)

    handles = [watch(index, module) for index, module in readers(network).items()]
    try:
        with torch.no_grad():
            for picture in progress(drawn, description="what layers read", unit="picture", total=len(drawn)):
                read = network_input(picture, network.input_hw, letterboxed=network.letterbox)
                network(torch.from_numpy(read)[None])
    finally:
        for handle in handles:
            handle.remove()
    moved = {index: total / pixels[index] for index, total in sums.items()}
    covariances = {
        index: product / pixels[index] - np.outer(moved[index], moved[index]) for index, product in products.items()
    }
    means = {index: value + first[index][:, 0].double().cpu().numpy() for index, value in moved.items()}
    return Planes(means, covariances, pixels, len(drawn))
