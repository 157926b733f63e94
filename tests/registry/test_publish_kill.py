"""Publishing that is killed, or whose disk is full, at every point: a retry ends as an undisturbed one would."""

import multiprocessing
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from examples import slow
from judged_runs import publish
from killing import at_each_point

from traffic_yolo.registry.bundle import verify_bundle
from traffic_yolo.registry.history import History
from traffic_yolo.registry.ledger_table import LedgerTable
from traffic_yolo.registry.zoo import Published, current_version, roll_back, set_current, versions

MakeRun = Callable[..., dict[str, Path]]
EVERY = 1 if os.environ.get("TRAFFIC_YOLO_SLOW") == "1" else 5


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill takes nothing from the system that a program has given it; a thousand flushes take minutes."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr("traffic_yolo.storage.whole_folder._SYNCFS", lambda _: 0)


def state_of(zoo: Path) -> dict[str, object]:
    """What people see of a zoo with the model m, times left out."""
    return {
        "versions": [path.name for path in versions(zoo, "m")],
        "current": current_version(zoo, "m"),
        "history": [use.version for use in History.read(zoo / "m").uses],
        "records": sorted(entry.version for entry in LedgerTable.read(zoo).entries),
        "files": sorted(path.name for path in (zoo / "m").iterdir() if not path.name.startswith(".current.")),
    }


def fresh(zoo: Path, start: Path) -> None:
    shutil.rmtree(zoo, ignore_errors=True)
    if start.exists():
        shutil.copytree(start, zoo)


@pytest.mark.many(1)
@pytest.mark.parametrize(
    ("seeds", "full", "step"),
    [
        pytest.param((0,), False, EVERY, id="first version, killed"),
        pytest.param((0, 1), False, min(EVERY, 3), id="second version, killed", marks=slow),
        pytest.param((0,), True, EVERY, id="first version, disk full", marks=slow),
        pytest.param((0, 1), True, EVERY, id="second version, disk full"),
    ],
)
def test_a_retry_finishes_what_was_cut_off_at_any_point(
    make_run: MakeRun, tmp_path: Path, seeds: tuple[int, ...], full: bool, step: int
) -> None:
    zoo, start = tmp_path / "zoo", tmp_path / "start"
    runs = [make_run(seed) for seed in seeds]
    for run in runs[:-1]:
        publish(**run, zoo=start, name="m")

    def attempt() -> Published:
        return publish(**runs[-1], zoo=zoo, name="m")

    fresh(zoo, start)
    attempt()
    expected = state_of(zoo)
    assert expected["current"] == expected["versions"][-1]  # type: ignore[index]
    fresh(zoo, start)
    points, resumed = 0, 0
    for _point in at_each_point(attempt, below=zoo, full=full, step=step):
        points += 1
        for path in versions(zoo, "m"):
            verify_bundle(path)
        found = current_version(zoo, "m")
        assert found is None or (zoo / "m" / found).is_dir()
        again = attempt()
        assert again.is_current
        resumed += again.resumed
        assert state_of(zoo) == expected
        fresh(zoo, start)
    assert points > 40 // step
    assert resumed > (2 if step < EVERY or EVERY == 1 else 0)


@slow
def test_a_version_that_failed_its_parity_stays_out_of_use_when_its_publication_is_finished(
    make_run: MakeRun, tmp_path: Path
) -> None:
    zoo, start, run = tmp_path / "zoo", tmp_path / "start", make_run(1, passed=False)
    good = publish(**make_run(0), zoo=start, name="m")
    fresh(zoo, start)
    for _ in at_each_point(lambda: publish(**run, zoo=zoo, name="m"), below=zoo, step=EVERY):
        publish(**run, zoo=zoo, name="m")
        assert current_version(zoo, "m") == good.version
        assert len(LedgerTable.read(zoo).entries) == 2
        fresh(zoo, start)


@pytest.mark.long
def test_what_was_cut_off_and_is_not_retried_is_no_hindrance_to_the_next(make_run: MakeRun, tmp_path: Path) -> None:
    zoo, runs = tmp_path / "zoo", [make_run(seed) for seed in (0, 1)]
    for _ in at_each_point(lambda: publish(**runs[0], zoo=zoo, name="m"), below=zoo, step=EVERY):
        second = publish(**runs[1], zoo=zoo, name="m")
        assert second.is_current
        assert current_version(zoo, "m") == second.version
        shutil.rmtree(zoo)


def test_a_version_that_was_rolled_back_is_not_taken_for_one_that_was_cut_off(
    make_run: MakeRun, tmp_path: Path
) -> None:
    zoo, runs = tmp_path / "zoo", [make_run(seed) for seed in (0, 1)]
    first, _ = (publish(**run, zoo=zoo, name="m") for run in runs)
    roll_back(zoo, "m")
    shutil.rmtree(zoo / "ledger")  # the history alone knows it
    again = publish(**runs[1], zoo=zoo, name="m")
    assert (again.is_current, again.resumed) == (False, False)
    assert current_version(zoo, "m") == first.version
    shutil.rmtree(zoo / "m" / "history")  # the ledger alone knows it, as in a zoo of an older version
    again = publish(**runs[1], zoo=zoo, name="m")
    assert (again.is_current, again.resumed) == (False, False)
    assert f"`traffic-yolo zoo set-current m {again.version}` would use it" in again.text


@pytest.mark.long
@pytest.mark.many(1)
@pytest.mark.parametrize("how", ["roll back", "set current"])
def test_a_killed_change_of_what_is_in_use_is_done_or_not(make_run: MakeRun, tmp_path: Path, how: str) -> None:
    zoo, start = tmp_path / "zoo", tmp_path / "start"
    names = [publish(**make_run(seed), zoo=start, name="m").version for seed in range(3)]
    change = {"roll back": lambda: roll_back(zoo, "m"), "set current": lambda: set_current(zoo, "m", names[1])}[how]
    fresh(zoo, start)
    for _ in at_each_point(change, below=zoo, step=EVERY):
        now = current_version(zoo, "m")
        assert now in (names[1], names[2])
        old, _ = roll_back(zoo, "m")
        assert old == now
        assert current_version(zoo, "m") in {names[2]: names[1:2], names[1]: [names[0], names[2]]}[now]
        fresh(zoo, start)


def _publish(run: dict[str, Path], zoo: Path) -> str:
    return publish(**run, zoo=zoo, name="m").version


@slow
def test_two_publishers_at_once_and_a_kill_leave_every_version_that_was_in_use_in_the_history(
    make_run: MakeRun, tmp_path: Path
) -> None:
    zoo, runs = tmp_path / "zoo", [make_run(seed) for seed in range(4)]
    kills = at_each_point(lambda: publish(**runs[0], zoo=zoo, name="m"), below=zoo, step=EVERY)
    for point in (20, 35, 45):
        while next(kills) < point:
            pass  # each goes on from what the last one left
        with multiprocessing.get_context("fork").Pool(2) as pool:
            published = pool.starmap(_publish, [(run, zoo) for run in (runs[1], runs[2], runs[0], runs[3], runs[1])])
        assert {path.name for path in versions(zoo, "m")} == set(published)
        assert len(set(published)) == 4
        assert len({version.split("-")[0] for version in published}) == 4
        assert History.read(zoo / "m").versions == set(published)
        assert current_version(zoo, "m") == History.read(zoo / "m").last_version
        shutil.rmtree(zoo)
