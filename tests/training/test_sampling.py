"""The order of training pictures: whole epochs, a function of seed and place, rare classes as often as computed by hand."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from labelled_pictures import labelled

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.loader import Samples
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import PictureStore
from traffic_yolo.training.sampling import SampleOrder, rarity_weights


def picture_of(*class_ids: int, ignore: tuple[int, ...] = (), crowd: tuple[int, ...] = ()) -> LabelledImage:
    """A picture with a box of each of these classes."""
    boxes = [(10.0, 10.0, 30.0, 30.0)] * len(class_ids)
    return labelled(Path("p.jpg"), (100, 80), boxes, class_ids=class_ids, ignore=ignore, crowd=crowd)


def epochs(order: SampleOrder, count: int, numbers: range) -> list[list[int]]:
    return [[order.index(epoch * count + place) for place in range(count)] for epoch in numbers]


def test_every_epoch_has_every_picture_once_in_an_order_of_its_own() -> None:
    found = epochs(SampleOrder(9, seed=3), 9, range(-3, 20))
    assert all(sorted(epoch) == list(range(9)) for epoch in found)
    assert len({tuple(epoch) for epoch in found}) == len(found)


def test_the_picture_at_a_place_depends_on_the_seed_and_the_place_alone() -> None:
    """A mosaic looks back into epochs that are long over, or before the first."""
    whole = [SampleOrder(5, seed=3).index(place) for place in range(40)]
    jumping = SampleOrder(5, seed=3)
    places = np.random.default_rng(0).permutation(np.repeat(np.arange(40), 3))
    assert [jumping.index(int(place)) for place in places] == [whole[place] for place in places]
    assert [SampleOrder(5, seed=4).index(place) for place in range(40)] != whole
    before = [SampleOrder(5, seed=3).index(place) for place in range(-10, 0)]
    assert before != whole[:10]


def test_with_weights_each_picture_comes_by_its_share_as_evenly_as_whole_numbers_allow() -> None:
    """Weights 3, 2, 1, 1, 1 of 8: of five places an epoch 1.875, 1.25 and three times 0.625."""
    order = SampleOrder(5, seed=1, weights=np.array([3.0, 2.0, 1.0, 1.0, 1.0]))
    found = epochs(order, 5, range(2000))
    assert all(len(epoch) == 5 for epoch in found)
    counts = np.array([np.bincount(epoch, minlength=5) for epoch in found])  # (epochs, pictures)
    shares = np.array([1.875, 1.25, 0.625, 0.625, 0.625])
    assert (counts >= np.floor(shares)).all()
    assert (counts <= np.ceil(shares)).all()
    np.testing.assert_allclose(counts.mean(axis=0), shares, atol=0.04)
    first = Counter(epoch[0] for epoch in found)  # and at any place of the epoch
    np.testing.assert_allclose([first[number] / 2000 for number in range(5)], shares / 5, atol=0.04)


@pytest.mark.parametrize("weight", [1.0, 0.1, 7.3])
def test_equal_weights_show_every_picture_once(weight: float) -> None:
    order = SampleOrder(7, seed=2, weights=np.full(7, weight))
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs(order, 7, range(50)))


def test_rarity_is_the_root_of_pictures_with_the_commonest_class_over_those_with_the_rarest_inside() -> None:
    """Nine pictures show class 0, four class 1, one class 2: factors 1, root of 9 / 4, root of 9."""
    images = [
        *[picture_of(0) for _ in range(5)],
        *[picture_of(0, 1, 1, 1) for _ in range(3)],  # how many boxes a picture has does not matter
        picture_of(2, 1, 0),
        picture_of(),
    ]
    weights = rarity_weights(images, 4)  # class 3 is in no picture
    assert weights.tolist() == pytest.approx([1] * 5 + [1.5] * 3 + [3] + [1])


def test_ignored_boxes_and_crowds_make_no_picture_rare() -> None:
    images = [
        *[picture_of(0) for _ in range(4)],
        picture_of(1),
        picture_of(1, 0, ignore=(0,)),
        picture_of(0, 1, crowd=(1,)),
        picture_of(-1, ignore=(0,)),  # of no class of the data set
    ]
    assert rarity_weights(images, 2).tolist() == pytest.approx([1] * 4 + [6**0.5] + [1] * 3)


@pytest.mark.parametrize("images", [[], [picture_of(), picture_of()]], ids=["no picture", "no box"])
def test_pictures_without_boxes_are_as_common_as_any(images: list[LabelledImage]) -> None:
    assert rarity_weights(images, 3).tolist() == [1.0] * len(images)


def test_balanced_sampling_shows_rare_classes_as_often_as_computed_by_hand() -> None:
    """Four pictures of class 0, one of class 1, which weighs 2: of five places 5/6 each, and 5/3."""
    images = [picture_of(0), picture_of(0), picture_of(1), picture_of(0), picture_of(0)]
    store = PictureStore(images, cache=PictureCache(0))
    sizes = NetworkSizes(96, 64, batch=5, max_batches=10, seed=0)
    shares = []
    for balanced_classes in (0, 2):
        samples = Samples(
            store, Augmentation(), sizes=sizes, letterbox=False, seed=0, balanced_classes=balanced_classes
        )
        shown = np.array(epochs(samples.order, 5, range(1000)))
        shares.append(np.bincount(shown.ravel(), minlength=5) / 1000)
    assert shares[0].tolist() == [1] * 5
    np.testing.assert_allclose(shares[1], [5 / 6, 5 / 6, 5 / 3, 5 / 6, 5 / 6], atol=0.04)
