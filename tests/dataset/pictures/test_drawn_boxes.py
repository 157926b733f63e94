"""Boxes drawn on pictures: in place of nothing, hatched where they do not count, never outside."""

import numpy as np
import pytest

from traffic_yolo.dataset.pictures.drawn_boxes import (
    PALETTE,
    DrawnBox,
    class_colour,
    draw_boxes,
    sample_jpeg,
    with_boxes,
)

GREY = np.full((60, 80, 3), 100, np.uint8)


def test_a_box_is_drawn_in_its_colour_on_a_new_picture() -> None:
    drawn = with_boxes(GREY, [DrawnBox((10, 20, 50, 40), (200, 10, 30))])
    assert (GREY == 100).all()
    assert drawn.shape == GREY.shape
    assert drawn[20, 30].tolist() == [30, 10, 200]  # BGR
    assert drawn[30, 30].tolist() == [100, 100, 100]


def test_a_hatched_box_is_filled_with_lines_inside_alone() -> None:
    plain = with_boxes(GREY, [DrawnBox((10, 10, 60, 50), (160, 160, 160))])
    hatched = with_boxes(GREY, [DrawnBox((10, 10, 60, 50), (160, 160, 160), hatched=True)])
    inside = np.s_[12:48, 12:58]
    assert 0.05 < (hatched[inside] != plain[inside]).any(axis=2).mean() < 0.5
    box = np.s_[9:52, 9:62]
    hatched[box] = plain[box]
    assert (hatched == plain).all()


@pytest.mark.parametrize("box", [(-50, -50, 500, 500), (70, 50, 2e9, 3e9), (30, 30, 30, 30), (90, 90, 99, 99)])
def test_boxes_at_and_beyond_the_edges_are_survived(box: tuple[float, float, float, float]) -> None:
    assert with_boxes(GREY, [DrawnBox(box, (1, 2, 3), "text", hatched=True)]).shape == GREY.shape


def test_large_pictures_are_made_small_with_their_boxes() -> None:
    drawn = with_boxes(
        np.full((600, 800, 3), 100, np.uint8), [DrawnBox((100, 200, 500, 400), (200, 10, 30))], pixels=4800
    )
    assert drawn.shape == (60, 80, 3)
    assert drawn[20, 30].tolist() == [30, 10, 200]


def test_jpegs_keep_to_a_size_where_they_can() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3)).astype(np.uint8)
    assert len(sample_jpeg(noise, most_bytes=30_000)) < len(sample_jpeg(noise, most_bytes=10**9))
    assert sample_jpeg(GREY)[:2] == b"\xff\xd8"


def test_colours_come_again_after_the_last() -> None:
    assert class_colour(len(PALETTE) + 1) == PALETTE[1]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_line_is_as_wide_as_asked_for_and_dark_on_either_side(width: int) -> None:
    image = np.full((60, 80, 3), 90, np.uint8)
    draw_boxes(image, [DrawnBox((20, 15, 60, 45), (1, 2, 3), width=width)])
    first = width // 2 + 1  # pixels outside of the box's edge
    expected = [[0, 0, 0], *[[3, 2, 1]] * width, [0, 0, 0]]  # BGR
    assert image[30, 20 - first :][: width + 2].tolist() == expected
    assert image[30, : 60 + first + 1][: -(width + 3) : -1].tolist() == expected
    assert image[15 - first :, 40][: width + 2].tolist() == expected
    assert image[: 45 + first + 1, 40][: -(width + 3) : -1].tolist() == expected
    assert (image[30, 20 - first - 1] == 90).all()
    assert (image[30, 40] == 90).all()


def test_a_box_smaller_than_its_line_is_seen() -> None:
    image = np.full((20, 20, 3), 90, np.uint8)
    draw_boxes(image, [DrawnBox((10, 10, 10, 11), (1, 2, 3), width=3)])
    assert (image[10, 10] == (3, 2, 1)).all()
    assert (image[10, 8] == 0).all()
