"""What tests have drawn once: each figure is still drawn by the code under test, and other numbers are another figure."""

from collections import Counter

import numpy as np
from drawn_once import DRAWING, draw_once, remembering

from traffic_yolo.dataset.report import anchor_fit, picture_observer
from traffic_yolo.dataset.report import page as report_page
from traffic_yolo.dataset.report.distributions import Distributions


def test_every_function_that_is_remembered_is_there() -> None:
    draw_once()
    assert remembering == set(DRAWING)
    assert anchor_fit.AnchorObserver._drawn.__wrapped__  # type: ignore[attr-defined]
    assert picture_observer.PictureObserver._light_section.__wrapped__  # type: ignore[attr-defined]


def test_equal_numbers_are_drawn_once_and_others_anew() -> None:
    draw_once()
    found, again, other = (Distributions.empty(2, ["train", "val"]) for _ in range(3))
    for each, boxes in ((found, 3), (again, 3), (other, 4)):
        each.crowding["val"][boxes] += 1
        each.add_aspects(np.array([0]), np.array([float(boxes)]))
    assert other.crowding["val"] == Counter({4: 1})
    for draw in (report_page._crowding_section, lambda each: report_page._size_section(each, ["a", "b"])):
        first = draw(found)
        assert first.startswith("<svg")
        assert draw(again) is first
        assert draw(other) != first
    assert report_page._size_section(found, ["c", "b"]) != report_page._size_section(found, ["a", "b"])
