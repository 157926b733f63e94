"""Finds all pairs of 64-bit hashes that differ in few bits, without comparing all pairs.

Multi-index hashing by the pigeonhole principle: cut into k + 1 bands, two hashes that differ in at most k bits agree in
at least one band. So only hashes that share a band's value are compared, and no pair is missed. (Norouzi, Punjani and
Fleet, "Fast search in Hamming space with multi-index hashing", CVPR 2012.)
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

HASH_BITS = 64
MAX_DISTANCE = 15  # bands of 4 bits; beyond, the bands tell so little that comparing all pairs is no slower

Hashes = NDArray[np.uint64]
Indices = NDArray[np.int64]


class NearPair(NamedTuple):
    """Two hashes by their indices, `first` < `second`, and the number of bits in which they differ."""

    first: int
    second: int
    distance: int


def near_pairs(hashes: Hashes, labels: Indices, max_distance: int, *, enough: int | None = None) -> list[NearPair]:
    """Every pair within `max_distance` bits whose labels differ, ordered by distance, then by index; exact.

    `enough`: stop once so many are found (a still camera cut in two has a pair for every two frames).

    `hashes` (N,) uint64, `labels` (N,) whole numbers. Pairs of one label are never looked at, however alike they are:
    the ten thousand frames of one still camera cost nothing while they are in one split. Time grows with the number of
    pairs that share a band and not a label: for evenly spread hashes about N * N / 2 ** (64 / (k + 1)).
    """
    if not 0 <= max_distance <= MAX_DISTANCE:
        raise ValueError(f"max_distance must be 0 to {MAX_DISTANCE}; found {max_distance}")
    if hashes.shape != labels.shape or hashes.ndim != 1:
        raise ValueError(f"expected as many labels as hashes; found {labels.shape} and {hashes.shape}")
    found: list[NearPair] = []
    for first, second, distance in _pairs(hashes.astype(np.uint64), labels, max_distance):
        low, high = np.minimum(first, second), np.maximum(first, second)
        found += map(NearPair, low.tolist(), high.tolist(), distance.tolist())
        if enough is not None and len(found) >= enough:
            break
    return sorted(found, key=lambda pair: (pair.distance, pair.first, pair.second))


def near_components(hashes: Hashes, max_distance: int) -> Indices:
    """(N,) a label for each hash, the same where a chain joins them whose steps are within `max_distance` bits; exact.

    The label is the smallest index of the chain. Pairs that are joined already are not looked at again, so that ten
    thousand frames of one still camera, fifty million near pairs, cost a few passes.
    """
    values, inverse = np.unique(hashes.astype(np.uint64), return_inverse=True)
    labels = np.arange(len(values), dtype=np.int64)
    for mask in band_masks(max_distance):
        joined = True
        while joined:
            joined = False
            for first, second in _candidates(values & mask, labels):
                near = popcount(values[first] ^ values[second]) <= max_distance
                if near.any():
                    labels = _joined(labels, first[near], second[near])
                    joined = True
                    break  # what was to come is joined by now, or will be looked at with the new labels
    smallest = np.full(len(values), len(hashes), np.int64)
    of_hash = labels[inverse.reshape(-1)]
    np.minimum.at(smallest, of_hash, np.arange(len(hashes)))
    return smallest[of_hash]


def _joined(labels: Indices, first: Indices, second: Indices) -> Indices:
    """The labels after joining the components of each pair: every component takes the smallest label it can reach."""
    low, high = np.minimum(labels[first], labels[second]), np.maximum(labels[first], labels[second])
    parent = np.arange(len(labels), dtype=np.int64)
    while True:
        before = parent.copy()
        np.minimum.at(parent, high, parent[low])
        np.minimum.at(parent, low, parent[high])
        parent = parent[parent]
        if np.array_equal(parent, before):
            return parent[labels]


def popcount(values: Hashes) -> NDArray[np.int64]:
    """How many bits are set in each of (N,) uint64."""
    v = values - ((values >> np.uint64(1)) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> np.uint64(2)) & np.uint64(0x3333333333333333))
    v = (v + (v >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.asarray((v * np.uint64(0x0101010101010101)) >> np.uint64(56), np.int64)


def band_masks(max_distance: int) -> list[np.uint64]:
    """`max_distance` + 1 masks that share no bit and cover all 64, as evenly as it goes."""
    edges = np.linspace(0, HASH_BITS, max_distance + 2).round().astype(int)
    return [np.uint64((1 << int(high)) - (1 << int(low))) for low, high in itertools.pairwise(edges)]


def _pairs(hashes: Hashes, labels: Indices, max_distance: int) -> Iterator[tuple[Indices, Indices, Indices]]:
    masks = band_masks(max_distance)
    for number, mask in enumerate(masks):
        for first, second in _candidates(hashes & mask, labels):
            differing = hashes[first] ^ hashes[second]
            distance = popcount(differing)
            near = distance <= max_distance
            for earlier in masks[:number]:
                near &= (differing & earlier) != 0  # a pair that agrees in an earlier band was found there
            if near.any():
                yield first[near], second[near], distance[near]


def _candidates(keys: Hashes, labels: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Index pairs of equal key and different label, in batches of at most N.

    Sorted by key and label, the partners of an entry are those from the start of the next label to the end of its
    key. All entries step through their partners at once, and those that are through drop out, so the work is the number
    of pairs and the memory is N.
    """
    order = np.lexsort((labels, keys))
    key, label = keys[order], labels[order]
    bucket_end = _segment_ends(key[1:] != key[:-1], len(key))
    partner = _segment_ends((key[1:] != key[:-1]) | (label[1:] != label[:-1]), len(key))
    alive = np.flatnonzero(partner < bucket_end)
    while len(alive):
        yield order[alive], order[partner[alive]]
        partner[alive] += 1
        alive = alive[partner[alive] < bucket_end[alive]]


def _segment_ends(starts: NDArray[np.bool_], length: int) -> Indices:
    """(length,) for each position the end of its segment; `starts[i]`: a segment starts at i + 1."""
    edges = np.append(np.flatnonzero(starts) + 1, length)
    sizes = np.diff(edges, prepend=0)
    return np.repeat(edges, sizes) if length else np.zeros(0, np.int64)
