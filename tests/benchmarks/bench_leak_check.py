"""The leak check: near-duplicate hashes of 1,000 to 100,000 pictures, against comparing all pairs; and the decoding.

The hashes are what a share would give: cameras that stand still (hashes within a few bits of one another, in one split) and
pairs planted across the splits, some at the very limit. Every planted pair must be found.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from harness import Row, interleaved, peak_memory_mib
from numpy.typing import NDArray

from traffic_yolo.dataset.pictures.look import look_at
from traffic_yolo.dataset.splits.leaks import MAX_DISTANCE
from traffic_yolo.dataset.splits.near_duplicates import near_pairs, popcount

SIZES = (1_000, 10_000, 100_000)
FRAMES_OF_A_CAMERA = 500
PLANTED_SHARE = 100  # one in so many
BLOCK = 500  # rows of the all-pairs rival at a time


def hashes_of(number: int, rng: np.random.Generator) -> tuple[NDArray[np.uint64], NDArray[np.int64], int]:
    """(hashes, splits, planted leaks) of `number` pictures."""
    cameras = max(number // FRAMES_OF_A_CAMERA, 5)
    camera = rng.integers(0, cameras, number)
    centres = rng.integers(0, 2**64, cameras, dtype=np.uint64)
    flips = np.bitwise_or.reduce(np.uint64(1) << rng.integers(0, 64, (number, 6)).astype(np.uint64), axis=1)
    hashes = centres[camera] ^ flips
    splits = np.where(camera % 5 == 0, 2, np.where(camera % 5 == 1, 1, 0))
    planted = number // PLANTED_SHARE
    sources = rng.choice(np.flatnonzero(splits == 0), planted, replace=False)
    targets = rng.choice(np.flatnonzero(splits == 2), planted, replace=False)
    for source, target in zip(sources, targets, strict=True):
        bits = rng.choice(64, rng.integers(0, MAX_DISTANCE + 1), replace=False)
        hashes[target] = hashes[source] ^ np.uint64(sum(1 << int(bit) for bit in bits))
    return hashes, splits.astype(np.int64), planted


def all_pairs(hashes: NDArray[np.uint64], splits: NDArray[np.int64]) -> int:
    """How many pairs are near, by comparing every picture with every other, in blocks of numpy's own speed."""
    found = 0
    for start in range(0, len(hashes), BLOCK):
        block, labels = hashes[start : start + BLOCK], splits[start : start + BLOCK]
        near = popcount((block[:, None] ^ hashes[None]).ravel()).reshape(len(block), -1) <= MAX_DISTANCE
        near &= labels[:, None] != splits[None]
        found += int(near.sum())
    return found // 2


def rows() -> Iterator[Row]:
    """Growth by ten twice; the rival at 10,000; memory at 100,000; pictures a second."""
    rng = np.random.default_rng(0)
    seconds = {}
    for number in SIZES:
        hashes, splits, planted = hashes_of(number, rng)
        found = near_pairs(hashes, splits, MAX_DISTANCE)
        assert len(found) >= planted, f"{len(found)} of {planted} planted pairs found"
        work = {"ours": lambda h=hashes, s=splits: near_pairs(h, s, MAX_DISTANCE)}
        rival = ""
        if number == SIZES[1]:
            assert all_pairs(hashes, splits) == len(found)
            work["all pairs"] = lambda h=hashes, s=splits: all_pairs(h, s)
        timed = interleaved(work, repeats=3)
        seconds[number] = timed["ours"].median_s
        ratio, target = None, ""
        if "all pairs" in timed:
            ratio, target = timed["ours"].median_s / timed["all pairs"].median_s, "at most 0.1"
            rival = f"all pairs in numpy {timed['all pairs'].median_s:.3g} s, the same {len(found)} pairs"
        elif number > SIZES[1]:
            ratio, target = seconds[number] / seconds[SIZES[1]], "at most 30"
            rival = "ten times fewer (all pairs would be 100 x)"
        yield Row("leak_check", f"{number:,} hashes, {len(found)} leaks", seconds[number], "s", rival, ratio, target)
        if number == SIZES[-1]:
            memory = peak_memory_mib(lambda h=hashes, s=splits: near_pairs(h, s, MAX_DISTANCE))
            yield Row("leak_check", f"{number:,} hashes, memory above the input", memory, "MiB")
    yield from _decoding(rng)


def _decoding(rng: np.random.Generator) -> Iterator[Row]:
    cells = rng.integers(0, 255, (54, 96, 3), dtype=np.uint8)
    picture = cv2.resize(cells, (1920, 1080), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
    buffer = np.frombuffer(data, np.uint8)
    timed = interleaved(
        {"ours": lambda: look_at(data), "whole": lambda: cv2.imdecode(buffer, cv2.IMREAD_COLOR)}, repeats=15
    )
    whole, ours = timed["whole"].median_s, timed["ours"].median_s
    what = f"hash and brightness of a 1920x1080 JPEG of {len(data) // 1000} kB"
    yield Row("leak_check", what, 1 / ours, "pictures/s", f"decoding it whole {1 / whole:.0f}/s", ours / whole)
