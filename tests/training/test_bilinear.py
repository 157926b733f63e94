"""Sampling a part of a picture: every value is the real bilinear one, rounded."""

import numpy as np
import pytest
from numpy.typing import NDArray

from traffic_yolo.training.bilinear import sample

OUTSIDE = 127
SOURCE = np.random.default_rng(5).integers(0, 256, (37, 53, 3)).astype(np.uint8)


def expected(
    source: NDArray[np.uint8], size_wh: tuple[int, int], start_xy: tuple[float, float], step_xy: tuple[float, float]
) -> NDArray[np.float64]:
    """The bilinear values (h, w, 3) in float64, from a source that is surrounded by `OUTSIDE`."""
    margin = 200
    wide = np.pad(source.astype(float), ((margin, margin), (margin, margin), (0, 0)), constant_values=OUTSIDE)
    xs = margin + start_xy[0] + step_xy[0] * np.arange(size_wh[0])
    ys = margin + start_xy[1] + step_xy[1] * np.arange(size_wh[1])
    lefts, tops = np.floor(xs).astype(int), np.floor(ys).astype(int)
    share_x, share_y = (xs - lefts)[None, :, None], (ys - tops)[:, None, None]
    upper = wide[tops[:, None], lefts] * (1 - share_x) + wide[tops[:, None], lefts + 1] * share_x
    lower = wide[tops[:, None] + 1, lefts] * (1 - share_x) + wide[tops[:, None] + 1, lefts + 1] * share_x
    found: NDArray[np.float64] = upper * (1 - share_y) + lower * share_y
    return found


@pytest.mark.parametrize(
    ("start_xy", "step_xy"),
    [
        pytest.param((0.0, 0.0), (1.0, 1.0), id="as it is"),
        pytest.param((3.3, 1.7), (1.9, 1.6), id="inside, smaller"),
        pytest.param((3.3, 1.7), (0.31, 0.12), id="inside, larger"),
        pytest.param((47.25, 30.0), (-1.3, -0.8), id="mirrored both ways"),
        pytest.param((-12.6, -20.2), (2.9, 3.1), id="beyond every edge"),
        pytest.param((-0.5, -0.5), (1.0, 1.0), id="half a pixel beyond"),
        pytest.param((70.0, 3.0), (1.0, 1.0), id="nothing of it"),
        pytest.param((-90.0, 3.0), (1.5, 1.0), id="nothing, before it"),
    ],
)
def test_every_value_is_the_bilinear_one_rounded(start_xy: tuple[float, float], step_xy: tuple[float, float]) -> None:
    canvas = np.zeros((24, 29, 3), np.uint8)
    sample(SOURCE, canvas, (0, 0, 29, 24), start_xy=start_xy, step_xy=step_xy, outside=OUTSIDE)
    assert np.abs(canvas - expected(SOURCE, (29, 24), start_xy, step_xy)).max() <= 0.5 + 1e-3  # float32 between them


def test_only_the_region_is_written() -> None:
    canvas, whole = np.full((24, 29, 3), 9, np.uint8), np.zeros((10, 12, 3), np.uint8)
    sample(SOURCE, canvas, (5, 6, 17, 16), start_xy=(1.5, 2.5), step_xy=(2.0, 1.1), outside=OUTSIDE)
    sample(SOURCE, whole, (0, 0, 12, 10), start_xy=(1.5, 2.5), step_xy=(2.0, 1.1), outside=OUTSIDE)
    np.testing.assert_array_equal(canvas[6:16, 5:17], whole)
    canvas[6:16, 5:17] = 9
    assert (canvas == 9).all()


def test_source_of_any_memory_is_read_and_stays_as_it_is() -> None:
    """A cache's pictures are not to be written to; a cut or turned picture lies in rows of another length."""
    found = []
    locked = SOURCE[:, 10:40].copy()
    locked.flags.writeable = False
    for source in (locked, SOURCE[:, 10:40], SOURCE.transpose(1, 0, 2).copy().transpose(1, 0, 2)[:, 10:40]):
        canvas = np.zeros((20, 20, 3), np.uint8)
        sample(source, canvas, (0, 0, 20, 20), start_xy=(-2.0, 1.0), step_xy=(1.4, 1.2), outside=OUTSIDE)
        found.append(canvas)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    own = SOURCE.copy()
    sample(own, np.zeros((4, 4, 3), np.uint8), (0, 0, 4, 4), start_xy=(0.0, 0.0), step_xy=(1.0, 1.0), outside=0)
    assert own.flags.writeable


def test_picture_of_one_pixel_is_drawn() -> None:
    canvas = np.zeros((3, 3, 3), np.uint8)
    sample(np.full((1, 1, 3), 40, np.uint8), canvas, (0, 0, 3, 3), start_xy=(-1.0, -1.0), step_xy=(1.0, 1.0), outside=7)
    assert canvas[..., 0].tolist() == [[7, 7, 7], [7, 40, 7], [7, 7, 7]]
