"""Which pictures a calibration looks at: spread evenly over sites, classes and brightness."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.data_set import LabelledImage

NO_BOX = -1
BANDS = 3  # of brightness: the darker, the middle and the brighter third of the candidates
CANDIDATES = 4  # pictures looked at for each one chosen: brightness needs a picture decoded
Load = Callable[[LabelledImage], NDArray[np.float32]]


def choose_pictures(
    pictures: Sequence[LabelledImage], count: int, load: Load, *, seed: int
) -> tuple[list[LabelledImage], list[int]]:
    """At most `count` of `pictures`, in their order, and the band of brightness of each, 0 (dark) to 2 (bright).

    Four times as many are drawn by site and class; those are loaded (`load` gives the network's input, (3, h, w) in
    [0, 1]), and of them the chosen ones are drawn by site, class and brightness. The same seed gives the same pictures.
    """
    sites = _codes([picture.site for picture in pictures])
    classes = _codes(rarest_classes(pictures))
    drawn = spread_evenly(np.stack([sites, classes], axis=1), count * CANDIDATES, seed=seed)
    brightness = np.array([load(pictures[index]).mean() for index in drawn])
    bands = np.empty(len(drawn), np.int64)
    bands[np.argsort(brightness, kind="stable")] = np.arange(len(drawn)) * BANDS // max(len(drawn), 1)
    traits = np.stack([sites[drawn], classes[drawn], bands], axis=1)
    chosen = np.sort(spread_evenly(traits, count, seed=seed))
    return [pictures[drawn[index]] for index in chosen], bands[chosen].tolist()


def rarest_classes(pictures: Sequence[LabelledImage]) -> list[int]:
    """Of each picture, the class among its boxes that the fewest pictures show; `NO_BOX` where it shows none."""
    shown = [np.unique(picture.class_ids[(picture.class_ids >= 0) & ~picture.ignore]) for picture in pictures]
    counts = np.bincount(np.concatenate([*shown, np.zeros(0, np.int64)]))
    return [int(ids[np.argmin(counts[ids])]) if len(ids) else NO_BOX for ids in shown]


def spread_evenly(traits: NDArray[np.int64], count: int, *, seed: int) -> NDArray[np.int64]:
    """Indices of at most `count` rows of `traits` (n, T), codes from 0 up, rising, such that codes occur evenly.

    Row after row the one is taken whose codes were taken least so far, added over the traits; among equals the first
    of an order that `seed` decides.
    """
    rows, columns = traits.shape
    order = np.random.default_rng(seed).permutation(rows)
    taken = [np.zeros(int(traits[:, column].max(initial=-1)) + 1, np.int64) for column in range(columns)]
    left = np.ones(rows, bool)
    chosen = []
    for _ in range(min(count, rows)):
        load = sum((taken[column][traits[order, column]] for column in range(columns)), np.zeros(rows, np.int64))
        index = order[np.argmin(np.where(left[order], load, np.iinfo(np.int64).max))]
        left[index] = False
        chosen.append(index)
        for column in range(columns):
            taken[column][traits[index, column]] += 1
    return np.sort(np.array(chosen, np.int64))


def _codes(values: Sequence[object]) -> NDArray[np.int64]:
    return np.unique(np.array(values), return_inverse=True)[1].astype(np.int64).reshape(-1)
