"""How much each unit of channels matters, and which units may go at all."""

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.compression.loss_changes import LossChanges
from traffic_yolo.compression.masking import scales_of
from traffic_yolo.compression.options import RANDOM, SCALE, TAYLOR
from traffic_yolo.darknet.channel_ties import ChannelTies
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.connected import ConnectedSection
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.sections.implicit import ImplicitSection
from traffic_yolo.errors import OptionsError

MAKERS = (ConvolutionalSection, ConnectedSection, ImplicitSection)  # sections that make channels of their own


@dataclass(frozen=True)
class Family:
    """Units that stand in the same layers: `counts` are (layer, channels of one unit) of each layer that makes them.

    `others` more units stand there, which stay whatever their rank.
    """

    units: NDArray[np.int64]
    counts: tuple[tuple[int, int], ...]
    others: int = 0

    def without(self, units: Collection[int]) -> "Family":
        """The family with those of `units` among the others, which stay."""
        left = self.units[~np.isin(self.units, np.array(sorted(units), np.int64))]
        return Family(left, self.counts, self.others + len(self.units) - len(left))

    def step(self, multiple: int) -> int:
        """How many units at a time must stay for each layer to keep a multiple of `multiple` channels."""
        return math.lcm(*(multiple // math.gcd(multiple, count) for _, count in self.counts))


def check_batch_norm(network: Network) -> None:
    """Raises `OptionsError` for a network without batch-norm, by whose scales pruning goes."""
    if not any(scales_of(layer) is not None for layer in network.layers):
        found = "expected a network with batch-norm, found none: pruning goes by its scales"
        raise OptionsError(f"{network.cfg.file}: {found}; give the weights from before they were fused")


def families(network: Network, ties: ChannelTies, *, frozen: Collection[int] = ()) -> tuple[Family, ...]:
    """The units that may go, by the layers that make them.

    A unit stays where it is fixed, where a layer that makes it is among `frozen`, and where none of these layers has a
    batch-norm: nothing would say how much it matters. Raises `OptionsError` where none may go.
    """
    check_batch_norm(network)
    makers: dict[int, dict[int, int]] = {}
    for section in network.sections:
        owned = isinstance(section, MAKERS) and getattr(section, "shared_with", None) is None
        for unit in ties.outputs[section.index].tolist() if owned else ():
            makers.setdefault(unit, {}).setdefault(section.index, 0)
            makers[unit][section.index] += 1
    found_families: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for unit, counts in sorted(makers.items()):
        has_norm = any(scales_of(network.layers[index]) is not None for index in counts)
        if unit not in ties.fixed and has_norm and not counts.keys() & set(frozen):
            found_families.setdefault(tuple(sorted(counts.items())), []).append(unit)
    if not found_families:
        why = "the layers that are not frozen" if frozen else "the layers"
        raise OptionsError(f"{network.cfg.file}: no channel can be taken out: {why} have none that is free")
    return tuple(Family(np.array(units), counts) for counts, units in found_families.items())


def importance(
    network: Network, ties: ChannelTies, kind: str, *, seed: int = 0, changes: LossChanges | None = None
) -> NDArray[np.float64]:
    """Of each unit how much it matters, (num_units,); larger is more, NaN for one that no batch-norm measures.

    `scale`: the mean of |scale| over the unit's batch-norms. `l1`: the mean over its filters of their sum of |kernel|,
    as a share of the layer's mean, so that layers can be compared. `taylor`: what the loss would lose, of `changes`.
    `random`: draws from `seed`, to compare with. (`obs` is an order: `surgeon`.)
    """
    if kind == TAYLOR:
        assert changes is not None, "taylor goes by measured changes"
        return changes.of_units(ties)
    if kind == RANDOM:
        return np.random.default_rng(seed).random(ties.num_units)
    total, count = np.zeros(ties.num_units), np.zeros(ties.num_units)
    for section, layer in zip(network.sections, network.layers, strict=True):
        if kind == SCALE:
            scales = scales_of(layer)
            values = None if scales is None else scales.abs().cpu().double().numpy()
        else:
            kernels = dict(section.weights(layer)).get("kernels")
            values = None if kernels is None else kernels.detach().abs().flatten(1).sum(1).cpu().double().numpy()
            if values is not None:
                values = values / max(float(values.mean()), 1e-30)
        if values is not None and getattr(section, "shared_with", None) is None:
            np.add.at(total, ties.outputs[section.index], values)
            np.add.at(count, ties.outputs[section.index], 1)
    means = np.full(ties.num_units, np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means
