"""Batches: every picture once an epoch, the same for one seed, however they are prepared."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.dataset.data_set import DataSet, LabelledImage
from traffic_yolo.errors import DatasetError
from traffic_yolo.training import picture_store
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.loader import MOSAIC_WINDOW, Batch, Samples, batches
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import PictureStore

JITTERED = Augmentation(jitter=0.2, flip=0.5, mosaic=0.5, hue=0.1)


def samples_of(root: Path, augmentation: Augmentation = JITTERED, *, seed: int = 0, cache_mib: int = 64) -> Samples:
    store = PictureStore(DataSet.open(root).split("train"), cache=PictureCache(cache_mib))
    sizes = NetworkSizes(96, 64, batch=3, max_batches=100, seed=seed)
    return Samples(store, augmentation, sizes=sizes, letterbox=False, seed=seed)


def run(samples: Samples, *, first: int = 0, last: int = 4, workers: int = 0) -> Iterator[Batch]:
    return batches(samples, first=first, last=last, workers=workers)


def test_every_picture_comes_once_an_epoch(rectangles: Path) -> None:
    samples = samples_of(rectangles, Augmentation())
    order = [samples.order.index(k) for k in range(12)]
    assert [sorted(order[start : start + 4]) for start in (0, 4, 8)] == [[0, 1, 2, 3]] * 3
    assert order[:4] != order[4:8] or order[4:8] != order[8:]


def test_batch_holds_channels_last_bytes_and_boxes_in_shares(rectangles: Path) -> None:
    (batch,) = run(samples_of(rectangles, Augmentation()), last=1)
    assert (tuple(batch.images.shape), str(batch.images.dtype)) == ((3, 3, 64, 96), "torch.uint8")
    assert batch.images.stride(1) == 1
    assert batch.truths.boxes_cxcywh_norm.min() > 0
    assert batch.truths.boxes_cxcywh_norm.max() < 1
    assert set(batch.truths.image_index) == {0, 1, 2}


@pytest.mark.parametrize("how", ["again", "later start", "no cache", "one process", "two processes"])
def test_batches_depend_on_seed_and_place_alone(rectangles: Path, how: str) -> None:
    expected = list(run(samples_of(rectangles)))[2:]
    samples = samples_of(rectangles, cache_mib=0 if how == "no cache" else 64)
    first = 2 if how == "later start" else 0
    found = list(run(samples, first=first, workers={"one process": 1, "two processes": 2}.get(how, 0)))[-2:]
    for a, b in zip(expected, found, strict=True):
        np.testing.assert_array_equal(a.images.numpy(), b.images.numpy())
        np.testing.assert_array_equal(a.truths.boxes_cxcywh_norm, b.truths.boxes_cxcywh_norm)
        assert a.file_names == b.file_names


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_each_picture_is_read_once_an_epoch_where_only_the_last_ones_are_kept(
    rectangles: Path, monkeypatch: pytest.MonkeyPatch, mosaic: float
) -> None:
    """Of 4,000 pictures the memory holds those that a mosaic may take, and none besides."""
    read: list[int] = []
    pixels = np.zeros((128, 192, 3), np.uint8)

    def counting(image: LabelledImage, **_choices: object) -> np.ndarray:
        read.append(image.image_id)
        return pixels

    monkeypatch.setattr(picture_store, "read_rgb", counting)
    (image, *_) = DataSet.open(rectangles).split("train")
    images = [replace(image, image_id=number) for number in range(4000)]
    cache = PictureCache(0)
    cache.left = 2 * (MOSAIC_WINDOW + 1) * pixels.nbytes
    store = PictureStore(images, cache=cache, window=MOSAIC_WINDOW + 1)
    assert store.num_kept == MOSAIC_WINDOW + 1  # the other half of the budget, for the first ones
    sizes = NetworkSizes(32, 32, batch=10, max_batches=100, seed=0)
    samples = Samples(store, Augmentation(mosaic=mosaic), sizes=sizes, letterbox=False, seed=0)
    for iteration in range(100, 131):
        if iteration == 107:  # by now the window is full
            read.clear()
        samples.batch(iteration)
    # The first pictures are kept from the first time on
    shown = [samples.order.index(k) for k in range(1070, 1310)]
    assert [index for index in read if index > MOSAIC_WINDOW] == [index for index in shown if index > MOSAIC_WINDOW]


def test_another_seed_gives_other_batches(rectangles: Path) -> None:
    one, two = (next(run(samples_of(rectangles, seed=seed))).images.numpy() for seed in (0, 1))
    assert (one != two).any()


def test_crowds_count_as_ignored(rectangles: Path) -> None:
    images = DataSet.open(rectangles).split("train")
    crowd = replace(images[0], is_crowd=np.array([True, False]))
    assert PictureStore([crowd], cache=PictureCache(0)).picture(0).ignore.tolist() == [True, False]


def test_file_that_is_no_picture_is_refused(tmp_path: Path, rectangles: Path) -> None:
    image = DataSet.open(rectangles).split("train")[0]
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match=r"picture cannot be decoded: .*a.jpg; convert"):
        PictureStore([replace(image, path=tmp_path / "a.jpg")], cache=PictureCache(1)).pixels(0)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="picture cannot be decoded"):
        PictureStore([replace(image, path=tmp_path / "a.jpg")], cache=PictureCache(1)).pixels(0)
    with pytest.raises(DatasetError, match="is 192 x 128 pixels, its label says 100 x 128"):
        PictureStore([replace(image, width=100)], cache=PictureCache(1)).pixels(0)


def test_split_without_pictures_is_refused(rectangles: Path) -> None:
    store = PictureStore(DataSet.open(rectangles).split("test"), cache=PictureCache(1))
    with pytest.raises(DatasetError, match="split train has no pictures"):
        Samples(store, Augmentation(), sizes=NetworkSizes(96, 64, 3, 1, 0), letterbox=False, seed=0)


def test_processes_prepare_pictures_after_opencv_has_used_its_threads(rectangles: Path) -> None:
    """A pool of threads that a forked child inherits without its threads must not be waited for."""
    kept = cv2.getNumThreads()
    cv2.setNumThreads(2)
    try:
        large = np.zeros((2000, 2000, 3), np.uint8)
        cv2.resize(large, (1500, 1500), interpolation=cv2.INTER_CUBIC)  # large enough to start the pool
        assert len(list(run(samples_of(rectangles), workers=2))) > 0
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(kept)


@pytest.fixture
def one_processor() -> Iterator[None]:
    """A single processor for this process."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    yield
    os.sched_setaffinity(0, mine)


def test_more_processes_than_processors_are_the_callers_choice_and_warned_of_nowhere(
    rectangles: Path, one_processor: None
) -> None:
    assert len(list(run(samples_of(rectangles), workers=2))) == 4  # a warning would be an error here
