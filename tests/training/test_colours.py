"""Colours changed in HSV: as Python's `colorsys` has it, without rounding in between."""

import colorsys

import numpy as np
import pytest
from numpy.typing import NDArray

from traffic_yolo.training.colours import turn_colours


def some_colours() -> NDArray[np.uint8]:
    """(40, 50, 3): random ones, greys, and those on the borders of the sextants."""
    found = np.random.default_rng(1).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    found[0] = np.linspace(0, 255, 50).astype(np.uint8)[:, None]
    found[1, :8] = [[red, green, blue] for red in (0, 255) for green in (0, 255) for blue in (0, 255)]
    return found


@pytest.mark.parametrize(
    ("turn", "saturation", "exposure"),
    [(0.0, 1.0, 1.0), (0.1, 1.5, 1.5), (-0.1, 1 / 1.5, 1 / 1.5), (0.5, 1.0, 3.0), (-0.5, 10.0, 0.1), (0.3, 0.0, 1.0)],
)
def test_colours_are_those_of_colorsys_rounded(turn: float, saturation: float, exposure: float) -> None:
    image = some_colours()
    expected = []
    for rgb in image.reshape(-1, 3):
        hue, colour, value = colorsys.rgb_to_hsv(*(float(level) / 255 for level in rgb))
        changed = (hue + turn) % 1, min(colour * saturation, 1), min(value * exposure, 1)
        expected.append([255 * level for level in colorsys.hsv_to_rgb(*changed)])
    turn_colours(image, (0, 0, 50, 40), turn=turn, saturation=saturation, exposure=exposure)
    assert np.abs(image.reshape(-1, 3) - np.array(expected)).max() <= 0.5 + 1e-3  # float32 between them


def test_no_change_changes_no_colour_at_all() -> None:
    levels = np.arange(0, 256, 5)
    every = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(-1, len(levels), 3).astype(np.uint8)
    found = every.copy()
    turn_colours(found, (0, 0, found.shape[1], found.shape[0]), turn=0.0, saturation=1.0, exposure=1.0)
    np.testing.assert_array_equal(found, every)


def test_greys_stay_grey_and_pixels_outside_the_region_as_they_are() -> None:
    image = np.repeat(np.arange(240, dtype=np.uint8).reshape(12, 20, 1), 3, axis=2)
    found = image.copy()
    turn_colours(found, (3, 2, 15, 9), turn=0.2, saturation=1.4, exposure=0.5)
    assert np.ptp(found.astype(int), axis=2).max() == 0
    changed = found[..., 0] != image[..., 0]
    assert changed[2:9, 3:15].all()
    assert changed.sum() == 7 * 12
