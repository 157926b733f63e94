"""Texts on pictures: in their colour on any ground, with a dark rim, where they are wanted, cut at the edges."""

import numpy as np
import pytest

from traffic_yolo.dataset.pictures.drawn_text import Lettering, write_on_plate, write_text

LETTERING = Lettering(1.5, 2, 3)
COLOUR = (30, 200, 250)


def grounds() -> list[np.ndarray]:
    return [np.full((60, 200, 3), level, np.uint8) for level in (0, 128, 255)]


def test_letters_have_their_colour_and_a_dark_rim_on_any_ground() -> None:
    for ground in grounds():
        written = ground.copy()
        write_text(written, "7 CAR", (20, 40), COLOUR, LETTERING)
        is_colour, is_dark = (written == COLOUR).all(axis=2), (written < 30).all(axis=2)
        assert 100 < is_colour.sum() < 600
        assert is_dark.sum() >= 50
        rows, columns = np.nonzero((written != ground).any(axis=2)) if ground.any() else np.nonzero(is_colour)
        width, height = LETTERING.size_wh("7 CAR")
        assert 36 - height <= rows.min() <= 40 - height + 4
        assert 40 <= rows.max() <= 43
        assert 16 <= columns.min() <= 24
        assert abs(columns.max() - (20 + width)) <= 8


@pytest.mark.parametrize(("colour", "letters"), [((66, 228, 240), 0), ((178, 114, 0), 255)], ids=["light", "dark"])
def test_letters_on_a_plate_are_black_or_white_by_its_colour(colour: tuple[int, int, int], letters: int) -> None:
    for ground in grounds():
        written = ground.copy()
        write_on_plate(written, "7 gAR", (20, 40), colour, LETTERING)
        width, height = LETTERING.size_wh("7 gAR")
        rows, columns = np.nonzero((written == colour).all(axis=2))
        assert (rows.min(), columns.min(), columns.max()) == (40 - height - 3, 17, 20 + width + 2)
        assert 44 <= rows.max() <= 48  # below the g
        plate = written[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert 100 < (plate == letters).all(axis=2).sum() < 600
        written[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = ground[0, 0]
        assert (written == ground).all()


def test_a_plate_outside_changes_nothing() -> None:
    for start in [(-500, 40), (500, 40), (20, -90), (20, 900)]:
        ground = grounds()[1]
        write_on_plate(ground, "CAR", start, COLOUR, LETTERING)
        assert (ground == 128).all()


def test_words_stand_where_they_stand_in_the_whole_text() -> None:
    once, twice = grounds()[0], grounds()[0]
    write_text(once, "CAR 0.87", (20, 40), COLOUR, LETTERING)
    write_text(twice, "CAR", (20, 40), COLOUR, LETTERING)
    assert (once[:, :60] == twice[:, :60]).all()
    second = np.nonzero((once != twice).any(axis=(0, 2)))[0]
    begin = LETTERING.size_wh("CAR ")[0] - LETTERING.line
    assert abs(second.min() - (20 + begin)) <= 4
    again = grounds()[0]
    write_text(again, "CAR 0.87", (20, 40), COLOUR, LETTERING)  # of what was kept
    assert (again == once).all()


@pytest.mark.parametrize("start", [(-20, 40), (190, 40), (20, 2), (20, 66)], ids=["left", "right", "top", "bottom"])
def test_a_text_at_an_edge_is_cut_there(start: tuple[int, int]) -> None:
    large, ground = np.zeros((260, 600, 3), np.uint8), grounds()[0]
    write_text(large, "CAR 0.87", (start[0] + 200, start[1] + 100), COLOUR, LETTERING)
    write_text(ground, "CAR 0.87", start, COLOUR, LETTERING)
    assert ground.any()
    assert (ground == large[100:160, 200:400]).all()


def test_a_text_outside_changes_nothing() -> None:
    for start in [(-500, 40), (500, 40), (20, -90), (20, 900)]:
        ground = grounds()[1]
        write_text(ground, "CAR", start, COLOUR, LETTERING)
        assert (ground == 128).all()


@pytest.mark.parametrize("start", [(20, 40), (-9, 40), (190, 40), (20, 2), (20, 66)])
@pytest.mark.parametrize("scale", [1.0, 1.5, 2.25])
def test_words_on_a_plate_are_those_that_are_written_on_its_colour(start: tuple[int, int], scale: float) -> None:
    lettering = Lettering(scale, round(scale), round(scale) + 1)
    plated = grounds()[1]
    write_on_plate(plated, "7 guy 0.87", start, COLOUR, lettering)
    plate = (plated != 128).any(axis=2)
    written = np.full_like(plated, COLOUR)
    write_text(written, "7 guy 0.87", start, (0, 0, 0), Lettering(scale, round(scale), 0))
    assert (plated[plate] == written[plate]).all()
    assert (written[~plate] == COLOUR).all()  # no letter is cut off
