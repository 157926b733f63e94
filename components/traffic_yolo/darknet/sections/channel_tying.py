"""What a section says of channels while their ties are gathered: which are new, which go only together, which stay.

A channel has an id. A layer that computes channels of its own asks for new ids; one that passes channels on, cuts,
joins or repeats them returns ids that it was given. Channels that can only be taken out together are tied.
`channel_ties` walks a network's sections and reads the result.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

ChannelIds = NDArray[np.int64]  # (C,), one id a channel, in the channels' order


class ReadsLayers(Protocol):
    """What of a section is needed to know whose channels it reads."""

    inputs: tuple[int, ...]


class ChannelTying:
    """The channels of the layers so far: `outputs[i]` are the ids of layer i, `inputs[i]` those of the layers it reads.

    `picture` are those of the network's input.
    """

    def __init__(self, picture_channels: int) -> None:
        """The picture's channels are fixed from the start: every layer reads three colours or it reads none."""
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}
        self.inputs: list[list[ChannelIds]] = []
        self.outputs: list[ChannelIds] = []
        self.picture = self.new(picture_channels)
        self.fix(self.picture, "the picture's own channels")

    def read_by(self, section: ReadsLayers) -> list[ChannelIds]:
        """The ids of each layer that a section reads, in the order of its `inputs`."""
        return [self.picture if index == -1 else self.outputs[index] for index in section.inputs]

    def new(self, count: int) -> ChannelIds:
        """Ids of `count` channels that are tied to nothing yet, (count,)."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count, dtype=np.int64)

    def tie(self, first: ChannelIds, second: ChannelIds) -> None:
        """Ties channel c of one to channel c of the other, for every c."""
        for one, other in zip(first.tolist(), second.tolist(), strict=True):
            self._join(one, other)

    def tie_rows(self, rows: Sequence[ChannelIds] | ChannelIds) -> None:
        """Ties all channels of a row to one another, row by row; rows may have any lengths."""
        for row in rows:
            ids = row.tolist()
            for other in ids[1:]:
                self._join(ids[0], other)

    def fix(self, channels: ChannelIds, reason: str) -> None:
        """Says that these cannot be taken out, and why; of several reasons the first is kept."""
        for channel in channels.tolist():
            self._reasons.setdefault(channel, reason)

    def root(self, channel: int) -> int:
        """The one id that stands for all channels tied to this one."""
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def reasons(self) -> dict[int, str]:
        """Why channels are fixed, by `root`: one fixed channel fixes all that are tied to it."""
        found: dict[int, str] = {}
        for channel, reason in self._reasons.items():
            found.setdefault(self.root(channel), reason)
        return found

    def _join(self, one: int, other: int) -> None:
        first, second = self.root(one), self.root(other)
        if first != second:  # the older one stands for both, so that units are numbered in the order of the layers
            self._parents[max(first, second)] = min(first, second)
