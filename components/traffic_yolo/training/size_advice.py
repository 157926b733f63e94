"""Whether the network's size suits the objects: how many are too small in it, and what a larger size would cost.

A box under 8 network pixels is smaller than a cell of the finest usual head (stride 8); under 16, smaller than a cell
of the next.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.network_sections import read_sections
from traffic_yolo.darknet.show import layer_bflops
from traffic_yolo.darknet.surgery import change_input_size
from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.errors import OptionsError

SMALL, MEDIUM = 8.0, 16.0  # network pixels of a box's shorter side
ENOUGH = 0.10  # largest share of boxes under `SMALL` at the size advised
MOST_SIDE = 2048  # network pixels; larger inputs are not tried
STEP = 32


@dataclass(frozen=True)
class SizeAdvice:
    """Shares in [0, 1] of boxes whose shorter side is under 8 and 16 network pixels at `network_wh`, and the way out.

    `advised_wh`: the smallest size of the same aspect, in steps of 32, where the share under 8 is under `ENOUGH`; None
    where no size up to `MOST_SIDE` is enough. `gflops` are Darknet's count for one picture at each of the two sizes.
    """

    network_wh: tuple[int, int]
    share_under_8: float
    share_under_16: float
    advised_wh: tuple[int, int] | None
    gflops: float
    advised_gflops: float | None
    finest_stride: int

    @property
    def text(self) -> str:
        """One line."""
        width, height = self.network_wh
        found = (
            f"size {width}x{height}: {self.share_under_8:.0%} of the boxes are under 8 network pixels, "
            f"{self.share_under_16:.0%} under 16 (finest stride {self.finest_stride})"
        )
        if self.advised_wh == self.network_wh:
            return found
        if self.advised_wh is None:
            return f"{found}; no size up to {MOST_SIDE} brings the first under {ENOUGH:.0%}: cut pictures into tiles"
        return (
            f"{found}; --width {self.advised_wh[0]} --height {self.advised_wh[1]} would bring the first under "
            f"{ENOUGH:.0%}, at {self.advised_gflops:.2f} GFLOPs a picture instead of {self.gflops:.2f}"
        )


def size_advice(network: Network, images: Sequence[LabelledImage]) -> SizeAdvice | None:
    """Advice on the size of `network` for the boxes of `images` (ignored ones do not count); None without any box."""
    height, width = network.input_hw
    sizes = _box_sizes(images)
    if not len(sizes):
        return None
    strides = [head.stride for head in network.heads]
    now = _shares(sizes, (width, height), letterbox=network.letterbox)
    advised, cost = None, None
    for wh in _candidates((width, height), max(strides)):
        if _shares(sizes, wh, letterbox=network.letterbox)[0] >= ENOUGH:
            continue
        try:
            cost = gflops(network, wh)
        except OptionsError:
            continue  # the backbone cannot divide this size
        advised = wh
        break
    return SizeAdvice((width, height), *now, advised, gflops(network, (width, height)), cost, min(strides))


def gflops(network: Network, network_wh: tuple[int, int]) -> float:
    """Operations of one picture at a size in 10^9, as Darknet counts; `OptionsError` for one that does not fit."""
    cfg = network.cfg if network_wh == network.input_hw[::-1] else change_input_size(network.cfg, network_wh)
    return sum(layer_bflops(section) for section in read_sections(cfg))


def _box_sizes(images: Sequence[LabelledImage]) -> NDArray[np.float64]:
    """(N, 4): width and height of each box that counts, then of its picture, in picture pixels."""
    rows = []
    for image in images:
        boxes = image.boxes_xyxy[~(image.ignore | image.is_crowd)]
        picture = np.tile([image.width, image.height], (len(boxes), 1))
        rows.append(np.concatenate([boxes[:, 2:] - boxes[:, :2], picture], axis=1))
    return np.concatenate(rows).astype(np.float64) if rows else np.zeros((0, 4))


def _shares(sizes: NDArray[np.float64], network_wh: tuple[int, int], *, letterbox: bool) -> tuple[float, float]:
    scales = np.array(network_wh) / sizes[:, 2:]  # (N, 2)
    if letterbox:
        scales = scales.min(axis=1, keepdims=True)
    shorter = (sizes[:, :2] * scales).min(axis=1)
    return float((shorter < SMALL).mean()), float((shorter < MEDIUM).mean())


def _candidates(network_wh: tuple[int, int], coarsest: int) -> list[tuple[int, int]]:
    """Sizes from the network's own up, in its aspect, each side a multiple of 32 and of the coarsest stride."""
    step = math.lcm(STEP, coarsest)
    width, height = network_wh
    found = [network_wh]
    for wide in range((width // step + 1) * step, MOST_SIDE + 1, step):
        tall = max(step, round(wide * height / width / step) * step)
        if tall <= MOST_SIDE and tall >= height:
            found.append((wide, tall))
    return found
