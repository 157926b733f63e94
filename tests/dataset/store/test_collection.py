"""What a collection takes and what stays; every order of a reader's and a collector's steps; readers that are killed."""

import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from killing import at_each_point

from traffic_yolo import process_identity
from traffic_yolo.cli import main
from traffic_yolo.dataset.store import collection, reading_lease
from traffic_yolo.dataset.store.collection import Collection, Fate
from traffic_yolo.dataset.store.data_store import DataStore
from traffic_yolo.dataset.store.reading_lease import EXPIRY_S, LEASES_NAME, MARK_NAME, live_lease, marked, take
from traffic_yolo.errors import StorageError

SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"
NAME, OTHER = "a" * 64, "b" * 64
READER = """
import sys, time
from pathlib import Path
from traffic_yolo.dataset.store.reading_lease import hold
hold(Path(sys.argv[1]), sys.argv[2])
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with two data sets that nobody has read for long."""
    for name in (NAME, OTHER):
        (tmp_path / "store" / name / "images").mkdir(parents=True)
        (tmp_path / "store" / name / "images" / "a.jpg").write_bytes(b"picture")
    (tmp_path / "store" / LEASES_NAME).mkdir()
    return tmp_path / "store"


def fates(root: Path, **spared: str) -> dict[str, str]:
    found = Collection(DataStore(str(root)), {NAME: spared[NAME]} if NAME in spared else {}, 0.0).fates()
    return {fate.fingerprint: fate.stays for fate in found}


def collect(root: Path, older_than_s: float = 0.0) -> dict[str, Fate]:
    return {fate.fingerprint: fate for fate in Collection(DataStore(str(root)), {}, older_than_s).collect()}


def kept(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if not path.name.startswith(".")}


def elsewhere(lease: Path, *, age_s: float) -> Path:
    """The lease as one of another machine, last touched so long ago."""
    record = json.loads(lease.read_bytes())
    lease.write_text(json.dumps({**record, "machine": "another", "host": "pod-7", "task": "train"}))
    os.utime(lease, (lease.stat().st_mtime - age_s,) * 2)
    return lease


def test_what_is_read_published_or_young_stays_and_the_rest_goes(root: Path) -> None:
    elsewhere(take(root, NAME), age_s=EXPIRY_S - 60)
    found = fates(root)
    assert found[NAME].startswith("read by pod-7 (process ")
    assert ", train, since 20" in found[NAME]
    assert found[OTHER] == ""
    assert fates(root, **{NAME: "published as m 0001"})[NAME] == "published as m 0001"
    gone = collect(root, older_than_s=3600)
    assert "less than 0.0416667 days ago" in gone[OTHER].stays
    assert kept(root) == {NAME, OTHER}
    gone = collect(root)
    assert (gone[OTHER].stays, gone[OTHER].size) == ("", len(b"picture"))
    assert kept(root) == {NAME}
    assert {path.name for path in root.iterdir()} == {NAME, LEASES_NAME}


def test_lease_that_was_not_touched_for_a_day_is_dead_by_the_server_s_clock_alone(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = elsewhere(take(root, NAME), age_s=EXPIRY_S + 60)
    assert fates(root)[NAME] == ""
    reading_lease.renew(lease)
    assert fates(root)[NAME].startswith("read by pod-7")
    monkeypatch.setattr("time.time", lambda: 4e9)  # a clock of this machine that is wrong
    assert fates(root)[NAME].startswith("read by pod-7")
    lease.unlink()
    reading_lease.renew(lease)  # which somebody had removed
    assert fates(root)[NAME].startswith("read by ")


def test_reading_moves_the_last_use(root: Path) -> None:
    for path in (root / NAME, root / OTHER):
        os.utime(path, (1e9, 1e9))
    take(root, NAME).unlink()
    gone = collect(root, older_than_s=24 * 3600)
    assert gone[NAME].stays
    assert gone[OTHER].text == f"{OTHER[:12]} (0.000 GB) goes: last used on 2001-09-09"


@pytest.mark.parametrize("end", ["ends", "is killed"])
def test_lease_of_a_process_lives_as_long_as_the_process(root: Path, end: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", READER, str(root), NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert f"(process {process.pid}" in collect(root)[NAME].stays
    if end == "is killed":
        process.send_signal(signal.SIGKILL)
    process.communicate("\n")
    assert len(list((root / LEASES_NAME / NAME).iterdir())) == (end == "is killed")
    assert collect(root)[NAME].stays == ""
    assert list((root / LEASES_NAME / NAME).iterdir()) == []


class Turns:
    """Lets two threads do their operations in a given order, one at a time; what the order does not say is free."""

    def __init__(self, order: str) -> None:
        self._order = list(order)
        self._ended: set[str] = set()
        self._turn = threading.Condition(threading.RLock())
        self._who = threading.local()

    def run(self, who: str, function: Callable[[], object]) -> object:
        self._who.name = who
        try:
            return function()
        finally:
            with self._turn:
                self._ended.add(who)
                self._turn.notify_all()

    def wrapped(self, function: Callable[..., object]) -> Callable[..., object]:
        def call(*given: object, **named: object) -> object:
            with self._turn:
                who = getattr(self._who, "name", "")
                while who and self._next() not in ("", who):
                    assert self._turn.wait(20)
                if who and self._order:
                    self._order.pop(0)
                try:
                    return function(*given, **named)
                finally:
                    self._turn.notify_all()

        return call

    def _next(self) -> str:
        while self._order and self._order[0] in self._ended:
            self._order.pop(0)
        return self._order[0] if self._order else ""


ORDERS = ["".join("R" if place in chosen else "C" for place in range(12)) for chosen in
          itertools.combinations(range(12), 3)]  # fmt: skip


@pytest.mark.long
def test_no_order_of_steps_takes_a_data_set_from_a_reader_that_has_seen_it(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1 to R3 of `reading_lease` between the nine looks and writes of a collection up to C5, in all 220 orders."""
    monkeypatch.setattr(reading_lease, "POLL_S", 0.0005)
    spare = root.parent / "spare"
    shutil.copytree(root / NAME, spare)
    shutil.rmtree(root / OTHER)
    outcomes = set()
    for order in ORDERS:
        shutil.rmtree(root / LEASES_NAME)
        (root / LEASES_NAME).mkdir()
        if not (root / NAME).exists():
            shutil.copytree(spare, root / NAME)
        turns = Turns(order)

        def read() -> bool:
            take(root, NAME)
            return reading_lease.is_there(root / NAME)

        with monkeypatch.context() as patch, ThreadPoolExecutor(2) as threads:
            for module, names in ((reading_lease, ("_write", "_mark_in", "is_there")), (collection, ("live_lease",))):
                for name in names:
                    patch.setattr(module, name, turns.wrapped(getattr(module, name)))
            patch.setattr(collection.os, "rename", turns.wrapped(os.rename))
            reader = threads.submit(turns.run, "R", read)
            collector = threads.submit(turns.run, "C", lambda: collect(root)[NAME])
            seen, fate = reader.result(30), collector.result(30)
        assert isinstance(fate, Fate)
        assert (root / NAME).is_dir() == bool(fate.stays) == seen, order
        assert not seen or (root / NAME / "images" / "a.jpg").read_bytes() == b"picture"
        assert not (root / LEASES_NAME / NAME / MARK_NAME).exists()
        assert kept(root) | {LEASES_NAME} == {path.name for path in root.iterdir()}, order
        outcomes.add(bool(fate.stays))
    assert outcomes == {True, False}


def test_lease_that_comes_while_the_data_set_is_away_brings_it_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector whose mark was taken away in the moment between its last look at it and the renaming."""
    rename, stopped = os.rename, []

    def paused(source: Path, target: Path) -> None:
        if not stopped:
            (root / LEASES_NAME / NAME / MARK_NAME).unlink()
            stopped.append(elsewhere(take(root, NAME), age_s=0))
        rename(source, target)

    monkeypatch.setattr(collection.os, "rename", paused)
    assert collect(root)[NAME].stays.startswith("read by pod-7")
    assert kept(root) == {NAME}


def test_collector_whose_mark_was_taken_away_leaves_the_data_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = live_lease

    def stopped(where: Path, name: str, *, now_s: float) -> str:
        (where / LEASES_NAME / name / MARK_NAME).unlink(missing_ok=True)
        return real(where, name, now_s=now_s)

    monkeypatch.setattr(collection, "live_lease", stopped)
    assert {fate.stays for fate in collect(root).values()} == {"another collection is at work on it"}
    assert kept(root) == {NAME, OTHER}


def test_reader_waits_for_a_collector_and_takes_the_mark_of_one_that_is_dead(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases = root / LEASES_NAME / NAME
    with marked(root, NAME) as mark:
        assert mark is not None
        assert collect(root)[NAME].stays == "another collection is at work on it"
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(take, root, NAME)
            while not any(name.endswith(".json") for name in os.listdir(leases)):
                pass
            assert not waiting.done()
            (leases / MARK_NAME).unlink()
            waiting.result(20).unlink()
    dead = {"machine": process_identity.machine(), "host": "here", "pid": 0, "started": "never"}
    (leases / MARK_NAME).write_text(json.dumps(dead))
    take(root, NAME).unlink()
    assert not (leases / MARK_NAME).exists()
    (leases / MARK_NAME).write_text(json.dumps({**dead, "machine": "another"}))
    monkeypatch.setattr(reading_lease, "PATIENCE_S", 0.05)
    take(root, NAME)
    assert not (leases / MARK_NAME).exists()


@pytest.mark.long
def test_collection_killed_at_any_point_is_finished_by_the_next(root: Path) -> None:
    spare = shutil.copytree(root, root.parent / "spare")
    for _ in at_each_point(lambda: collect(root), below=root, step=1 if SLOW else 4):
        for name in kept(root):
            assert (root / name / "images" / "a.jpg").read_bytes() == b"picture"
        take(root, NAME).unlink()  # a reader does not hang on what is left
        left = kept(root)
        assert {name: fate.stays for name, fate in collect(root).items()} == dict.fromkeys(left, "")
        assert {path.name for path in root.iterdir()} == {LEASES_NAME}
        shutil.rmtree(root)
        shutil.copytree(spare, root)


def test_store_that_cannot_be_written_is_read_without_a_lease(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_only(path: Path) -> bytes:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(reading_lease, "_write", read_only)
    with caplog.at_level(logging.WARNING):
        assert DataStore(str(root)).held(NAME) == root / NAME
        assert DataStore(str(root)).held(NAME) == root / NAME
    assert [record.getMessage() for record in caplog.records] == [
        f"{root / LEASES_NAME / NAME}: no lease can be kept here (Read-only file system): `storage gc` does not see that "
        f"{NAME[:12]} is being read"
    ]

    def full(path: Path) -> bytes:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(reading_lease, "_write", full)
    with pytest.raises(StorageError, match="no lease can be kept here: No space left on device"):
        DataStore(str(root)).held(OTHER)


@pytest.fixture
def gc(root: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs `storage gc --data-store ROOT <arguments>`, asserts the exit code, and gives what was printed."""

    def run(*arguments: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["storage", "gc", "--data-store", str(root), *arguments])
        printed = capsys.readouterr()
        assert ended.value.code == code, printed.err
        if code:
            assert printed.err.startswith("error: ")
            assert printed.err.count("\n") == 1
        return printed.err if code else printed.out

    return run


def test_command_says_what_goes_and_takes_it_without_dry_run(gc: Callable[..., str], root: Path) -> None:
    lease = elsewhere(take(root, NAME), age_s=0)
    printed = gc("--no-zoo", "--older-than", "0d", "--dry-run")
    assert f"{NAME[:12]} stays: read by pod-7 (process " in printed
    assert f"{OTHER[:12]} (0.000 GB) goes: last used on 20" in printed
    assert printed.endswith("1 data sets, 0.000 GB would go\n")
    assert kept(root) == {NAME, OTHER}
    assert "0 data sets, 0.000 GB went" in gc("--no-zoo")  # of 30 days
    assert gc("--no-zoo", "--older-than", "0h").endswith("1 data sets, 0.000 GB went\n")
    assert kept(root) == {NAME}
    assert lease.exists()


def test_command_refuses_what_makes_no_sense(gc: Callable[..., str], root: Path, tmp_path: Path) -> None:
    assert "give each --zoo whose models were made of these data sets, or --no-zoo; found neither" in gc(code=2)
    assert "found both" in gc("--no-zoo", "--zoo", str(tmp_path), code=2)
    for text in ("30", "d", "-1d", "1.5d", "30m", "1000000d", "²d"):
        assert "--older-than: expected days or hours, such as 30d" in gc("--no-zoo", "--older-than", text, code=2)
    assert "model zoo not found" in gc("--zoo", str(tmp_path / "none"), code=2)
    root.rename(root.with_name("elsewhere"))
    assert "data store not found" in gc("--no-zoo", code=2)
    assert not root.exists()
