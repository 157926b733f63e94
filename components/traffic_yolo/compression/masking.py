"""A network whose channels are silenced where they stand: what pruning means, before anything is taken out.

A silenced channel answers every picture alike: with batch-norm its scale is 0, so that activation(bias) is left.
"""

import copy
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn

from traffic_yolo.darknet.channel_ties import ChannelTies
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, Positions


def mask_units(network: Network, ties: ChannelTies, units: Collection[int]) -> Network:
    """A copy in eval mode in which every layer that makes channels of `units` (of the network's `ties`) silences them.

    Where a layer has no batch-norm, the channel's kernels become 0 and its bias stays.
    """
    masked = copy.deepcopy(network).eval()
    with torch.no_grad():
        for section, layer in zip(masked.sections, masked.layers, strict=True):
            silenced = places_of(units, ties.outputs[section.index])
            if not len(silenced):
                continue
            arrays = dict(section.weights(layer))
            name = "scales" if "scales" in arrays else "kernels"
            if name in arrays:
                arrays[name][torch.from_numpy(silenced)] = 0.0
    return masked


def places_of(units: Collection[int], channels: ChannelIds) -> Positions:
    """The positions, rising, at which `channels` (C,), units as `ChannelTies` has them, hold one of `units`."""
    return np.flatnonzero(np.isin(channels, np.fromiter(units, np.int64, len(units))))


def batch_norm_of(layer: nn.Module) -> nn.BatchNorm1d | nn.BatchNorm2d | None:
    """A layer's batch-norm: its own part of a convolution, or a [batchnorm] itself."""
    found = layer if isinstance(layer, nn.BatchNorm2d) else dict(layer.named_children()).get("bn")
    return found if isinstance(found, nn.BatchNorm1d | nn.BatchNorm2d) else None


def scales_of(layer: nn.Module) -> Tensor | None:
    """The scales (C,) of a layer's batch-norm, None where it has none."""
    norm = batch_norm_of(layer)
    return None if norm is None else norm.weight.detach()
