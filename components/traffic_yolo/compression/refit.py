"""Kernels fitted anew after channels went: the planes that stay make up for those that are no more.

Each plane that went is replaced by the linear combination of the planes that stay, and of a constant, that comes
nearest to it over the pixels of training pictures (least squares). What a convolution would have done with it goes into
the kernels that are left: as many multiplications as before, and the cfg stays as it is. (Luo et al. 2017, "ThiNet",
fit a layer's outputs; here the planes are fitted, so that 3 x 3 kernels need no more memory than 1 x 1, and padded
borders, where every plane is 0, stay right.)
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traffic_yolo.compression.masking import batch_norm_of
from traffic_yolo.compression.planes import Planes, readers
from traffic_yolo.darknet.channel_ties import ChannelTies
from traffic_yolo.darknet.network import Network

RIDGE = 0.01  # of the mean variance; between .001 and .1 AP50 of two pruned networks moved by .01


@dataclass(frozen=True)
class Refit:
    """What layer `layer` lost of the variance of its outputs, as a share: `lost` without the fit, `left` with it.

    As if the pixels under a kernel varied on their own.
    """

    layer: int
    lost: float
    left: float


def refit(network: Network, smaller: Network, ties: ChannelTies, units: Collection[int], planes: Planes) -> list[Refit]:
    """Fits, in place, the kernels of `smaller`, which is `network` (in eval mode) without the channels of `units`.

    `planes` were measured in `network`. Layers that share their weights stay as they are: they read different planes.
    """
    shared = {getattr(section, "shared_with", None) for section in network.sections}
    found, whole = [], readers(network)
    for index, convolution in readers(smaller).items():
        section = network.sections[index]
        stays = ties.kept(ties.inputs[index][0], units)
        if getattr(section, "shared_with", None) is not None or index in shared:
            continue
        if len(stays) == len(ties.inputs[index][0]):
            continue
        filters = ties.kept(ties.outputs[index], units)
        layer, kept = smaller.layers[index], torch.from_numpy(filters)
        found.append(_refit(index, network.layers[index], whole[index], layer, convolution, stays, kept, planes))
    return found


def _refit(
    index: int,
    before: nn.Module,
    whole: nn.Conv2d,
    layer: nn.Module,
    convolution: nn.Conv2d,
    stays: NDArray[np.int64],
    filters: Tensor,
    planes: Planes,
) -> Refit:
    mean, covariance = planes.means[index], planes.covariances[index]
    goes = np.setdiff1d(np.arange(len(mean)), stays)
    among, between = covariance[np.ix_(stays, stays)], covariance[np.ix_(stays, goes)]
    ridge = RIDGE * max(float(np.trace(among)) / len(stays), 1e-30)
    combined = np.linalg.solve(among + ridge * np.eye(len(stays)), between)  # (stays, goes)
    kernels = whole.weight.detach().cpu().double().numpy()[filters.numpy()]  # (F, C, k, k)
    fitted = kernels[:, stays] + np.einsum("fgyx,sg->fsyx", kernels[:, goes], combined)
    # What the mean planes give: the new kernels differ there by a constant
    shift = np.einsum("fcyx,c->f", kernels, mean) - np.einsum("fsyx,s->f", fitted, mean[stays])
    rest = covariance[np.ix_(goes, goes)]
    left = rest - combined.T @ between - between.T @ combined + combined.T @ among @ combined
    with torch.no_grad():
        convolution.weight.copy_(torch.from_numpy(fitted))
        norm, norm_before = batch_norm_of(layer), batch_norm_of(before)
        if norm is not None and norm_before is not None:
            assert norm.running_mean is not None
            assert norm_before.running_mean is not None
            means = norm_before.running_mean.detach().cpu().double()[filters] - torch.from_numpy(shift)
            norm.running_mean.copy_(means)
        elif convolution.bias is not None and whole.bias is not None:
            convolution.bias.copy_(whole.bias.detach().cpu().double()[filters] + torch.from_numpy(shift))
    everything = _variance(kernels, covariance)
    return Refit(index, _variance(kernels[:, goes], rest) / everything, _variance(kernels[:, goes], left) / everything)


def _variance(kernels: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Of all filters together: the sum over the pixels of a kernel of what each gives; never 0."""
    rows = kernels.transpose(0, 2, 3, 1).reshape(-1, kernels.shape[1])
    return max(float(((rows @ covariance) * rows).sum()), 1e-30)
