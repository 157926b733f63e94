"""Listings of a folder that goes and comes: whole, or an error, never a part that looks like all."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from traffic_yolo.cli import main
from traffic_yolo.errors import StorageError
from traffic_yolo.storage import list_files, sync
from traffic_yolo.storage import local as module

FILES = 300


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traffic_yolo.storage.retry.RetryPolicy.wait_s", lambda *_: 0.01)


@pytest.fixture
def restless(tmp_path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder of files that is moved away and back, as a share that comes and goes; and a function that ends that."""
    folder, away = tmp_path / "share", tmp_path / "away"
    (folder / "deep").mkdir(parents=True)
    for index in range(FILES):
        (folder / ("deep" if index % 2 else "") / f"{index:03d}").write_bytes(b"x" * index)
    ended = threading.Event()

    def move() -> None:
        while not ended.is_set():
            time.sleep(0.004)
            os.rename(folder, away)
            time.sleep(0.001)
            os.rename(away, folder)

    thread = threading.Thread(target=move)
    thread.start()

    def end() -> None:
        ended.set()
        thread.join()

    yield folder, end
    end()


@pytest.mark.long
@pytest.mark.usefixtures("quick_retries")
def test_a_share_that_comes_and_goes_is_listed_whole_or_not_at_all(restless: tuple[Path, Callable[[], None]]) -> None:
    folder, end = restless
    outcomes, refusals = set(), []
    for _ in range(150):
        # A folder that is away when it is asked for is a folder that is not there
        while not folder.is_dir():
            time.sleep(0.0005)
        try:
            outcomes.add(len(list_files(str(folder)).files))
        except StorageError as error:
            refusals.append(str(error))
    assert outcomes <= {0, FILES}
    assert all("went away" in text or "vanished" in text for text in refusals), refusals
    end()
    assert len(list_files(str(folder)).files) == FILES


@pytest.mark.usefixtures("quick_retries")
def test_what_a_sync_of_it_says_is_done_is_done(restless: tuple[Path, Callable[[], None]], tmp_path: Path) -> None:
    folder, end = restless
    target = tmp_path / "target"
    for _ in range(8):
        try:
            sync(str(folder), str(target))
        except StorageError:
            continue
        assert len(list_files(str(target)).files) == FILES
    end()
    sync(str(folder), str(target))  # goes on where the others stopped
    assert len(list_files(str(target)).files) == FILES


def test_a_folder_that_was_there_and_is_away_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be away from before the first look on: between "it exists" and the listing."""
    folder, away = tmp_path / "share", tmp_path / "away"
    away.mkdir()
    (away / "a").write_bytes(b"1")

    def wait_s(*_: object) -> float:
        away.rename(folder)
        return 0.0

    monkeypatch.setattr("traffic_yolo.storage.retry.RetryPolicy.wait_s", wait_s)
    assert list_files(folder).files == []  # nobody saw it: nothing is there
    assert [file.name for file in list_files(folder, was_there=True).files] == ["a"]


@pytest.mark.usefixtures("quick_retries")
def test_a_folder_that_was_there_and_stays_away_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="went away"):
        list_files(tmp_path / "gone", was_there=True)


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("command", ["ls", "sync"])
def test_a_folder_that_goes_right_after_it_was_found_is_no_empty_one(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, away = tmp_path / "share", tmp_path / "away"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    exists = module.LocalPlace.exists

    def found_and_gone(place: module.LocalPlace) -> bool:
        found = exists(place)
        if place.path == folder and found:
            folder.rename(away)
        return found

    monkeypatch.setattr(module.LocalPlace, "exists", found_and_gone)
    target = [str(tmp_path / "target")] if command == "sync" else []
    with pytest.raises(SystemExit) as ended:
        main(["storage", command, str(folder), *target])
    assert ended.value.code == 2
    assert re.search("share: .*went away", capsys.readouterr().err)


@pytest.mark.usefixtures("quick_retries")
def test_files_that_vanish_in_every_look_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stays").write_bytes(b"1")
    gone = module.Skipped("goes", "vanished while the folder was listed")
    look = module._list_folder
    monkeypatch.setattr(module, "_list_folder", lambda root: (look(root)[0], [gone]))
    listing = list_files(str(tmp_path))
    assert [file.name for file in listing.files] == ["stays"]
    assert listing.skipped == [gone]


@pytest.mark.usefixtures("quick_retries")
def test_files_that_are_back_at_the_last_look_make_no_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder was away for a moment: what was found before and after is a part of it."""
    for name in ("found", "away"):
        (tmp_path / name).write_bytes(b"1")
    away = module.Skipped("away", "vanished while the folder was listed")
    look = module._list_folder

    def partly(root: Path) -> object:
        listing, _ = look(root)
        return module.Listing([file for file in listing.files if file.name == "found"], []), [away]

    monkeypatch.setattr(module, "_list_folder", partly)
    with pytest.raises(StorageError, match="away vanished"):
        list_files(str(tmp_path))


@pytest.mark.usefixtures("quick_retries")
def test_a_mount_that_is_lost_between_two_looks_is_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"1")
    looks = iter([(module.Listing([], []), [module.Skipped("a", "vanished")])])
    monkeypatch.setattr(module, "_list_folder", lambda _root: next(looks, (module.Listing([], []), [])))
    with pytest.raises(StorageError, match="lost all its files while it was listed"):
        list_files(str(tmp_path))
