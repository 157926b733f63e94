"""How rows of a recording become boxes in its picture, calculated by hand, and what is shown of a kind of file."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from odd_recordings import write_good

from traffic_yolo.atm.inspection.inspect import inspect_recordings
from traffic_yolo.dataset.inspection_pictures import _Reading, inspection_pictures

ROWS = np.array([[7, 10.0, 20, 30, 40], [7, 0, 0, 0, 0], [7, 1e9, 1, 2, 3], [7, 5, 5, -1, 9]])


@pytest.mark.parametrize(
    ("anchor", "box"),
    [
        ("top_left", (20.0, 20.0, 80.0, 60.0)),
        ("centre", (-10.0, 0.0, 50.0, 40.0)),
        ("corners", (20.0, 20.0, 60.0, 40.0)),
    ],
)
def test_rows_become_boxes_in_the_pixels_of_the_picture(anchor: str, box: tuple[float, ...]) -> None:
    reading = _Reading("AI", (1, 2, 3, 4), anchor, (100, 200), "")
    assert reading.boxes(ROWS, (200, 200))[0] == box
    assert len(reading.boxes(ROWS[:3], (200, 200))) == 1  # zeros, and numbers that are no places, are none


def test_a_space_of_none_is_the_picture_itself() -> None:
    assert _Reading("AI", (1, 2, 3, 4), "top_left", None, "").boxes(ROWS[:1], (64, 48)) == [(10, 20, 40, 60)]


def test_boxes_are_read_by_the_layout_where_one_fits_and_else_the_whole_picture_is_blurred(tmp_path: Path) -> None:
    known = inspection_pictures(inspect_recordings(write_good(tmp_path / "known.h5")))
    assert known[0].count("<figure") == 3
    assert "as the layout atm220-2021 reads it" in known[0]
    assert "1 box<" in known[0]
    with h5py.File(write_good(tmp_path / "unknown.h5"), "a") as file:
        for scan in file.values():
            scan.move("Image", "frame")
    inspection = inspect_recordings(tmp_path / "unknown.h5")
    (blurred,) = inspection_pictures(inspection)
    (full,) = inspection_pictures(inspection, "full")
    (none,) = inspection_pictures(inspection, "none")
    assert "Blurred as a whole" in blurred
    assert "Blurred as a whole" not in full
    assert blurred.count("<figure") == full.count("<figure") == 3
    assert "<figure" not in none
