"""The lock on a run folder, among real processes: refused by name, let go by the dead, never left behind."""

import errno
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from traffic_yolo import process_identity
from traffic_yolo.errors import StorageError, TrainingError
from traffic_yolo.training import run_lock as module
from traffic_yolo.training.run_lock import LOCK_NAME, RECORD_BYTES, is_unused, run_lock

BEAT_S = 0.05
# Holds the lock of sys.argv[1] until its input ends; with "fork", so does a child of it that it leaves behind.
HOLDER = """
import os, sys
from pathlib import Path
from traffic_yolo.training.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    if sys.argv[2] == "fork" and os.fork() == 0:
        os.write(1, b"forked\\n")  # at once, unlike print: two processes write to one pipe
        os.read(0, 1)
        os._exit(0)
    os.write(1, b"held\\n")
    os.read(0, 1)
"""


class Holder:
    """A process that holds the lock of a folder."""

    def __init__(self, folder: Path, how: str = "plain") -> None:
        command = [sys.executable, "-c", HOLDER, folder, how]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        for _ in range(2 if how == "fork" else 1):
            assert self.process.stdout.readline().strip() in ("held", "forked")

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        self.process.stdout.close()

    def kill(self) -> None:
        """A forked child of it lives on, until `let_child_go`."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def let_child_go(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


def record_of(process: dict[str, object], beat: int = 1) -> bytes:
    return json.dumps({**process, "beat": beat}).ljust(RECORD_BYTES - 1).encode() + b"\n"


ELSEWHERE = {"machine": "another boot/1", "host": "node-7", "pid": 12, "started": "5", "since": "yesterday"}


def test_a_second_training_is_told_who_holds_the_folder_and_the_first_goes_on(tmp_path: Path) -> None:
    holder = Holder(tmp_path)
    expected = (
        rf"^{tmp_path}: process {holder.process.pid} on \S+ trains here, since 20.* UTC; wait for it, stop it, or "
    )
    with pytest.raises(TrainingError, match=expected + "choose another folder with --out$"), run_lock(tmp_path):
        pass
    assert (tmp_path / LOCK_NAME).exists()
    holder.end()
    with run_lock(tmp_path):
        pass


def test_the_same_process_cannot_take_it_twice(tmp_path: Path) -> None:
    with run_lock(tmp_path):
        with pytest.raises(TrainingError, match=f"process {os.getpid()} on"), run_lock(tmp_path):
            pass
        with pytest.raises(TrainingError, match=f"process {os.getpid()} on"), run_lock(tmp_path):
            pass


@pytest.mark.parametrize("how", ["plain", "fork"])
def test_a_killed_holder_blocks_nobody_though_a_worker_of_it_lives_on(tmp_path: Path, how: str) -> None:
    holder = Holder(tmp_path, how)
    holder.kill()
    assert (tmp_path / LOCK_NAME).exists()
    with run_lock(tmp_path):  # at once: with the usual beat, watching would take 15 s
        record = json.loads((tmp_path / LOCK_NAME).read_bytes())
        assert record["pid"] == os.getpid()
    holder.let_child_go()


def test_nothing_stays_behind(tmp_path: Path) -> None:
    threads = threading.active_count()
    with run_lock(tmp_path / "new" / "run"):
        assert is_unused(tmp_path / "new" / "run")
    assert not (tmp_path / "new" / "run").exists()
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path / "failed"):
        (tmp_path / "failed" / "history.csv").write_text("")
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "failed").iterdir()] == ["history.csv"]
    assert not is_unused(tmp_path / "failed")
    assert is_unused(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with run_lock(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").is_dir()  # somebody else made it
    assert threading.active_count() == threads


def test_of_many_that_start_at_once_one_gets_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, stop, results = context.Barrier(5), context.Event(), context.SimpleQueue()

    def contend() -> None:
        start.wait()
        try:
            with run_lock(tmp_path):
                results.put("held")
                stop.wait()
        except TrainingError:
            results.put("refused")

    processes = [context.Process(target=contend) for _ in range(5)]
    for process in processes:
        process.start()
    assert sorted(results.get() for _ in processes) == ["held"] + ["refused"] * 4
    stop.set()
    for process in processes:
        process.join()


def test_a_holder_elsewhere_that_moves_is_alive(tmp_path: Path) -> None:
    """As over a mount that keeps flock on one machine: the lock is free here, and yet another node trains."""
    path = tmp_path / LOCK_NAME
    path.write_bytes(record_of(ELSEWHERE))
    ended = threading.Event()

    def beat() -> None:
        number = 1
        while not ended.wait(0.02):
            number += 1
            path.write_bytes(record_of(ELSEWHERE, number))

    other = threading.Thread(target=beat)
    other.start()
    try:
        expected = "process 12 on node-7 trains here, since yesterday"
        with pytest.raises(TrainingError, match=expected), run_lock(tmp_path, beat_s=10):
            pass
    finally:
        ended.set()
        other.join()
    assert path.exists()


@pytest.mark.parametrize("left", [record_of(ELSEWHERE), b"", b"\xff half a rec", b'{"pid": "x"}', b"[1]"])
def test_what_a_dead_process_elsewhere_left_is_taken_over_after_a_while(tmp_path: Path, left: bytes) -> None:
    (tmp_path / LOCK_NAME).write_bytes(left)
    with run_lock(tmp_path, beat_s=BEAT_S):
        assert json.loads((tmp_path / LOCK_NAME).read_bytes())["pid"] == os.getpid()


def test_the_holder_s_record_moves(tmp_path: Path) -> None:
    with run_lock(tmp_path, beat_s=0.001):
        seen = set()
        while len(seen) < 3:
            seen.add(json.loads((tmp_path / LOCK_NAME).read_bytes())["beat"])


def test_without_file_locks_records_tell_trainings_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_lock(tmp_path):
        assert "no file locks here (No locks available)" in caplog.text
        with pytest.raises(TrainingError, match=f"process {os.getpid()} on"), run_lock(tmp_path):
            pass
    gone = {**process_identity.identity(), "started": "1"}  # the number was given again
    (tmp_path / LOCK_NAME).write_bytes(record_of(gone))
    with run_lock(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    expected = "cannot be locked for a training: Not a directory"
    with pytest.raises(StorageError, match=expected), run_lock(tmp_path / "file" / "run"):
        pass


def test_a_lock_file_that_is_taken_away_meanwhile_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder ends between our opening the file and locking it: the lock of a file without a name locks nothing."""
    (tmp_path / LOCK_NAME).write_bytes(b"")
    flock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        (tmp_path / LOCK_NAME).unlink()
        flock(descriptor, operation)

    monkeypatch.setattr(module.fcntl, "flock", late)
    with run_lock(tmp_path), pytest.raises(TrainingError, match="trains here"), run_lock(tmp_path):
        pass
