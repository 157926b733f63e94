"""Calibration pictures: spread evenly over sites, classes and brightness, by hand-calculated cases."""

from pathlib import Path

import numpy as np

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.quantization.calibration_set import NO_BOX, choose_pictures, rarest_classes, spread_evenly


def picture(image_id: int, site: str, class_ids: list[int], ignored: int = 0) -> LabelledImage:
    count = len(class_ids)
    ignore = np.arange(count) < ignored
    boxes = np.zeros((count, 4), np.float32)
    name = f"{image_id}.jpg"
    ids = np.array(class_ids, np.int64)
    return LabelledImage(image_id, Path(name), name, 8, 8, site, "r", boxes, ids, ignore, np.zeros(count, bool))


def test_a_site_of_few_pictures_gets_its_share() -> None:
    traits = np.array([[0]] * 90 + [[1]] * 3 + [[2]] * 7)
    chosen = spread_evenly(traits, 9, seed=1)
    assert np.bincount(traits[chosen, 0]).tolist() == [3, 3, 3]
    assert (np.diff(chosen) > 0).all()


def test_what_is_exhausted_is_made_up_by_the_others() -> None:
    traits = np.array([[0]] * 5 + [[1]])
    assert np.bincount(traits[spread_evenly(traits, 4, seed=0), 0]).tolist() == [3, 1]
    assert spread_evenly(traits, 99, seed=0).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_seed_decides_and_nothing_else() -> None:
    traits = np.zeros((50, 2), np.int64)
    assert spread_evenly(traits, 5, seed=3).tolist() == spread_evenly(traits, 5, seed=3).tolist()
    assert spread_evenly(traits, 5, seed=3).tolist() != spread_evenly(traits, 5, seed=4).tolist()


def test_a_picture_counts_for_the_class_that_the_fewest_pictures_show() -> None:
    pictures = [picture(1, "A", [0, 0, 1]), picture(2, "A", [0]), picture(3, "A", []), picture(4, "A", [2, 0], 1)]
    assert rarest_classes(pictures) == [1, 0, NO_BOX, 0]


def test_dark_and_bright_pictures_are_taken_alike() -> None:
    pictures = [picture(index, "A", [0]) for index in range(12)]
    level = {each.image_id: (0.9 if each.image_id < 8 else 0.1) + each.image_id / 1000 for each in pictures}
    chosen, bands = choose_pictures(
        pictures, 3, lambda each: np.full((3, 2, 2), level[each.image_id], np.float32), seed=0
    )
    assert sorted(bands) == [0, 1, 2]
    darkest_first = sorted(level, key=lambda image_id: level[image_id])
    places = sorted(darkest_first.index(each.image_id) // 4 for each in chosen)
    assert places == [0, 1, 2]
