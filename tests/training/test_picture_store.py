"""Pictures in memory: as large as the closest view needs them, the same from the cache as from the file."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled_pictures import labelled, write_pictures

from traffic_yolo.darknet.resize import stretch
from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.errors import PictureError
from traffic_yolo.training.augment import GREY, Augmentation, augmented, boxes_in_view, jittered_view, whole_view
from traffic_yolo.training.loader import Samples
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import NeededSize, PictureStore, sampled

MIB = 1 << 20
CLOSE = Augmentation(jitter=0.1, resize=1.5, flip=0.5)
EVERYTHING = dataclasses.replace(CLOSE, mosaic=0.4, mixup=0.4, hue=0.1, exposure=1.5, blur=4, gaussian_noise=5)


@pytest.mark.parametrize(
    ("image_wh", "network_wh", "augmentation", "letterbox", "kept_wh"),
    [
        # the whole picture: the network's size, or with its margins what is left of that
        ((1920, 1080), (416, 416), Augmentation(), False, (416, 416)),
        ((551, 1080), (416, 416), Augmentation(), False, (416, 416)),  # 551 * (416 / 551) is a little above 416
        ((1920, 1080), (416, 416), Augmentation(), True, (416, 234)),
        # the closest window has 1 - 2 * 0.2 = 0.6 of a side: 320 / 0.6 = 533.3, 160 / 0.6 = 266.7
        ((1920, 1080), (320, 160), Augmentation(jitter=0.2), False, (534, 267)),
        # 1 / 2 - 2 * 0.1 = 0.3 of a side
        ((1920, 1080), (320, 160), Augmentation(jitter=0.1, resize=2), False, (1067, 534)),
        # a resize below 1 only ever looks at more
        ((1920, 1080), (320, 160), Augmentation(resize=0.5), False, (320, 160)),
        # a side that is short already is kept, the other is not
        ((1920, 120), (320, 160), Augmentation(), False, (320, 120)),
        # half of the pixels or more: the picture itself, which is sampled once then
        ((200, 100), (100, 100), Augmentation(), False, (200, 100)),
        ((202, 100), (100, 100), Augmentation(), False, (100, 100)),
        ((300, 200), (320, 320), Augmentation(), False, (300, 200)),
        # jitter and resize can leave nothing of a side: no size would be enough
        ((1920, 1080), (320, 160), Augmentation(jitter=0.3, resize=2), False, (1920, 1080)),
    ],
)
def test_a_picture_is_kept_as_large_as_the_closest_view_of_it(
    image_wh: tuple[int, int],
    network_wh: tuple[int, int],
    augmentation: Augmentation,
    letterbox: bool,
    kept_wh: tuple[int, int],
) -> None:
    assert NeededSize(augmentation, network_wh, letterbox).kept_wh(image_wh) == kept_wh


@pytest.mark.parametrize("letterbox", [False, True])
@pytest.mark.parametrize(
    "augmentation",
    [CLOSE, Augmentation(jitter=0.3), Augmentation(resize=2), Augmentation(resize=0.7, jitter=0.2)],
    ids=["both", "jitter", "resize", "outwards"],
)
def test_no_view_of_a_kept_picture_is_closer_than_its_pixels_and_some_view_nearly_is(
    augmentation: Augmentation, letterbox: bool
) -> None:
    """Network pixels for one pixel of the kept picture: at most 1 in every view, and nearly 1 in the closest."""
    network_wh = (160, 96)
    width, height = NeededSize(augmentation, network_wh, letterbox).kept_wh((1900, 1000))
    rng = np.random.default_rng(0)
    whole = whole_view((height, width), network_wh, letterbox=letterbox)
    views = [jittered_view(whole, augmentation, rng) for _ in range(4000)]
    scales = np.array([(network_wh[0] / view.width, network_wh[1] / view.height) for view in views])
    assert width * height < 1900 * 1000 / 2
    assert scales.max() <= 1.0001
    assert (scales.max(axis=0) > 0.9).all()


def test_boxes_follow_their_picture_into_its_kept_size(tmp_path: Path) -> None:
    (image,) = write_pictures(tmp_path, 1, (400, 200), boxes_xyxy=[(40, 20, 80, 120), (-8, 0, 400, 200)])
    needed = NeededSize(Augmentation(), (100, 100), letterbox=False)
    picture = PictureStore([image], cache=PictureCache(1), needed=needed).picture(0)
    assert picture.image.shape == (100, 100, 3)
    assert picture.boxes_xyxy.tolist() == [[10, 10, 20, 60], [0, 0, 100, 100]]
    assert image.boxes_xyxy.tolist() == [[40, 20, 80, 120], [-8, 0, 400, 200]]


def test_boxes_end_at_the_edge_of_their_picture_also_where_a_view_shows_more(tmp_path: Path) -> None:
    """Margins and windows that reach outside are grey: no object is there, however its box was drawn."""
    boxes = [(-100, 20, 100, 60), (-90, 20, 10, 60), (-90, 80, -10, 120), (150, 90, 250, 150)]
    (image,) = write_pictures(tmp_path, 1, (200, 100), boxes_xyxy=boxes)
    store = PictureStore([image], cache=PictureCache(0))
    picture = store.picture(0)
    assert picture.boxes_xyxy.tolist() == [[0, 20, 100, 60], [0, 20, 10, 60], [0, 80, 0, 100], [150, 90, 200, 100]]
    assert picture.ignore.tolist() == [False, True, True, True]  # a half, a tenth, nothing, a twelfth are left
    letterboxed = augmented([picture], (200, 200), Augmentation(), letterbox=True, rng=np.random.default_rng(0))
    assert letterboxed.boxes_xyxy.tolist() == [[0, 70, 100, 110], [0, 70, 10, 110], [150, 140, 200, 150]]
    for seed in range(20):  # windows that begin up to 60 pixels outside
        view = augmented(
            [picture], (200, 100), Augmentation(jitter=0.3), letterbox=False, rng=np.random.default_rng(seed)
        )
        grey = (view.image == GREY).all(axis=(0, 2))
        inside = np.flatnonzero(~grey)
        assert view.boxes_xyxy[:, [0, 2]].min() >= inside[0] - 1
        assert view.boxes_xyxy[:, [0, 2]].max() <= inside[-1] + 2


def test_a_kept_picture_is_sampled_by_darknets_rule() -> None:
    """OpenCV's fixed-point interpolation has 32 steps to a pixel, and rounds; corners lie on corners exactly."""
    source = np.random.default_rng(0).integers(0, 256, (97, 143, 3)).astype(np.uint8)
    found = sampled(source, (64, 40))
    difference = np.abs(found / 255 - stretch(source, (64, 40)).transpose(1, 2, 0))
    assert difference.max() < 0.03
    assert difference.mean() < 0.004
    corners = np.ix_([0, -1], [0, -1])
    np.testing.assert_array_equal(found[corners], source[corners])
    assert sampled(source, (143, 97)) is source


def samples_of(images: list[LabelledImage], cache: PictureCache, **needed: bool) -> Samples:
    sizes = NetworkSizes(224, 160, batch=4, max_batches=100, seed=5)
    size = NeededSize(EVERYTHING, sizes.largest_wh, letterbox=False, **needed)
    store = PictureStore(images, cache=cache, needed=size, window=2)
    return Samples(store, EVERYTHING, sizes=sizes, letterbox=False, seed=5)


@pytest.mark.many(1)
@pytest.mark.parametrize(("suffix", "reduced_decode"), [(".png", False), (".jpg", False), (".jpg", True)])
def test_a_cached_sample_is_the_uncached_one_to_the_bit(tmp_path: Path, suffix: str, reduced_decode: bool) -> None:
    """Whether a picture comes from memory, from disk, from those used last or from its file; twice over each."""
    images = write_pictures(tmp_path, 4, (900, 600), suffix=suffix, boxes_xyxy=[(100, 60, 300, 200)])
    samples = [
        samples_of(images, cache, reduced_decode=reduced_decode)
        for cache in (PictureCache(0), PictureCache(64), PictureCache(64, str(tmp_path / "cache")), PictureCache(1))
    ]
    assert [each.store.num_kept for each in samples[:3]] == [0, 4, 4]
    assert 0 < samples[3].store.num_kept < 4
    for k in range(12):
        (expected, names), *others = (each.sample(k, (224, 160)) for each in samples)
        for found, found_names in others:
            np.testing.assert_array_equal(found.image, expected.image)
            np.testing.assert_array_equal(found.boxes_xyxy, expected.boxes_xyxy)
            assert found_names == names


def test_a_kept_picture_looks_like_the_whole_one_and_has_its_boxes_in_the_same_place(tmp_path: Path) -> None:
    (image,) = write_pictures(tmp_path, 1, (1600, 800), boxes_xyxy=[(300, 200, 900, 500)])
    needed = NeededSize(CLOSE, (160, 96), letterbox=False)
    sizes = NetworkSizes(160, 96, batch=1, max_batches=1, seed=1)
    made = []
    for size in (None, needed):
        store = PictureStore([image], cache=PictureCache(16), needed=size)
        made.append(Samples(store, CLOSE, sizes=sizes, letterbox=False, seed=1))
    assert made[1].store.pixels(0).shape < made[0].store.pixels(0).shape
    for k in range(8):
        whole, kept = (each.sample(k, (160, 96))[0] for each in made)
        np.testing.assert_allclose(kept.boxes_xyxy, whole.boxes_xyxy, atol=0.01)
        assert np.abs(kept.image.astype(int) - whole.image).mean() < 3


def test_reduced_decoding_is_no_smaller_than_the_network_shows_the_whole_picture(tmp_path: Path) -> None:
    """A JPEG is made n/8 of its size: of 640 x 400 for 96 x 64 it takes 2/8, 160 x 100."""
    (image,) = write_pictures(tmp_path, 1, (640, 400), suffix=".jpg", boxes_xyxy=[(64, 40, 128, 80)])
    needed = NeededSize(CLOSE, (96, 64), letterbox=False, reduced_decode=True)
    assert needed.decoded_wh((640, 400)) == (96, 64)
    picture = PictureStore([image], cache=PictureCache(1), needed=needed).picture(0)
    assert picture.image.shape == (100, 160, 3)
    assert picture.boxes_xyxy.tolist() == [[16, 10, 32, 20]]
    view = whole_view((100, 160), (96, 64), letterbox=False)
    np.testing.assert_allclose(boxes_in_view(picture.boxes_xyxy, view, (96, 64)), [[9.6, 6.4, 19.2, 12.8]], rtol=1e-5)


# ---------------------------------------------------------------- what is read once, and what is not

WH, BYTES = (600, 400), 720_000  # 2 MiB hold two of these


def gone(images: list[LabelledImage]) -> None:
    """Removes the files: what is read from now on comes from memory."""
    for image in images:
        image.path.unlink()


def test_pictures_that_fit_are_read_once_and_the_others_each_time(tmp_path: Path) -> None:
    images = write_pictures(tmp_path, 4, WH)
    cache = PictureCache(2)
    store = PictureStore(images, cache=cache)
    assert (store.num_kept, cache.left) == (2, 2 * MIB - 2 * BYTES)
    first = [store.pixels(number).copy() for number in range(4)]
    gone(images)
    for number in (1, 0):
        np.testing.assert_array_equal(store.pixels(number), first[number])
    for number in (2, 3):
        with pytest.raises(PictureError, match=rf"picture not found: .*{number}\.png") as caught:
            store.pixels(number)
        assert caught.value.reason == "missing"


@pytest.mark.parametrize(
    ("window", "kept", "left"),
    [
        (0, 2, 2 * MIB - 2 * BYTES),
        (1, 1, 2 * MIB - 2 * BYTES),  # one of the two places is that of the last picture
        (64, 1, 2 * MIB - BYTES - MIB),  # half of the budget at most
    ],
)
def test_pictures_used_last_have_their_share_of_the_budget(tmp_path: Path, window: int, kept: int, left: int) -> None:
    images = write_pictures(tmp_path, 4, WH)
    cache = PictureCache(2)
    assert PictureStore(images, cache=cache, window=window).num_kept == kept
    assert cache.left == left


def test_nothing_is_set_aside_for_the_last_pictures_where_all_fit(tmp_path: Path) -> None:
    images = write_pictures(tmp_path, 2, WH)
    cache = PictureCache(2)
    assert PictureStore(images, cache=cache, window=64).num_kept == 2
    assert cache.left == 2 * MIB - 2 * BYTES


def test_the_oldest_of_the_last_pictures_goes_first_and_use_makes_young(tmp_path: Path) -> None:
    """Eight MiB: half of them hold five of the last pictures."""
    images = write_pictures(tmp_path, 20, WH)
    store = PictureStore(images, cache=PictureCache(8), window=64)
    assert store.num_kept == 5  # numbers 0 to 4
    for number in (10, 11, 12, 13, 14, 10, 15):
        store.pixels(number)
    gone(images)
    for number in (10, 12, 13, 14, 15):
        store.pixels(number)
    with pytest.raises(PictureError):
        store.pixels(11)


def test_processes_share_the_memory_of_the_last_pictures(tmp_path: Path) -> None:
    images = write_pictures(tmp_path, 20, WH)
    store = PictureStore(images, cache=PictureCache(8), window=64)
    store.share_among(2)  # each half of what holds five: two
    for number in (10, 11, 12):
        store.pixels(number)
    gone(images)
    for number in (11, 12):
        store.pixels(number)
    with pytest.raises(PictureError):
        store.pixels(10)


def test_the_budget_counts_pictures_in_the_size_that_is_kept(tmp_path: Path) -> None:
    """1600 x 800 kept at 160 x 96: one MiB holds 22 of 46,080 bytes."""
    images = [labelled(tmp_path / f"{number}.jpg", (1600, 800)) for number in range(30)]
    needed = NeededSize(Augmentation(), (160, 96), letterbox=False)
    cache = PictureCache(1)
    assert PictureStore(images, cache=cache, needed=needed).num_kept == 22
    assert cache.left == MIB - 22 * 46_080


def test_a_picture_longer_than_16_bits_count_is_kept_as_small_as_any(tmp_path: Path) -> None:
    path = tmp_path / "long.png"
    slope = np.linspace(0, 255, 70_001).astype(np.uint8)
    assert cv2.imwrite(str(path), np.repeat(slope[None, :, None], 3, axis=2))
    needed = NeededSize(Augmentation(), (96, 64), letterbox=False)
    found = PictureStore([labelled(path, (70_001, 1))], cache=PictureCache(1), needed=needed).pixels(0)
    np.testing.assert_allclose(found[0, :, 0], np.linspace(0, 255, 96), atol=1.5)
