"""The network's size at each update, and how many pictures it takes: Darknet's `random` (detector.c train_detector).

Every ten updates a size is drawn. It is a function of the seed and the update's number alone, so a resumed run, and
every process of a distributed one, see the same sizes.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from traffic_yolo.errors import OptionsError

GROUP = 10  # updates of one size (detector.c 179)
LAST_UPDATES = 100  # at the end, of the largest size (detector.c 192); here at most a tenth of the run
FILL = 0.8  # share of the memory of the largest size that a larger mini-batch may take (detector.c 200)
_SIZE = 5  # key of the random stream of one seed


class NetworkSize(NamedTuple):
    """Network input in pixels, and pictures of one update."""

    width: int
    height: int
    batch: int


@dataclass(frozen=True)
class NetworkSizes:
    """`at(iteration)`, counted from 0: the cfg's `width` x `height`, or drawn around it where `factor` is not 1.

    `batch`: pictures of an update at the cfg's size, in `subdivisions` mini-batches. `factor`: the largest one, its
    inverse being the smallest; Darknet's 1.4 for random=1. `step`: other sizes than the cfg's are its multiples
    (resize_step), which must be multiples of `stride`, the network's largest. `dynamic_minibatch`: a smaller size takes
    more pictures, as many as need no more memory than the largest size does.

    Raises `OptionsError` for a step that is no multiple of the stride.
    """

    width: int
    height: int
    batch: int
    max_batches: int
    seed: int
    subdivisions: int = 1
    factor: float = 1.0
    step: int = 32
    stride: int = 32
    dynamic_minibatch: bool = False
    _drawn: dict[int, NetworkSize] = field(default_factory=dict, repr=False, compare=False)
    _starts: dict[int, int] = field(default_factory=lambda: {0: 0}, repr=False, compare=False)  # by group

    def __post_init__(self) -> None:
        if self.varies and (self.step < 1 or self.step % self.stride):
            raise OptionsError(
                f"resize_step: expected a multiple of {self.stride}, the largest stride of the network, found "
                f"{self.step}; change it in [net] of the cfg, or give multi_scale 1 for one size"
            )

    @property
    def varies(self) -> bool:
        """Whether there is more than one size."""
        return self.factor != 1.0

    def at(self, iteration: int) -> NetworkSize:
        """The size of update `iteration`."""
        group = iteration // GROUP
        if group not in self._drawn:
            self._drawn[group] = self._of_group(group)
        return self._drawn[group]

    @cached_property
    def largest_wh(self) -> tuple[int, int]:
        """The largest (width, height) that may come."""
        if not self.varies:
            return self.width, self.height
        larger = max(self.factor, 1 / self.factor)
        drawn = self._stepped(larger)
        return max(drawn[0], self.width), max(drawn[1], self.height)

    def first_place(self, iteration: int) -> int:
        """Pictures that the updates before `iteration` take: where its own begin in the stream of samples."""
        if not (self.varies and self.dynamic_minibatch):
            return iteration * self.batch
        groups, rest = divmod(iteration, GROUP)
        for group in range(min(len(self._starts) - 1, groups), groups):
            self._starts[group + 1] = self._starts[group] + GROUP * self.at(group * GROUP).batch
        return self._starts[groups] + (rest * self.at(iteration).batch if rest else 0)

    def _of_group(self, group: int) -> NetworkSize:
        if not self.varies:
            return NetworkSize(self.width, self.height, self.batch)
        rng = np.random.default_rng([self.seed, _SIZE, group])
        value = rng.uniform(min(1.0, self.factor), max(1.0, self.factor))  # utils.c rand_scale
        value = float(value if rng.random() < 0.5 else 1 / value)
        width, height = self._stepped(value)
        if value < 1 and (width > self.width or height > self.height):
            width, height = self.width, self.height
        largest = self._stepped(self.factor)
        last = min(LAST_UPDATES, self.max_batches // 10)
        # The first shows whether the memory is enough; the last let batch-norm see large pictures (detector.c 191)
        if group == 0 or group * GROUP > self.max_batches - last:
            width, height = largest
        return NetworkSize(width, height, self._batch_of(width, height, largest))

    def _stepped(self, value: float) -> tuple[int, int]:
        """Darknet's rounding: to the step, and one step on."""
        width, height = (
            max(math.floor(value * side / self.step + 1.5) * self.step, self.step) for side in (self.width, self.height)
        )
        return width, height

    def _batch_of(self, width: int, height: int, largest: tuple[int, int]) -> int:
        if not self.dynamic_minibatch:
            return self.batch
        mini_batch = self.batch // self.subdivisions
        room = mini_batch * largest[0] * largest[1] // (width * height)
        # detector.c 199: with less than a quarter to gain, room as it is
        room = int(room * FILL) if int(room * FILL) > mini_batch else room
        return max(room, 1) * self.subdivisions
