"""The lease: one holder at a time among real processes, taken over after a kill, and never given twice."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from traffic_yolo import process_identity
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.storage import lease as module
from traffic_yolo.storage.lease import LeaseTiming, acquire, lease, newest_generation

FAST = LeaseTiming(renew_s=0.05, expiry_s=0.6, poll_s=0.02)
PATIENT = LeaseTiming(renew_s=0.05, expiry_s=600, poll_s=0.02)  # a busy machine may stop a holder for a second
# Holds the lease of sys.argv[1] and writes a line into sys.argv[2] on entering and on leaving.
WORKER = """
import sys, time
from pathlib import Path
from traffic_yolo.storage.lease import LeaseTiming, lease
timing = LeaseTiming(0.05, float(sys.argv[3]), 0.02)
with lease(Path(sys.argv[1]), timing, unless=lambda: False) as held:
    with open(sys.argv[2], "a") as log:
        log.write(f"in {held.generation}\\n"); log.flush()
        time.sleep(float(sys.argv[4]))
        log.write(f"out {held.generation}\\n")
"""


def worker(folder: Path, log: Path, *, seconds: float, expiry: float = 600.0) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WORKER, folder, log, str(expiry), str(seconds)])


def wait_until(condition: Callable[[], bool], seconds: float = 300.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def never() -> bool:
    return False


def test_processes_hold_it_one_after_the_other(tmp_path: Path) -> None:
    log = tmp_path / "log"
    workers = [worker(tmp_path / "lease", log, seconds=0.1) for _ in range(4)]
    assert [process.wait(300) for process in workers] == [0] * 4
    lines = log.read_text().splitlines()
    assert lines == [f"{what} {number}" for number in (1, 2, 3, 4) for what in ("in", "out")]


def test_a_holder_killed_on_this_machine_is_replaced_at_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    killed = worker(tmp_path / "lease", log, seconds=600)
    wait_until(lambda: log.exists() and "in 1" in log.read_text())
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    started = time.monotonic()
    with lease(tmp_path / "lease", PATIENT, unless=never) as held:
        assert held is not None
        assert held.generation == 2
    assert time.monotonic() - started < 300  # not the 600 s of the expiry


def test_a_silent_holder_elsewhere_is_replaced_after_the_expiry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "lease"
    monkeypatch.setattr(process_identity, "machine", lambda: "another machine")
    monkeypatch.setattr(module.Lease, "_renew", lambda _self: None)  # it has stopped, without a word
    first = acquire(folder, FAST, unless=never)
    assert first is not None
    monkeypatch.undo()
    second = acquire(folder, FAST, unless=never)
    assert second is not None
    assert (first.generation, second.generation, newest_generation(folder)) == (1, 2, 2)
    second.release()


def test_a_holder_that_renews_is_left_alone_however_long_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock of the test's own, on which the holder renews in the waiter's pauses."""
    folder, now, renewals = tmp_path / "lease", [0.0], [0]
    monkeypatch.setattr(module.Lease, "_renew", lambda _self: None)
    held = acquire(folder, FAST, unless=never)
    assert held is not None

    def pause(seconds: float) -> None:
        now[0] += seconds
        if now[0] >= FAST.renew_s * (renewals[0] + 1):
            renewals[0] += 1
            held._write("held")

    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=pause))
    assert acquire(folder, FAST, unless=lambda: now[0] > 3 * FAST.expiry_s) is None
    assert renewals[0] > 30
    assert newest_generation(folder) == held.generation
    monkeypatch.setattr(held, "_write", lambda _state: None)  # from now on it is silent
    second = acquire(folder, FAST, unless=lambda: now[0] > 9 * FAST.expiry_s)
    assert second is not None
    assert now[0] == pytest.approx(4 * FAST.expiry_s, abs=0.1)
    assert newest_generation(folder) == second.generation == held.generation + 1
    second.release()
    held.release()


def test_a_holder_is_left_alone_up_to_the_expiry_and_not_beyond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent holder of another machine, on a clock of the test's own that moves in the waiter's pauses alone."""
    folder, now = tmp_path / "lease", [0.0]
    monkeypatch.setattr(process_identity, "machine", lambda: "another machine")
    monkeypatch.setattr(module.Lease, "_renew", lambda _self: None)
    assert acquire(folder, FAST, unless=never) is not None
    monkeypatch.setattr(process_identity, "machine", lambda: "this machine")
    pauses = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(module, "time", pauses)
    second = acquire(folder, FAST, unless=lambda: now[0] > 9 * FAST.expiry_s)
    assert second is not None
    assert second.generation == 2
    assert FAST.expiry_s <= now[0] < FAST.expiry_s + 2 * FAST.poll_s


def record(**changes: object) -> bytes:
    """What this process would write as a holder, with changes."""
    return json.dumps({"state": "held", "beat": 1, **process_identity.identity(), **changes}).encode()


def test_a_process_number_that_another_process_has_now_is_no_holder(tmp_path: Path) -> None:
    assert not module._is_free(record())
    assert module._is_free(record(state="free"))
    assert module._is_free(record(started="1"))  # same number, started at another time
    assert not module._is_free(record(machine="another machine", started="1"))  # nobody can tell from here
    (tmp_path / "1").write_bytes(record(started="1"))
    with lease(tmp_path, PATIENT, unless=never) as held:
        assert held is not None
        assert held.generation == 2


def test_a_process_that_ended_and_is_not_yet_waited_for_is_no_holder() -> None:
    ended = subprocess.Popen(["true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays as a zombie
    try:
        assert Path(f"/proc/{ended.pid}/stat").exists()
        assert process_identity.started(ended.pid) == ""
        assert module._is_free(record(pid=ended.pid, started=str(10**9)))
    finally:
        ended.wait()
    assert process_identity.started(ended.pid) == ""


def test_a_link_whose_answer_was_lost_is_a_lease_that_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over NFS the request is sent again, and the second one finds the first one's file."""
    link = os.link

    def link_and_lose_the_answer(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", link_and_lose_the_answer)
    with lease(tmp_path / "lease", FAST, unless=lambda: (tmp_path / "lease" / "2").exists()) as held:
        assert held is not None
        assert held.generation == 1
    assert [path.name for path in (tmp_path / "lease").iterdir()] == ["1"]


def test_who_loses_the_race_for_a_generation_waits_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, others = os.link, []

    def lose_once(source: Path, target: Path) -> None:
        if not others:
            others.append(target)
            target.write_bytes(record(state="free"))
        link(source, target)

    monkeypatch.setattr(os, "link", lose_once)
    with lease(tmp_path / "lease", PATIENT, unless=never) as held:
        assert held is not None
        assert held.generation == 2


def test_who_waits_stops_as_soon_as_the_work_is_done(tmp_path: Path) -> None:
    held = acquire(tmp_path / "lease", PATIENT, unless=never)
    assert held is not None
    done = threading.Event()
    threading.Timer(0.2, done.set).start()
    with lease(tmp_path / "lease", PATIENT, unless=done.is_set) as waited:
        assert waited is None
    held.release()
    assert newest_generation(tmp_path / "lease") == 1


def test_file_systems_without_hard_links_are_served_by_exclusive_creation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_keywords: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    for generation in (1, 2):
        with lease(tmp_path / "lease", FAST, unless=never) as held:
            assert held is not None
            assert held.generation == generation
    assert sorted(path.name for path in (tmp_path / "lease").iterdir()) == ["1", "2"]


def test_a_record_that_is_no_record_is_waited_out(tmp_path: Path) -> None:
    (tmp_path / "lease").mkdir()
    (tmp_path / "lease" / "7").write_bytes(b"\xff half a rec")
    with lease(tmp_path / "lease", FAST, unless=never) as held:
        assert held is not None
        assert held.generation == 8


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(StorageError, match="no lease can be kept here"),
        lease(tmp_path / "file" / "x", FAST, unless=never),
    ):
        pass


@pytest.mark.parametrize("numbers", [(0.0, 1.0, 0.1), (1.0, 2.0, 0.1), (0.1, 1.0, 0.2), (-1.0, 1.0, -2.0)])
def test_timings_that_could_lose_a_healthy_holder_are_refused(numbers: tuple[float, float, float]) -> None:
    with pytest.raises(OptionsError, match="lease: expected 0 < poll <= renew <= a third of expiry"):
        LeaseTiming(*numbers)


@pytest.mark.parametrize("expiry", [0.3, 6, 60, 3600])
def test_a_timing_made_for_an_expiry_is_one(expiry: float) -> None:
    assert LeaseTiming.of_expiry(expiry).expiry_s == expiry
