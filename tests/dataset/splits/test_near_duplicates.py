"""Banded search for near hashes: exact, as every pair compared by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.dataset.splits.near_duplicates import band_masks, near_components, near_pairs, popcount

words = st.integers(0, 2**64 - 1)


def all_pairs(hashes: list[int], labels: list[int], max_distance: int) -> list[tuple[int, int, int]]:
    """The answer by comparing every pair."""
    found = [
        (i, j, (hashes[i] ^ hashes[j]).bit_count())
        for i, j in itertools.combinations(range(len(hashes)), 2)
        if labels[i] != labels[j]
    ]
    return sorted((pair for pair in found if pair[2] <= max_distance), key=lambda pair: (pair[2], *pair[:2]))


@st.composite
def crowded(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Hashes a few bits away from a few centres, so that many pairs are near, in up to three labels."""
    centres = draw(st.lists(words, min_size=1, max_size=3))
    flips = st.lists(st.integers(0, 63), max_size=7)
    hashes = []
    for centre, bits in draw(st.lists(st.tuples(st.sampled_from(centres), flips), max_size=25)):
        value = centre
        for bit in bits:
            value ^= 1 << bit
        hashes.append(value)
    return hashes, [draw(st.integers(0, 2)) for _ in hashes]


@given(crowded(), st.integers(0, 8))
def test_finds_exactly_the_pairs_that_comparing_all_finds(data: tuple[list[int], list[int]], distance: int) -> None:
    hashes, labels = data
    found = near_pairs(np.array(hashes, np.uint64), np.array(labels, np.int64), distance)
    assert [tuple(pair) for pair in found] == all_pairs(hashes, labels, distance)


@pytest.mark.parametrize("distance", [0, 3, 4, 15])
def test_agrees_with_brute_force_on_two_thousand_random_hashes(distance: int) -> None:
    rng = np.random.default_rng(distance)
    hashes = rng.integers(0, 2**64, 2000, dtype=np.uint64)
    for index in range(0, 400, 2):  # planted neighbours, some of them at the very limit
        bits = rng.choice(64, rng.integers(0, distance + 2), replace=False)
        mask = sum(1 << int(bit) for bit in bits)
        hashes[index + 1] = hashes[index] ^ np.uint64(mask)
    labels = rng.integers(0, 3, 2000)
    differing = popcount((hashes[:, None] ^ hashes[None]).ravel()).reshape(2000, 2000)
    rows, columns = np.nonzero(np.triu((differing <= distance) & (labels[:, None] != labels[None]), 1))
    expected = {(int(i), int(j), int(differing[i, j])) for i, j in zip(rows, columns, strict=True)}
    assert {tuple(pair) for pair in near_pairs(hashes, labels, distance)} == expected
    assert expected


def test_pairs_of_one_label_cost_nothing_however_many_they_are() -> None:
    """Every hash equal: comparing all would be five billion pairs."""
    hashes, labels = np.zeros(100_000, np.uint64), np.zeros(100_000, np.int64)
    labels[-1] = 1
    hashes[-1] = 1
    assert len(near_pairs(hashes, labels, 0)) == 0
    found = near_pairs(hashes[-1000:], labels[-1000:], 1)
    assert len(found) == 999
    assert {pair.distance for pair in found} == {1}


def components(hashes: list[int], max_distance: int) -> list[int]:
    """The answer by walking from hash to hash."""
    labels = [-1] * len(hashes)
    for start in range(len(hashes)):
        waiting = [start] if labels[start] < 0 else []
        while waiting:
            here = waiting.pop()
            labels[here] = start
            waiting += [
                other
                for other in range(len(hashes))
                if labels[other] < 0 and (hashes[here] ^ hashes[other]).bit_count() <= max_distance
            ]
    return labels


@given(crowded(), st.integers(0, 8))
def test_chains_are_those_that_walking_finds(data: tuple[list[int], list[int]], distance: int) -> None:
    hashes, _ = data
    assert near_components(np.array(hashes, np.uint64), distance).tolist() == components(hashes, distance)


def test_a_still_camera_is_one_chain_without_looking_at_its_fifty_million_pairs() -> None:
    rng = np.random.default_rng(6)
    centre = np.uint64(0x123456789ABCDEF0)
    noise = np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, (10_000, 3)).astype(np.uint64), axis=1)
    hashes = np.concatenate([centre ^ noise, ~centre ^ noise])
    labels = near_components(hashes, 4)
    assert set(labels[:10_000].tolist()) == {0}
    assert set(labels[10_000:].tolist()) == {10_000}


@given(st.lists(words, max_size=50))
def test_popcount_is_python_s_bit_count(values: list[int]) -> None:
    assert popcount(np.array(values, np.uint64)).tolist() == [value.bit_count() for value in values]


@pytest.mark.parametrize("distance", range(16))
def test_bands_part_the_bits_evenly(distance: int) -> None:
    masks = [int(mask) for mask in band_masks(distance)]
    assert len(masks) == distance + 1
    assert sum(masks) == 2**64 - 1
    assert all(a & b == 0 for a, b in itertools.combinations(masks, 2))
    sizes = [mask.bit_count() for mask in masks]
    assert max(sizes) - min(sizes) <= 1


def test_counting_stops_when_enough_are_found() -> None:
    labels = np.arange(4000, dtype=np.int64) % 2
    found = near_pairs(np.zeros(4000, np.uint64), labels, 2, enough=5000)
    assert 5000 <= len(found) < 10_000  # of four million


def test_senseless_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="0 to 15"):
        near_pairs(np.zeros(2, np.uint64), np.zeros(2, np.int64), 16)
    with pytest.raises(ValueError, match="as many labels"):
        near_pairs(np.zeros(2, np.uint64), np.zeros(3, np.int64), 1)
