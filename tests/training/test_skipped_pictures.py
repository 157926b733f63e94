"""Training pictures that cannot be used: skipped, counted by reason, named, replaced; too many of them end the training."""

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from labelled_pictures import labelled, write_pictures

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.loader import Batch, Samples, batches
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.picture_cache import PictureCache
from traffic_yolo.training.picture_store import NeededSize, PictureStore
from traffic_yolo.training.skipped_pictures import SkippedPicture, SkippedPictures

WH = (120, 80)


def skipped(*names: str, reason: str = "damaged") -> list[SkippedPicture]:
    return [SkippedPicture(name, reason, f"picture cannot be decoded: /data/{name}; convert again") for name in names]


def test_each_picture_is_counted_and_told_once_however_often_it_is_met(caplog: pytest.LogCaptureFixture) -> None:
    found = SkippedPictures(100, most=1.0)
    with caplog.at_level(logging.WARNING):
        found.add(skipped("b.jpg", "a.jpg"))
        found.add(skipped("c.jpg", reason="missing"))
        found.add(skipped("a.jpg", "b.jpg"))  # by another process
        found.add([])
    assert found.counts == {"damaged": 2, "missing": 1}
    assert len(found) == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"training picture skipped: picture cannot be decoded: /data/{name}; convert again"
        for name in ("b.jpg", "a.jpg", "c.jpg")
    ]


@pytest.mark.parametrize(("pictures", "most", "bearable"), [(200, 0.01, 2), (199, 0.01, 1), (4, 0.5, 2), (50, 0.0, 0)])
def test_as_many_as_the_share_says_may_be_skipped_and_not_one_more(pictures: int, most: float, bearable: int) -> None:
    found = SkippedPictures(pictures, most=most)
    names = [f"{number}.jpg" for number in range(bearable + 1)]
    found.add(skipped(*names[:bearable]))
    with pytest.raises(TrainingError, match=rf"^{bearable + 1} of {pictures} training pictures cannot be used"):
        found.add(skipped(names[bearable]))


def test_too_many_are_one_line_that_names_the_first_of_them() -> None:
    found = SkippedPictures(300, most=0.01)
    with pytest.raises(TrainingError) as caught:
        found.add([*skipped("a.jpg"), *skipped("b.jpg", reason="missing"), *skipped("c.jpg", "d.jpg", "e.jpg")])
    assert str(caught.value) == (
        "5 of 300 training pictures cannot be used, more than max_bad_pictures=0.01 of them: a.jpg (damaged), "
        "b.jpg (missing), c.jpg (damaged) and 2 more; mend the data set or raise --max-bad-pictures"
    )
    three = SkippedPictures(3, most=0.9)
    with pytest.raises(TrainingError, match=r"a\.jpg \(damaged\), b\.jpg \(damaged\), c\.jpg \(damaged\); mend"):
        three.add(skipped("a.jpg", "b.jpg", "c.jpg"))


# ---------------------------------------------------------------- what the loader meets


def as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def jpeg_of(wh: tuple[int, int]) -> bytes:
    return bytes(cv2.imencode(".jpg", np.zeros((wh[1], wh[0], 3), np.uint8))[1].tobytes())


# what happens to a JPEG -> the reason it is counted under, words of the message
DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "vanished": (lambda path: path.unlink(), "missing", r"picture not found: .*; convert the data set again"),
    "no file": (as_directory, "unreadable", "picture cannot be read: .*: Is a directory"),
    "empty": (lambda path: path.write_bytes(b""), "damaged", "picture cannot be decoded: .*"),
    "garbage": (lambda path: path.write_bytes(b"\xff\xd8\xff" + bytes(500)), "damaged", "picture cannot be decoded"),
    # libjpeg fills what is not there with grey, and warns
    "cut off": (
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        "damaged",
        r"picture cannot be decoded: .*\.jpg; convert the data set again \(Premature end of JPEG file\)",
    ),
    # It reads on behind bytes that belong to nothing, and warns
    "stray bytes": (
        lambda path: path.write_bytes(path.read_bytes()[:-2] + bytes([1, 2, 3, 4, 5]) + b"\xff\xd9"),
        "damaged",
        r"picture cannot be decoded: .*\(Corrupt JPEG data: \d+ extraneous bytes before marker 0xd9\)",
    ),
    "another size": (
        lambda path: path.write_bytes(jpeg_of((80, 120))),
        "of another size",
        r"is 80 x 120 pixels, its label says 120 x 80; the boxes would lie elsewhere",
    ),
}


def samples_of(images: list[LabelledImage], *, cache_mib: int = 0, augmentation: Augmentation | None = None) -> Samples:
    augmentation = augmentation or Augmentation(jitter=0.1, mosaic=0.5, mixup=0.25)
    sizes = NetworkSizes(96, 64, batch=4, max_batches=100, seed=0)
    needed = NeededSize(augmentation, sizes.largest_wh, letterbox=False)
    store = PictureStore(images, cache=PictureCache(cache_mib), needed=needed, window=8)
    return Samples(store, augmentation, sizes=sizes, letterbox=False, seed=0)


@pytest.fixture
def damaged(tmp_path: Path) -> list[LabelledImage]:
    """Twelve JPEGs; the first seven are damaged, each in its own way."""
    images = write_pictures(tmp_path, 12, WH, suffix=".jpg", boxes_xyxy=[(10, 10, 90, 70)])
    for image, (damage, _, _) in zip(images, DAMAGE.values(), strict=False):
        damage(image.path)
    return images


@pytest.mark.parametrize("case", DAMAGE)
def test_a_picture_that_cannot_be_used_is_named_with_its_reason(case: str, tmp_path: Path) -> None:
    damage, reason, message = DAMAGE[case]
    images = write_pictures(tmp_path, 4, WH, suffix=".jpg")
    damage(images[2].path)
    samples = samples_of(images, augmentation=Augmentation())
    batch = samples.batch(0)
    (found,) = batch.skipped
    assert (found.file_name, found.reason) == ("2.jpg", reason)
    assert str(images[2].path) in found.message
    assert re.search(message, found.message), found.message
    names = [name for names in batch.file_names for name in names]
    assert (len(batch.images), len(names)) == (4, 4)
    assert set(names) <= {"0.jpg", "1.jpg", "3.jpg"}
    assert samples.batch(1).skipped == ()  # once


@pytest.mark.parametrize("workers", [0, 2])
def test_others_take_their_place_in_every_batch_and_all_reasons_are_counted(
    damaged: list[LabelledImage], workers: int
) -> None:
    found = SkippedPictures(len(damaged), most=1.0)
    made = list(batches(samples_of(damaged), first=0, last=12, workers=workers, skipped=found))
    assert found.counts == {"damaged": 4, "missing": 1, "of another size": 1, "unreadable": 1}
    usable = {image.file_name for image in damaged[len(DAMAGE) :]}
    assert {name for batch in made for names in batch.file_names for name in names} == usable
    assert all(len(batch.images) == batch.num_pictures == 4 for batch in made)
    assert all(batch.truths.image_index.max() == 3 for batch in made)


@pytest.mark.long
def test_the_samples_of_a_seed_are_the_same_with_any_number_of_processes_and_from_any_start(
    damaged: list[LabelledImage],
) -> None:
    """Which picture takes the place of a damaged one must not depend on what else a process has met."""

    def run(first: int, workers: int, cache_mib: int) -> list[Batch]:
        skipped = SkippedPictures(len(damaged), most=1.0)
        samples = samples_of(damaged, cache_mib=cache_mib)
        return list(batches(samples, first=first, last=8, workers=workers, skipped=skipped))

    expected = run(0, 0, 0)
    for first, workers, cache_mib in ((0, 1, 0), (0, 2, 8), (0, 3, 0), (5, 0, 0), (5, 2, 0)):
        for a, b in zip(expected[first:], run(first, workers, cache_mib), strict=True):
            np.testing.assert_array_equal(a.images.numpy(), b.images.numpy())
            np.testing.assert_array_equal(a.truths.boxes_cxcywh_norm, b.truths.boxes_cxcywh_norm)
            assert a.file_names == b.file_names


def test_a_picture_that_vanishes_in_the_midst_is_used_until_memory_has_it_no_more(tmp_path: Path) -> None:
    """One picture of a small share goes away between two updates: from the cache it still comes."""
    for cache_mib, expected in ((0, {"missing": 1}), (8, {})):
        folder = tmp_path / str(cache_mib)
        folder.mkdir()
        images = write_pictures(folder, 4, WH, suffix=".jpg")
        skipped = SkippedPictures(4, most=0.25)
        stream = batches(
            samples_of(images, cache_mib=cache_mib, augmentation=Augmentation()),
            first=0,
            last=20,
            workers=0,
            skipped=skipped,
        )
        names = {name for _, batch in zip(range(2), stream, strict=False) for name in sum(batch.file_names, ())}
        assert names == {f"{number}.jpg" for number in range(4)}
        images[1].path.unlink()
        late = list(stream)
        assert (len(late), skipped.counts) == (18, expected)
        assert ("1.jpg" in sum(late[-1].file_names, ())) == (not expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_more_than_the_share_end_the_batches_with_one_line(damaged: list[LabelledImage], workers: int) -> None:
    stream = batches(
        samples_of(damaged), first=0, last=12, workers=workers, skipped=SkippedPictures(len(damaged), most=0.2)
    )
    with pytest.raises(TrainingError) as caught:
        list(stream)
    assert str(caught.value).count("\n") == 0
    assert "of 12 training pictures cannot be used, more than max_bad_pictures=0.2 of them: " in str(caught.value)


def test_no_thread_goes_on_after_batches_that_ended_in_an_error(damaged: list[LabelledImage]) -> None:
    """The error's traceback keeps all that was at work, as long as somebody has the error."""
    stream = batches(samples_of(damaged), first=0, last=12, workers=0, skipped=SkippedPictures(len(damaged), most=0.2))
    with pytest.raises(TrainingError) as caught:
        list(stream)
    assert caught.tb is not None
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pictures")]


def test_without_a_share_none_may_be_unusable(damaged: list[LabelledImage]) -> None:
    with pytest.raises(TrainingError, match="cannot be used, more than max_bad_pictures=0 of them"):
        list(batches(samples_of(damaged), first=0, last=12, workers=0))


@pytest.mark.parametrize("workers", [0, 1])
def test_where_no_picture_can_be_used_the_search_for_others_ends(tmp_path: Path, workers: int) -> None:
    images = [labelled(tmp_path / f"{number}.jpg", WH) for number in range(5)]
    stream = batches(
        samples_of(images), first=0, last=2, workers=workers, skipped=SkippedPictures(len(images), most=1.0)
    )
    with pytest.raises(TrainingError) as caught:
        list(stream)
    assert str(caught.value).startswith("5 training pictures cannot be used, one after another: picture not found: ")
