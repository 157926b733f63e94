"""The leak check on real JPEGs: what looks alike in two splits is named, what merely is there twice in one is not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from traffic_yolo.dataset.pictures.look import PictureLook, difference_hash, hash_distance, look_at
from traffic_yolo.dataset.splits.leaks import LeakCheck
from traffic_yolo.errors import DatasetError


def scene(seed: int, width: int = 480, height: int = 270) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """A picture with broad light and dark places, as a road has them."""
    cells = np.random.default_rng(seed).integers(20, 235, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def encode(picture: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", quality: int = 90) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def test_hash_is_written_bit_by_bit_from_the_upper_left() -> None:
    cells = np.tile(np.arange(9.0), (8, 1))  # each cell lighter than its left neighbour
    assert difference_hash(cells) == 2**64 - 1
    assert difference_hash(cells[:, ::-1]) == 0
    cells[0] = [1, 2, 0, 0, 0, 0, 0, 0, 0]
    assert difference_hash(cells) >> 56 == 0b10000000


def test_the_same_scene_at_another_quality_size_and_light_has_almost_the_same_hash() -> None:
    picture = scene(1)
    reference = look_at(encode(picture)).hash
    variants = [
        encode(picture, 40),
        encode(cv2.resize(picture, (960, 540))),
        encode(cv2.convertScaleAbs(picture, alpha=0.6)),
        bytes(cv2.imencode(".png", picture)[1].tobytes()),
    ]
    assert max(hash_distance(look_at(data).hash, reference) for data in variants) <= 3
    others = [hash_distance(look_at(encode(scene(seed))).hash, reference) for seed in range(2, 60)]
    assert min(others) > 8


def test_a_picture_smaller_than_eight_hash_cells_is_decoded_whole() -> None:
    look = look_at(encode(scene(3, 32, 24)))
    assert hash_distance(look.hash, look_at(encode(scene(3))).hash) <= 8


def test_a_flat_picture_is_counted_and_never_compared() -> None:
    black = look_at(encode(np.full((120, 160, 3), 3, np.uint8)))
    assert black.is_flat
    assert black.brightness == pytest.approx(3, abs=1)
    check = LeakCheck()
    check.add("a.jpg", "train", black)
    check.add("b.jpg", "test", black)
    assert (check.result().num_leaks, check.result().flat) == (0, 2)


def test_near_duplicates_in_two_splits_fail_by_name_and_in_one_split_do_not() -> None:
    check = LeakCheck()
    check.add("siteA/1.jpg", "train", look_at(encode(scene(1))))
    check.add("siteA/2.jpg", "train", look_at(encode(scene(1), 50)))
    check.add("siteB/1.jpg", "val", look_at(encode(scene(2))))
    check.result().check()
    check.add("siteB/9.jpg", "test", look_at(encode(scene(1), 70)))
    report = check.result()
    assert report.num_leaks == 2
    with pytest.raises(DatasetError, match=r"siteA/1\.jpg \(train\) and siteB/9\.jpg \(test\)"):
        report.check()


def test_a_group_in_two_splits_fails_however_its_pictures_look() -> None:
    check = LeakCheck()
    for seed, split in enumerate(("train", "train", "test")):
        check.add(f"r/{seed}.jpg", split, look_at(encode(scene(seed))), ["site A", f"recording {seed}"])
    assert [str(leak) for leak in check.result().leaks] == ["site A (train and test)"]
    with pytest.raises(DatasetError, match="the splits leak: site A"):
        check.result().check()


def test_distance_is_a_choice() -> None:
    looks = [PictureLook(0, 100, 50), PictureLook(0b11111, 100, 50)]
    for distance, leaks in ((4, 0), (5, 1)):
        check = LeakCheck(max_distance=distance)
        for name, split, look in zip("ab", ("train", "val"), looks, strict=True):
            check.add(name, split, look)
        assert check.result().num_leaks == leaks


def test_a_picture_that_does_not_decode_is_named() -> None:
    with pytest.raises(DatasetError, match=r"r/1\.jpg: picture does not decode \(4 bytes\)"):
        look_at(b"\xff\xd8\xff\xd9", what="r/1.jpg")
    with pytest.raises(DatasetError, match="0 bytes"):
        look_at(b"")


def test_real_pictures_of_two_sites_are_far_apart_and_their_augmented_copies_near(reference: Path) -> None:
    looks = {path.name: look_at(path.read_bytes()) for path in sorted((reference / "traffic" / "images").glob("*.jpg"))}
    names = list(looks)
    across, within = [], []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            place = within if first[0] == second[0] else across
            place.append(hash_distance(looks[first].hash, looks[second].hash))
    assert min(across) >= 10
    assert sum(distance <= 4 for distance in within) >= 10
