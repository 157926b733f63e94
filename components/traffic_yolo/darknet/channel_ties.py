"""Which channels of a network can only be taken out together, derived from what its section classes say.

A unit is a set of channels, in one layer or in many, that goes as a whole: the two sides of a shortcut, both halves of
a layer that a route cuts in two, a depthwise convolution and what it reads. With any set of units taken out, the
sections still read each other's channels in the right places: what stays keeps its order.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.darknet.sections import LayerSection
from traffic_yolo.darknet.sections.channel_tying import ChannelIds, ChannelTying


@dataclass(frozen=True)
class ChannelTies:
    """The units of a network. `outputs[i]` (C,) int64 is the unit of each output channel of layer i.

    `inputs[i]` are the units of the channels of each layer that layer i reads, in the order of its section's `inputs`;
    a unit may stand in one layer several times. `fixed` maps the units that cannot be taken out to the reason.
    """

    outputs: tuple[ChannelIds, ...]
    inputs: tuple[tuple[ChannelIds, ...], ...]
    num_units: int
    fixed: Mapping[int, str]

    @cached_property
    def layers_of(self) -> tuple[tuple[int, ...], ...]:
        """Per unit, the layers whose output holds it, rising."""
        found: list[list[int]] = [[] for _ in range(self.num_units)]
        for index, units in enumerate(self.outputs):
            for unit in np.unique(units).tolist():
                found[unit].append(index)
        return tuple(map(tuple, found))

    def kept(self, units: ChannelIds, removed: Collection[int]) -> NDArray[np.int64]:
        """The positions in `units` (of `outputs` or `inputs`) that stay without the units `removed`, rising."""
        return np.flatnonzero(~np.isin(units, np.fromiter(removed, np.int64, len(removed))))


def channel_ties(sections: Sequence[LayerSection]) -> ChannelTies:
    """The units of the sections of a cfg (`network.read_sections`), numbered in the order of the layers.

    Raises `DarknetFormatError`, naming line and section, for a section type whose ties are not known.
    """
    tying = ChannelTying(sections[0].input.channels)
    for section in sections:
        inputs = tying.read_by(section)
        tying.inputs.append(inputs)
        output = section.tie_channels(inputs, tying)
        assert len(output) == section.output.channels, section.section
        tying.outputs.append(output)
    roots = sorted({tying.root(channel) for ids in (tying.picture, *tying.outputs) for channel in ids.tolist()})
    numbers = {root: number for number, root in enumerate(roots)}

    def units(ids: ChannelIds) -> ChannelIds:
        return np.array([numbers[tying.root(channel)] for channel in ids.tolist()], dtype=np.int64)

    return ChannelTies(
        outputs=tuple(units(ids) for ids in tying.outputs),
        inputs=tuple(tuple(units(ids) for ids in inputs) for inputs in tying.inputs),
        num_units=len(roots),
        fixed={numbers[root]: reason for root, reason in tying.reasons().items() if root in numbers},
    )
