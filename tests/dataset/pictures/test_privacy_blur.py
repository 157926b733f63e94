"""What is blurred of a picture, by hand-calculated boxes, and what is not."""

import numpy as np
import pytest

from traffic_yolo.dataset.pictures.privacy_blur import blurred, part_of, private_parts

RNG = np.random.default_rng(5)
PICTURE = RNG.integers(0, 256, (240, 320, 3), np.uint8)


def changed(after: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((after != PICTURE).any(axis=-1))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("CAR", "plate"),
        ("LONG_TRUCK", "plate"),
        ("pickup-truck", "plate"),
        ("PEDESTRIAN", "head"),
        ("Person_sitting", "head"),
        ("MOTORCYCLE", "whole"),
        ("Cyclist", "whole"),
        ("scarf", "whole"),  # "car" is in it, and it is no word of it
        ("OTHERS", "whole"),
        ("", "whole"),
    ],
)
def test_the_part_goes_by_the_words_of_a_class_and_what_is_unknown_is_blurred_whole(name: str, part: str) -> None:
    assert part_of(name) == part


def test_parts_of_boxes_are_those_calculated_by_hand() -> None:
    boxes = np.array([[100.0, 100.0, 200.0, 180.0], [50.0, 40.0, 80.0, 140.0], [50.0, 40.0, 110.0, 100.0]])
    parts = private_parts(boxes, ["car", "person", "person"])
    np.testing.assert_allclose(parts[0], [97.0, 136.0, 203.0, 184.8])
    np.testing.assert_allclose(parts[1], [48.5, 32.0, 81.5, 75.0])  # 0.35 of the height
    np.testing.assert_allclose(parts[2], [47.0, 35.2, 113.0, 94.0])  # the upper body alone: 0.9 of its width


def test_only_the_part_changes_and_the_argument_never() -> None:
    before = PICTURE.copy()
    after = blurred(PICTURE, np.array([[100, 100, 200, 180]]), ["CAR"])
    assert np.array_equal(PICTURE, before)
    assert changed(after) == (97, 136, 203, 185)


def test_letters_of_a_plate_are_gone_while_the_part_keeps_its_mean_colour() -> None:
    picture = np.full((240, 320, 3), 120, np.uint8)
    picture[150:160, 130:160:4] = 255  # strokes four pixels apart, as on a plate of 30 of a car's 100 pixels
    after = blurred(picture, np.array([[100.0, 80.0, 200.0, 180.0]]), ["car"])
    plate = after[150:160, 130:160].astype(float)
    assert picture[150:160, 130:160].std() > 50
    assert plate.std(axis=1).max() < 8
    assert after[125:180, 100:200].mean() == pytest.approx(picture[125:180, 100:200].mean(), abs=1.0)


def test_where_nobody_looked_the_whole_picture_is_blurred_and_where_nothing_is_none_of_it() -> None:
    assert np.array_equal(blurred(PICTURE, np.zeros((0, 4))), PICTURE)
    everywhere = blurred(PICTURE, None)
    assert changed(everywhere) == (0, 0, 320, 240)
    assert everywhere.std() < PICTURE.std() / 3


@pytest.mark.parametrize(
    "box", [[np.nan, 0, 10, 10], [-50, -50, -10, -10], [400, 300, 500, 400], [60, 60, 60, 60], [0, 0, np.inf, 9]]
)
def test_boxes_that_are_nowhere_change_nothing(box: list[float]) -> None:
    assert np.array_equal(blurred(PICTURE, np.array([box]), ["car"]), PICTURE)


def test_a_box_over_the_edge_is_blurred_as_far_as_the_picture_goes() -> None:
    after = blurred(PICTURE, np.array([[-40.0, 160.0, 60.0, 260.0]]), ["bus"])
    assert changed(after) == (0, 205, 63, 240)


def test_grey_pictures_are_blurred_too() -> None:
    grey = PICTURE[..., 0]
    after = blurred(grey, np.array([[100, 100, 200, 180]]), ["motorbike"])
    assert after.shape == grey.shape
    assert (after[100:180, 100:200] != grey[100:180, 100:200]).mean() > 0.9


def test_a_name_is_wanted_for_each_box() -> None:
    with pytest.raises(ValueError, match="expected a class name for each of 2 boxes, found 1"):
        blurred(PICTURE, np.zeros((2, 4)), ["car"])
