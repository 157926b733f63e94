"""Which picture comes at which place of a training: shuffled epochs, with rare classes oftener if wanted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.data_set import LabelledImage

# Keys of the random streams of one seed; `loader` and `network_sizes` have the others.
_ORDER, _BEFORE = 1, 3


class SampleOrder:
    """`index(place)`: the number of the picture at a place. A function of the seed and the place alone.

    An epoch is as many places as there are pictures. Without weights every picture comes once in each. With weights
    (n,) it comes in proportion to its own, as evenly as whole numbers allow: floor or ceiling of its share.
    """

    def __init__(self, count: int, *, seed: int, weights: NDArray[np.float64] | None = None) -> None:
        """`count` pictures, one at least."""
        self._count, self._seed, self._weights = count, seed, weights
        self._epochs: dict[int, NDArray[np.int64]] = {}

    def index(self, place: int) -> int:
        """Places below 0 are those of an epoch before the first."""
        epoch, position = divmod(place, self._count)
        if epoch not in self._epochs:
            while len(self._epochs) > 2:  # a place and those just before it lie in two epochs, or in many short ones
                self._epochs.pop(next(iter(self._epochs)))
            self._epochs[epoch] = self._shuffled(epoch)
        return int(self._epochs[epoch][position])

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        key = [self._seed, _ORDER, epoch] if epoch >= 0 else [self._seed, _BEFORE, -epoch]
        rng = np.random.default_rng(key)
        if self._weights is None:
            return rng.permutation(self._count)
        ends = np.cumsum(self._weights) * (self._count / self._weights.sum())
        points = np.arange(self._count) + rng.random()
        chosen = np.minimum(np.searchsorted(ends, points, side="right"), self._count - 1)
        return rng.permutation(chosen)


def rarity_weights(images: Sequence[LabelledImage], num_classes: int) -> NDArray[np.float64]:
    """(n,): how much oftener than a picture of the commonest class alone each picture is to come.

    Repeat factors (Gupta, Dollár, Girshick 2019, LVIS, appendix B.2): the square root of the commonest class's share of
    pictures over the class's own, for the rarest class in the picture. Ignored boxes say nothing; a picture without
    boxes has 1.
    """
    held = np.zeros((len(images), num_classes), bool)
    for row, image in enumerate(images):
        counts = ~(image.ignore | image.is_crowd)
        held[row, image.class_ids[counts]] = True
    pictures = held.sum(axis=0)  # (C,)
    factors = np.sqrt(pictures.max(initial=1) / np.maximum(pictures, 1))
    weights: NDArray[np.float64] = np.where(held, factors, 1.0).max(axis=1, initial=1.0)
    return weights
