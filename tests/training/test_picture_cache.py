"""The cache of decoded pictures: its budget is kept to the byte, in memory and on disk, and forks share what is there."""

import multiprocessing
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.errors import StorageError
from traffic_yolo.training.picture_cache import PictureCache

MIB = 1 << 20


@pytest.fixture(params=["in memory", "on disk"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the cache lies."""
    return "" if request.param == "in memory" else str(tmp_path / "cache")


def picture(height: int, width: int, level: int) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


@pytest.mark.parametrize(
    ("sizes", "least_left", "places", "left"),
    [
        ([MIB], 0, 1, 0),
        ([MIB + 1], 0, 0, MIB),
        ([MIB // 2, MIB // 2, 1], 0, 2, 0),
        ([MIB - 1, 1, 1], 0, 2, 0),
        ([600_000], MIB - 600_000, 1, MIB - 600_000),
        ([600_000], MIB - 599_999, 0, MIB),
        ([700_000, 700_000, 100], 0, 1, MIB - 700_000),  # those of the beginning, so that a picture is kept or is not
        ([3], 2 * MIB, 0, MIB),
        ([], 0, 0, MIB),
    ],
)
def test_the_first_pictures_that_fit_are_kept_to_the_byte(
    folder: str, sizes: list[int], least_left: int, places: int, left: int
) -> None:
    cache = PictureCache(1, folder)
    assert cache.take(sizes, least_left=least_left).num_places == places
    assert cache.left == left


def test_one_budget_serves_one_set_of_pictures_after_the_other(folder: str) -> None:
    cache = PictureCache(2, folder)
    first, second, third = (cache.take(sizes) for sizes in ([MIB], [MIB // 2, MIB // 2 + 1], [MIB // 2]))
    assert [arena.num_places for arena in (first, second, third)] == [1, 1, 1]
    assert cache.left == 0


def files_below(folder: Path) -> list[os.stat_result]:
    """The open files of this process that lie, or lay, in the folder."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            if os.readlink(link).startswith(f"{folder}/"):
                found.append(link.stat())
        except FileNotFoundError:  # the listing's own
            continue
    return found


def test_on_disk_the_pictures_take_their_own_size_at_once_and_leave_no_file_behind(tmp_path: Path) -> None:
    cache = PictureCache(1, str(tmp_path / "deep" / "cache"))
    nothing = cache.take([2 * MIB])
    assert (nothing.num_places, list(tmp_path.iterdir())) == (0, [])
    arena = cache.take([700_001, 9])
    (file,) = files_below(tmp_path / "deep" / "cache")
    assert file.st_size == 700_010
    assert file.st_blocks * 512 >= 700_010  # allocated: a disk that is full later would end the process by a signal
    assert list((tmp_path / "deep" / "cache").iterdir()) == []
    del arena
    assert files_below(tmp_path / "deep" / "cache") == []


def test_pictures_come_back_as_they_were_put_and_side_by_side(folder: str) -> None:
    pictures = [picture(3, 5, 10), picture(1, 7, 20), picture(4, 4, 30), picture(2, 2, 40)]
    arena = PictureCache(1, folder).take([each.nbytes for each in pictures[:3]] + [2 * MIB])
    assert [arena.get(number) for number in range(4)] == [None] * 4
    for number in (2, 0, 3, 1):
        arena.put(number, pictures[number])
    for number in range(3):
        found = arena.get(number)
        assert found is not None
        np.testing.assert_array_equal(found, pictures[number])
        assert not found.flags.writeable
    assert arena.get(3) is None


def test_a_picture_smaller_than_its_place_is_kept_in_its_own_shape(folder: str) -> None:
    arena = PictureCache(1, folder).take([300, 300])
    arena.put(1, picture(10, 10, 2))
    arena.put(0, picture(4, 5, 1))
    np.testing.assert_array_equal(arena.get(0), picture(4, 5, 1))
    np.testing.assert_array_equal(arena.get(1), picture(10, 10, 2))


def test_what_one_process_puts_every_other_gets(folder: str) -> None:
    arena = PictureCache(1, folder).take([300, 300])
    arena.put(0, picture(10, 10, 1))
    context = multiprocessing.get_context("fork")

    def child() -> None:
        found = arena.get(0)
        arena.put(1, picture(10, 10, 2 if found is not None and (found == 1).all() else 99))

    process = context.Process(target=child)
    process.start()
    process.join()
    assert process.exitcode == 0
    np.testing.assert_array_equal(arena.get(1), picture(10, 10, 2))


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of more than 64 KiB for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_without_room_is_named_with_what_to_do(tmp_path: Path, small_files: None) -> None:
    with pytest.raises(StorageError) as caught:
        PictureCache(8, str(tmp_path / "cache")).take([3 * MIB])
    assert str(caught.value) == (
        f"cache_folder {tmp_path / 'cache'}: 3 MiB for decoded pictures: File too large; give another folder or a "
        f"smaller cache_mib"
    )
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        StorageError, match=r"cache_folder .*file: 1 MiB for decoded pictures: File exists; give another"
    ):
        PictureCache(1, str(tmp_path / "file")).take([300])
    assert (tmp_path / "file").read_text() == "mine"
