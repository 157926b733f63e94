"""Kernels fitted anew after channels went: the planes that stay make up for those that are no more.

Each plane that went is replaced by the linear combination of the planes that stay, and of a constant, that comes
nearest to it over the pixels of training pictures (least squares). What a convolution would have done with it goes into
the kernels that are left: as many multiplications as before, and the cfg stays as it is. (Luo et al. 2017, "ThiNet",
fit a layer's outputs; here the planes are fitted, so that 3 x 3 kernels need no more memory than 1 x 1, and in padding,
where every plane is 0, the combination is right too. The constant is not: it is bounded as in `carry`.)
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from traffic_yolo.compression.carry import CarryError, border_error
from traffic_yolo.compression.masking import batch_norm_of
from traffic_yolo.compression.planes import Planes, readers
from traffic_yolo.darknet.channel_ties import ChannelTies
from traffic_yolo.darknet.network import Network

RIDGE = 0.01  # at least, of the mean variance; between .001 and .1 AP50 of two pruned networks moved by .01


@dataclass(frozen=True)
class Refit:
    """What layer `layer` lost of the variance of its outputs, as a share: `lost` without the fit, `left` with it.

    As if the pixels under a kernel varied on their own; `lost` is above 1 where kernels cancel each other. `error`: how
    wrong the constants are at padded borders.
    """

    layer: int
    lost: float
    left: float
    error: CarryError | None


def layers_that_share(network: Network) -> frozenset[int]:
    """The layers that use another's weights, and those whose weights another uses: they read different planes."""
    owners = {section.index: getattr(section, "shared_with", None) for section in network.sections}
    return frozenset(
        layer for index, owner in owners.items() if owner is not None for layer in (index, owner)
    )  # fmt: skip


def ridged(planes: Planes, index: int, *, is_fitted: bool = True) -> NDArray[np.float64]:
    """The covariance (C, C) of what a layer reads with the fit's ridge on its diagonal: one that can be inverted.

    The ridge grows with the number of planes for a pixel: fewer pixels than planes fit anything. Without `is_fitted`
    the diagonal alone, by which no plane can stand in for another.
    """
    covariance = planes.covariances[index]
    share = max(RIDGE, len(covariance) / planes.pixels[index])
    ridge = share * max(float(np.trace(covariance)) / len(covariance), 1e-30)
    if not is_fitted:
        covariance = np.diag(covariance.diagonal())
    found: NDArray[np.float64] = covariance + ridge * np.eye(len(covariance))
    return found


def refit(
    network: Network,
    smaller: Network,
    ties: ChannelTies,
    units: Collection[int],
    planes: Planes,
    *,
    exact_only: bool = False,
) -> list[Refit]:
    """Fits, in place, the kernels of `smaller`, which is `network` (in eval mode) without the channels of `units`.

    `planes` were measured in `network`. Layers that share their weights stay as they are: they read different planes.
    With `exact_only` padded layers do too, whose borders a constant would spoil.
    """
    shared, whole, found = layers_that_share(network), readers(network), []
    for index, convolution in readers(smaller).items():
        stays = ties.kept(ties.inputs[index][0], units)
        is_padded = convolution.kernel_size != (1, 1) and convolution.padding != (0, 0)
        if index in shared or len(stays) == len(ties.inputs[index][0]) or (exact_only and is_padded):
            continue
        filters = ties.kept(ties.outputs[index], units)
        layers = network.layers[index], smaller.layers[index]
        height_width = network.sections[index].input.height, network.sections[index].input.width
        found.append(_refit(index, layers, whole[index], convolution, stays, filters, planes, height_width))
    return found


def _refit(
    index: int,
    layers: tuple[nn.Module, nn.Module],
    whole: nn.Conv2d,
    convolution: nn.Conv2d,
    stays: NDArray[np.int64],
    filters: NDArray[np.int64],
    planes: Planes,
    height_width: tuple[int, int],
) -> Refit:
    before, after = layers
    mean, covariance = planes.means[index], planes.covariances[index]
    goes = np.setdiff1d(np.arange(len(mean)), stays)
    with_ridge, among, between = (
        ridged(planes, index),
        covariance[np.ix_(stays, stays)],
        covariance[np.ix_(stays, goes)],
    )
    combined = np.linalg.solve(with_ridge[np.ix_(stays, stays)], between)  # (stays, goes)
    kernels = whole.weight.detach().cpu().double().numpy()[filters]  # (F, C, k, k)
    fitted = kernels[:, stays] + np.einsum("fgyx,sg->fsyx", kernels[:, goes], combined)
    constants = mean[goes] - combined.T @ mean[stays]
    shift = np.einsum("fgyx,g->f", kernels[:, goes], constants)
    rest = covariance[np.ix_(goes, goes)]
    left = rest - combined.T @ between - between.T @ combined + combined.T @ among @ combined
    kept = torch.from_numpy(filters)
    with torch.no_grad():
        convolution.weight.copy_(torch.from_numpy(fitted))
        norm, norm_before = batch_norm_of(after), batch_norm_of(before)
        if norm is not None and norm_before is not None:
            assert norm.running_mean is not None
            assert norm_before.running_mean is not None
            norm.running_mean.copy_(norm_before.running_mean.detach().cpu().double()[kept] - torch.from_numpy(shift))
        elif convolution.bias is not None and whole.bias is not None:
            convolution.bias.copy_(whole.bias.detach().cpu().double()[kept] + torch.from_numpy(shift))
    everywhere = torch.from_numpy(constants)[None, :, None, None].expand(1, len(goes), *height_width)
    assert not isinstance(whole.padding, str)
    window = whole.stride, whole.padding, whole.dilation
    field = functional.conv2d(everywhere, torch.from_numpy(kernels[:, goes]), None, *window)[0]
    error = border_error(index, before, torch.from_numpy(shift), field, kept)
    everything = _variance(kernels, covariance)
    if everything <= 0:
        return Refit(index, 0.0, 0.0, error)
    return Refit(
        index, _variance(kernels[:, goes], rest) / everything, _variance(kernels[:, goes], left) / everything, error
    )


def _variance(kernels: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    """Of all filters together: the sum over the pixels of a kernel of what each gives."""
    rows = kernels.transpose(0, 2, 3, 1).reshape(-1, kernels.shape[1])
    return max(float(((rows @ covariance) * rows).sum()), 0.0)
