"""The importance `obs`: which channels the others can stand in for, at the least cost to the loss.

A unit of channels that goes is made up for by those that stay (`refit`), so what counts is what they cannot make up.
With H the inverse of the covariance of what a convolution reads and w a filter's weight of plane p, it is w² / H[p, p],
and of planes P that go together the trace of w wᵀ H[P, P]⁻¹ (Hassibi and Stork 1993, "Optimal Brain Surgeon", for the
squared error of a layer's outputs, as Frantar and Alistarh 2022, "Optimal Brain Compression", take it). An error of an
output channel costs the loss, to first order and squared, error² · (dL/dy)², averaged over pictures and summed over
pixels, as if the errors of pixels and channels were independent: the same unit as that of importance taylor.

Units go one after another, the cheapest first, and after each the rest is weighed anew: of two planes that tell the
same one goes, and the other is then worth both. Cost is divided by the root of the BFLOPs that a unit saves: between no
division, the worst where layers may lose nearly all, and the BFLOPs themselves, which would be right if errors added up
over layers (docs/compression.md has what each came to).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.compression.importance import Family
from traffic_yolo.compression.loss_changes import LossChanges
from traffic_yolo.compression.planes import Planes, readers
from traffic_yolo.compression.refit import layers_that_share, ridged
from traffic_yolo.darknet.channel_ties import ChannelTies
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.sections.connected import ConnectedSection
from traffic_yolo.darknet.show import layer_bflops
from traffic_yolo.darknet.surgery_channels import cfg_without_channels
from traffic_yolo.progress import progress

Float64Array = NDArray[np.float64]


def surgeon_order(
    network: Network,
    ties: ChannelTies,
    families: Sequence[Family],
    planes: Planes,
    changes: LossChanges,
    *,
    keep_at_least: float = 0.0,
) -> Float64Array:
    """Of each unit of `families` its place in the order in which they go, (num_units,); NaN for all others.

    Of each family at least the share `keep_at_least` stays, and those units come last. A unit that no convolution sums
    up, or a [connected] layer reads, has its change of the loss (`LossChanges.of_units`) beside the rest.
    """
    shared = layers_that_share(network)
    layers = [
        _Reader.of(
            module.weight.detach().cpu().double().numpy(),
            ties.inputs[index][0],
            ridged(planes, index, is_fitted=index not in shared),
            costs,
        )
        for index, module in readers(network).items()
        if (costs := changes.by_output.get(index)) is not None
    ]
    places: dict[int, list[tuple[_Reader, list[int]]]] = {}
    cost = _unread(network, ties, layers, changes)
    for layer in layers:
        layer.add_to(cost)
        for unit in np.unique(layer.units).tolist():
            places.setdefault(unit, []).append((layer, np.flatnonzero(layer.units == unit).tolist()))
    saved = np.sqrt(_bflops_saved(network, ties, families))
    order = np.full(ties.num_units, np.nan)
    may_go = np.zeros(ties.num_units, np.bool_)
    family_of = {unit: number for number, family in enumerate(families) for unit in family.units.tolist()}
    order[list(family_of)] = len(family_of)  # those that stay
    left = [max(0, len(family.units) - max(0, _stays(family, keep_at_least) - family.others)) for family in families]
    for family, goes in zip(families, left, strict=True):
        may_go[family.units] = goes > 0
    for place in progress(range(sum(left)), description="ranking channels", unit="unit", total=sum(left)):
        allowed = np.flatnonzero(may_go)
        unit = int(allowed[np.argmin(cost[allowed] / saved[allowed])])
        order[unit], may_go[unit] = place, False
        left[family_of[unit]] -= 1
        if left[family_of[unit]] == 0:
            may_go[families[family_of[unit]].units] = False
        for layer, positions in places.get(unit, ()):
            layer.take_from(cost)
            for position in positions:
                layer.remove(position)
            layer.add_to(cost)
    return order


def _stays(family: Family, share: float) -> int:
    return max(1, math.ceil(share * (len(family.units) + family.others) - 1e-9))


@dataclass
class _Reader:
    """A convolution of C planes, without those that went.

    `inverse` (C, C): of the planes' covariance. `weights` (C, C): w wᵀ, summed over the pixels of a kernel and over
    filters, each by what an error of its output costs. `groups`: of the units that stand here once, twice, ... each
    (n, times): their positions; `left` (C,): whether a plane is there still.
    """

    units: NDArray[np.int64]
    inverse: Float64Array
    weights: Float64Array
    groups: tuple[NDArray[np.int64], ...]
    left: NDArray[np.bool_]

    @classmethod
    def of(
        cls, kernels: Float64Array, units: NDArray[np.int64], covariance: Float64Array, costs: Float64Array
    ) -> "_Reader":
        """`kernels` (F, C, k, k), `costs` (F,); `covariance` can be inverted."""
        channels = len(covariance)
        rows = (kernels * np.sqrt(costs)[:, None, None, None]).transpose(0, 2, 3, 1).reshape(-1, channels)
        inverse: Float64Array = np.linalg.inv(covariance).astype(np.float64)
        by_unit: dict[int, list[int]] = {}
        for position, unit in enumerate(units.tolist()):
            by_unit.setdefault(unit, []).append(position)
        by_times: dict[int, list[list[int]]] = {}
        for positions in by_unit.values():
            by_times.setdefault(len(positions), []).append(positions)
        groups = tuple(np.array(rows) for rows in by_times.values())
        return cls(units, inverse, rows.T @ rows, groups, np.ones(channels, np.bool_))

    def add_to(self, cost: Float64Array, sign: float = 1.0) -> None:
        """Adds to the units' costs what goes lost here with all planes of each; 0 for one that went.

        A unit's planes go together, so none of them can stand in for another.
        """
        for group in self.groups:
            positions = group[self.left[group[:, 0]]]  # (n, times)
            if not len(positions):
                continue
            if positions.shape[1] == 1:
                found = self.weights.diagonal()[positions[:, 0]] / self.inverse.diagonal()[positions[:, 0]]
            else:
                pairs = positions[:, :, None], positions[:, None, :]
                found = np.einsum("nij,nji->n", np.linalg.inv(self.inverse[pairs]), self.weights[pairs])
            cost[self.units[positions[:, 0]]] += sign * found

    def take_from(self, cost: Float64Array) -> None:
        """Takes them away again."""
        self.add_to(cost, -1.0)

    def remove(self, position: int) -> None:
        """Takes out one plane; what its weights did goes to the others, as `refit` does."""
        row = self.inverse[position] / self.inverse[position, position]
        column = self.weights[:, position].copy()
        # w - w[p] row for each filter: W - c rᵀ - r cᵀ + c[p] r rᵀ, as two outer products
        halved = column - 0.5 * column[position] * row
        self.weights -= np.outer(halved, row)
        self.weights -= np.outer(row, halved)
        self.inverse -= np.outer(self.inverse[:, position].copy(), row)
        for matrix in (self.weights, self.inverse):
            matrix[position] = 0.0
            matrix[:, position] = 0.0
        self.left[position] = False


def _unread(network: Network, ties: ChannelTies, layers: Sequence[_Reader], changes: LossChanges) -> Float64Array:
    """The change of the loss of the units that no convolution tells enough of, 0 of the others, (num_units,)."""
    is_told = np.zeros(ties.num_units, np.bool_)
    for layer in layers:
        is_told[layer.units] = True
    for section in network.sections:
        if isinstance(section, ConnectedSection):
            is_told[ties.inputs[section.index][0]] = False
    return np.where(is_told, 0.0, np.nan_to_num(changes.of_units(ties)))


def _bflops_saved(network: Network, ties: ChannelTies, families: Sequence[Family]) -> Float64Array:
    """BFLOPs that a unit of a family saves when half of them go, (num_units,); the least number where it cannot go."""
    whole = sum(map(layer_bflops, network.sections))
    found = np.zeros(ties.num_units)
    for family in families:
        half = max(1, len(family.units) // 2)
        if len(family.units) + family.others > 1:
            gone = frozenset(family.units[:half].tolist())
            sections = read_sections(cfg_without_channels(network.cfg, network.sections, ties, gone))
            found[family.units] = (whole - sum(map(layer_bflops, sections))) / half
    return np.maximum(found, 1e-9 * whole)
