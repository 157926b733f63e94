"""Kill -9 at any moment of a conversion, run it again: the data set of an undisturbed run, and nothing else beside it."""

import os
from pathlib import Path
from typing import Any

import pytest
from killing import events_of, kill_points, run_killed, run_undisturbed, seconds_of

import traffic_yolo.dataset.convert  # noqa: F401 (loaded before a test begins, so that `drawn_once` finds what draws)
from traffic_yolo.cli import main

SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"


def content(folder: Path) -> dict[str, bytes]:
    """The bytes of every file; where the report tells the command that made it, without the folder it was told."""
    return {
        str(path.relative_to(folder)): path.read_bytes().replace(str(folder).encode(), b"OUT")
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_whole_or_nothing(folder: Path, whole: dict[str, bytes]) -> None:
    """After a kill: the data set complete, or no folder of its name; what is half-written has a name with a dot."""
    visible = [path.name for path in folder.iterdir() if not path.name.startswith(".")]
    assert visible in ([], ["out"])
    if visible:
        assert content(folder / "out") == whole


@pytest.mark.long
@pytest.mark.parametrize("processes", ["1", "2"] if SLOW else ["2"])
def test_run_after_a_kill_gives_what_an_undisturbed_run_gives(share: Any, tmp_path: Path, processes: str) -> None:
    source = ["convert", "--source", str(share.recordings), "--labels", str(share.label_file), "--processes", processes]
    with pytest.raises(
        SystemExit
    ) as ended:  # here, so that the forks have loaded and drawn all that a conversion needs
        main([*source, "--out", str(tmp_path / "whole")])
    assert ended.value.code == 0
    whole = content(tmp_path / "whole")
    total = events_of([*source, "--out", str(tmp_path / "counted")])
    number = 30 if SLOW else 2
    for at in kill_points(total, number=number, seed=int(processes)):
        folder = tmp_path / f"killed-{at}"
        folder.mkdir()
        again = [*source, "--out", str(folder / "out")]
        run_killed(again, at=at)
        assert_whole_or_nothing(folder, whole)
        if (folder / "out").exists():
            run_killed(again)  # refused, since the data set is there; but it clears up
        else:
            run_undisturbed(again)
        assert content(folder / "out") == whole
        assert [path.name for path in folder.iterdir()] == ["out"]


@pytest.mark.skipif(not SLOW, reason="kills by the clock, many times; TRAFFIC_YOLO_SLOW=1 runs it")
def test_kills_by_the_clock_leave_nothing_half_written(share: Any, tmp_path: Path) -> None:
    source = ["convert", "--source", str(share.recordings), "--labels", str(share.label_file)]
    run_undisturbed([*source, "--out", str(tmp_path / "whole")])
    whole = content(tmp_path / "whole")
    longest = seconds_of([*source, "--out", str(tmp_path / "timed")])
    folder = tmp_path / "killed"
    folder.mkdir()
    again = [*source, "--out", str(folder / "out")]
    for step in range(20):
        run_killed(again, after_s=longest * (0.3 + 0.7 * step / 20))
        assert_whole_or_nothing(folder, whole)
        if (folder / "out").exists():
            break
    if (folder / "out").exists():
        run_killed(again)
    else:
        run_undisturbed(again)
    assert content(folder / "out") == whole
    assert [path.name for path in folder.iterdir()] == ["out"]
