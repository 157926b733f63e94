"""A folder that one test process makes for all: once, whole, and a copy for each."""

import multiprocessing
import os
from pathlib import Path

import pytest
from made_by_one import made_by_one


def make_in_a_process(common: Path, own: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "made").write_text(str(folder))
        with (common / "makers").open("a") as file:
            file.write(f"{os.getpid()}\n")

    made_by_one("small", make, common=common, own=own)


def test_of_several_processes_one_makes_it_and_each_has_its_own(tmp_path: Path) -> None:
    own = [tmp_path / str(number) for number in range(4)]
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=make_in_a_process, args=(tmp_path / "common", place)) for place in own]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "common" / "makers").read_text().count("\n") == 1
    texts = {(place / "small" / "made").read_text() for place in own}
    assert texts == {str(tmp_path / "common" / "small-made")}  # which is still there, as the paths in it say
    assert (tmp_path / "common" / "small-made" / "made").is_file()


def test_what_was_left_half_made_is_made_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        made_by_one("small", fail, common=tmp_path, own=tmp_path / "first")
    made = made_by_one("small", lambda folder: (folder / "whole").touch(), common=tmp_path, own=tmp_path / "first")
    assert [path.name for path in made.iterdir()] == ["whole"]
