"""Hue, saturation and brightness of a picture changed in HSV, in one pass and without rounding in between."""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.jit import kernel

UInt8Array = NDArray[np.uint8]
Float32Array = NDArray[np.float32]

_ZERO, _HALF, _ONE, _TWO, _THREE, _FOUR, _SIX, _MOST = (np.float32(n) for n in (0, 0.5, 1, 2, 3, 4, 6, 255))


def turn_colours(
    canvas: UInt8Array,
    region_xyxy: tuple[int, int, int, int],
    *,
    turn: float,
    saturation: float,
    exposure: float,
) -> None:
    """Changes a region of a picture (H, W, 3) RGB in place; greys stay grey.

    `turn`: share of the colour circle, in [-0.5, 0.5]; the others are factors of HSV's saturation and value, which end
    at their largest.
    """
    _turn(canvas, region_xyxy, np.float32(6 * turn), np.float32(saturation), np.float32(exposure))


@kernel
def _turn(
    canvas: UInt8Array,
    region_xyxy: tuple[int, int, int, int],
    turn: np.float32,
    saturation: np.float32,
    exposure: np.float32,
) -> None:
    left, top, right, bottom = region_xyxy
    planes = np.empty((3, right - left), np.float32)
    for y in range(top, bottom):
        row = canvas[y].reshape(-1)[3 * left : 3 * right]
        _split(row, planes[0], planes[1], planes[2])
        _turn_row(planes[0], planes[1], planes[2], turn, saturation, exposure)
        _merge(planes[0], planes[1], planes[2], row)


# Three loops over a row instead of one: each is compiled to vector instructions, which one that reads and writes pixels
# of three bytes is not.


@kernel
def _split(row: UInt8Array, red: Float32Array, green: Float32Array, blue: Float32Array) -> None:
    for x in range(len(red)):
        red[x], green[x], blue[x] = row[3 * x], row[3 * x + 1], row[3 * x + 2]


@kernel
def _merge(red: Float32Array, green: Float32Array, blue: Float32Array, row: UInt8Array) -> None:
    for x in range(len(red)):
        row[3 * x] = np.uint8(np.int32(red[x] + _HALF))
        row[3 * x + 1] = np.uint8(np.int32(green[x] + _HALF))
        row[3 * x + 2] = np.uint8(np.int32(blue[x] + _HALF))


@kernel
def _turn_row(
    red: Float32Array,
    green: Float32Array,
    blue: Float32Array,
    turn: np.float32,
    saturation: np.float32,
    exposure: np.float32,
) -> None:
    for x in range(len(red)):
        r, g, b = red[x], green[x], blue[x]
        value = max(max(r, g), b)
        chroma = value - min(min(r, g), b)
        share = _ONE / max(chroma, _ONE)
        sextant = (g - b) * share if value == r else ((b - r) * share + _TWO if value == g else (r - g) * share + _FOUR)
        hue = sextant + turn
        hue += _SIX if hue < _ZERO else _ZERO
        hue -= _SIX if hue >= _SIX else _ZERO
        new_value = min(value * exposure, _MOST)
        new_chroma = new_value * min(saturation * chroma / max(value, _ONE), _ONE)
        least = new_value - new_chroma
        # How much of the chroma each channel has by hue: a trapezium about its own colour
        red[x] = least + new_chroma * min(max(abs(hue - _THREE) - _ONE, _ZERO), _ONE)
        green[x] = least + new_chroma * min(max(_TWO - abs(hue - _TWO), _ZERO), _ONE)
        blue[x] = least + new_chroma * min(max(_TWO - abs(hue - _FOUR), _ZERO), _ONE)
