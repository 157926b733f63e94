"""A part of a picture at another size: bilinear, between rows and columns, exact to the rounding of bytes.

OpenCV's `warpAffine` does the same for any slant. It puts source positions on 32nds of a pixel, which is off by up to
2.5 levels on real pictures (measured against float64), and takes about twice as long.
"""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.jit import kernel

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]


def sample(
    source: UInt8Array,
    canvas: UInt8Array,
    region_xyxy: tuple[int, int, int, int],
    *,
    start_xy: tuple[float, float],
    step_xy: tuple[float, float],
    outside: int,
) -> None:
    """Fills a region of `canvas` (h, w, 3) in place: its pixel (x, y) is the source's at `start_xy + (x, y) * step_xy`.

    Positions count in source pixels, whole numbers being their centres; a step below 0 mirrors. Pixels beyond the
    source (H, W, 3) count as `outside`, a level of 0 to 255.
    """
    if not source.flags.c_contiguous:
        source = np.ascontiguousarray(source)
    if source.flags.writeable:  # compiled for one kind of array, which the cache's are
        source = source.view()
        source.flags.writeable = False
    _sample(source, canvas, region_xyxy, start_xy, step_xy, np.uint8(outside))


@kernel
def _sample(
    source: UInt8Array,
    canvas: UInt8Array,
    region_xyxy: tuple[int, int, int, int],
    start_xy: tuple[float, float],
    step_xy: tuple[float, float],
    outside: np.uint8,
) -> None:
    height, width = source.shape[:2]
    region_left, region_top, region_right, region_bottom = region_xyxy
    (start_x, start_y), (step_x, step_y) = start_xy, step_xy
    columns = region_right - region_left
    # Source columns count from 1: column 0 and those after the last are outside
    lefts = np.empty(columns, np.uint32)  # at which each output column's left neighbour begins in `mixed`
    shares = np.empty(columns, np.float32)  # of its right neighbour
    first, last = width, 0  # the columns that are needed
    for x in range(columns):
        position = start_x + step_x * x
        left = np.floor(position)
        shares[x] = position - left
        if left < -1.0 or left >= width:
            left = float(width)
        lefts[x] = 3 * (int(left) + 1)
        first, last = min(first, max(int(left), 0)), max(last, min(int(left) + 2, width))
    mixed = np.full(3 * (width + 3), outside, np.float32)
    needed = mixed[3 * (first + 1) : 3 * (last + 1)]
    blank = np.full(3 * width, outside, np.uint8)
    for y in range(region_bottom - region_top):
        position = start_y + step_y * y
        top = int(np.floor(position))
        upper = source[top].reshape(-1) if 0 <= top < height else blank
        lower = source[top + 1].reshape(-1) if 0 <= top + 1 < height else blank
        share = np.float32(position - np.floor(position))
        _mix_rows(upper[3 * first : 3 * last], lower[3 * first : 3 * last], share, needed)
        row = canvas[region_top + y].reshape(-1)[3 * region_left : 3 * region_right]
        _mix_columns(mixed, lefts, shares, row)


@kernel
def _mix_rows(upper: UInt8Array, lower: UInt8Array, share: np.float32, out: Float32Array) -> None:
    for i in range(len(out)):
        above = np.float32(upper[i])
        out[i] = above + share * (np.float32(lower[i]) - above)


@kernel
def _mix_columns(row: Float32Array, lefts: NDArray[np.uint32], shares: Float32Array, out: UInt8Array) -> None:
    for x in range(len(lefts)):
        left, share = lefts[x], shares[x]
        for channel in range(3):
            # Unsigned, so that no test for an index below 0 stands in the way
            value = row[left + np.uint32(channel)]
            value += share * (row[left + np.uint32(channel + 3)] - value)
            out[3 * x + channel] = np.uint8(np.int32(np.rint(value)))
