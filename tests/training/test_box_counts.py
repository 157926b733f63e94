"""What becomes of the boxes of a data set: counted by reason, by hand and against what the training is given."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from labelled_pictures import Box, labelled, write_pictures

from traffic_yolo.errors import DatasetError
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.box_counts import BoxCounts, count_boxes
from traffic_yolo.training.loader import Samples
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import NeededSize, PictureStore

PICTURE = Path("data/images/p.jpg")


def counted(
    *boxes: Box, ignore: tuple[int, ...] = (), crowd: tuple[int, ...] = (), letterbox: bool = False
) -> BoxCounts:
    """Of a picture of 200 x 100 in a network of 100 x 100: a pixel of it is half a network pixel wide, and one high."""
    image = labelled(PICTURE, (200, 100), boxes, ignore=ignore, crowd=crowd)
    return count_boxes([image], num_classes=1, network_wh=(100, 100), letterbox=letterbox)


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ((10, 10, 60, 60), "trained"),
        ((10, 10, 10, 60), "no_area"),
        ((10, 60, 60, 60), "no_area"),
        ((60, 10, 10, 60), "no_area"),
        ((-50, 10, -1, 60), "outside"),
        ((-50, 10, 0, 60), "outside"),  # touches the edge
        ((200, 10, 260, 60), "outside"),
        ((10, -50, 60, 0), "outside"),
        ((10, 100, 60, 130), "outside"),
        ((10, 10, 12, 60), "trained"),  # one network pixel wide
        ((10, 10, 11.9, 60), "below_one_pixel"),
        ((10, 10, 60, 11), "trained"),  # one high
        ((10, 10, 60, 10.9), "below_one_pixel"),
        ((-40, 10, 1.9, 60), "below_one_pixel"),  # what is left of it in the picture
        ((-30, 10, 10, 60), "trained"),  # a quarter is in the picture
        ((-30.5, 10, 10, 60), "mostly_cut_off"),
        ((-40, -40, 40, 40), "trained"),  # half of each side
        ((-44, -44, 40, 40), "mostly_cut_off"),
        ((-500, -500, 700, 600), "mostly_cut_off"),  # around the whole picture
        ((0, 0, 200, 100), "trained"),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(f"{number:g}" for number in value),
)
def test_a_box_is_counted_under_what_becomes_of_it(box: Box, reason: str) -> None:
    assert dataclasses.asdict(counted(box)) == {**dataclasses.asdict(BoxCounts()), reason: 1}


def test_letterboxing_makes_low_boxes_lower() -> None:
    """Half a network pixel for a pixel then, in both directions."""
    low = (10.0, 10.0, 60.0, 11.9)
    assert (counted(low).trained, counted(low, letterbox=True).below_one_pixel) == (1, 1)
    assert counted((10, 10, 60, 12), letterbox=True).trained == 1


def test_a_box_that_the_data_set_ignores_is_that_whatever_else_it_is() -> None:
    boxes = ((10, 10, 60, 60), (10, 10, 10, 60), (-50, 10, -1, 60), (10, 10, 11, 60))
    assert counted(*boxes, ignore=(0, 1, 2), crowd=(2, 3)) == BoxCounts(ignored=4)


def test_counts_of_pictures_add_up_and_are_told_in_one_line_without_noughts() -> None:
    boxes = (
        [(10, 10, 60, 60)] * 1000 + [(10, 10, 11, 60)] * 3 + [(-90, 10, 10, 60)] * 2 + [(9, 9, 9, 9), (300, 0, 310, 9)]
    )
    images = [labelled(PICTURE, (200, 100), boxes), labelled(PICTURE, (200, 100)), labelled(PICTURE, (200, 100), boxes)]
    counts = count_boxes(images, num_classes=1, network_wh=(100, 100), letterbox=False)
    assert counts == BoxCounts(trained=2000, mostly_cut_off=4, no_area=2, outside=2, below_one_pixel=6)
    assert counts.dropped == 10
    assert counts.describe() == "boxes: 2,000 trained, 4 mostly cut off, 2 no area, 2 outside, 6 below one pixel"
    assert BoxCounts().describe() == "boxes: 0 trained"
    assert count_boxes([], num_classes=1, network_wh=(100, 100), letterbox=False) == BoxCounts()


@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize("reduced", [False, True], ids=["whole pictures", "kept smaller"])
def test_the_counts_are_those_of_the_boxes_that_an_unchanged_picture_brings_into_a_batch(
    tmp_path: Path, letterbox: bool, reduced: bool
) -> None:
    rng = np.random.default_rng(2)
    images = write_pictures(tmp_path, 4, (640, 360))
    for row, image in enumerate(images):
        corners = rng.uniform(-80, 600, (300, 2))
        sides = rng.choice([0.0, 3.0, 8.0, 50.0, 200.0], (300, 2)) * rng.uniform(0.5, 1.5, (300, 2))
        images[row] = labelled(
            image.path, (640, 360), np.concatenate([corners, corners + sides], axis=1).tolist(), ignore=range(0, 300, 7)
        )
    network_wh = (96, 64)
    counts = count_boxes(images, num_classes=1, network_wh=network_wh, letterbox=letterbox)
    needed = NeededSize(Augmentation(), network_wh, letterbox) if reduced else None
    store = PictureStore(images, cache=PictureCache(0), needed=needed)
    sizes = NetworkSizes(*network_wh, batch=4, max_batches=1, seed=0)
    truths = Samples(store, Augmentation(), sizes=sizes, letterbox=letterbox, seed=0).batch(0).truths
    assert counts.trained == (~truths.ignore).sum() > 100
    # Of those that the data set ignores, some are dropped as well
    cut_off = count_boxes(
        [dataclasses.replace(image, ignore=~image.ignore) for image in images],
        num_classes=1,
        network_wh=network_wh,
        letterbox=letterbox,
    )
    assert counts.mostly_cut_off + cut_off.trained + cut_off.mostly_cut_off == truths.ignore.sum()
    assert counts.mostly_cut_off > 10
    assert min(counts.no_area, counts.outside, counts.below_one_pixel) > 10


@pytest.mark.parametrize("class_id", [-1, 2, 70])
def test_a_class_that_the_network_has_not_is_refused_with_the_picture(class_id: int) -> None:
    box = (10.0, 10.0, 60.0, 60.0)
    images = [
        labelled(PICTURE.with_name("good.jpg"), (200, 100), [box] * 2, class_ids=[0, 1]),
        labelled(PICTURE, (200, 100), [box] * 3, class_ids=[1, class_id, 0]),
    ]
    with pytest.raises(DatasetError) as caught:
        count_boxes(images, num_classes=2, network_wh=(100, 100), letterbox=False)
    assert str(caught.value) == (
        f"{PICTURE}: class id: expected 0 to 1 of a box that is not ignored, found {class_id}; convert again with a "
        f"class map that names every class"
    )
    images[1] = dataclasses.replace(images[1], ignore=np.array([False, True, False]))
    counts = count_boxes(images, num_classes=2, network_wh=(100, 100), letterbox=False)
    assert counts == BoxCounts(trained=4, ignored=1)


def test_a_box_without_area_of_a_class_that_the_network_has_not_is_refused_as_well() -> None:
    image = labelled(PICTURE, (200, 100), [(10, 10, 10, 10)], class_ids=[5])
    with pytest.raises(DatasetError, match="found 5"):
        count_boxes([image], num_classes=2, network_wh=(100, 100), letterbox=False)
