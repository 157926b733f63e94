"""A folder appears whole or not at all; what a killed process left is gone after the next run, a live one's is not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from traffic_yolo import storage
from traffic_yolo.errors import StorageError
from traffic_yolo.storage import whole_folder

WRITER = """
import os, signal, sys
from pathlib import Path
from traffic_yolo.storage import atomic_folder
with atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("x")
    print("writing", flush=True)
    sys.stdin.readline()
"""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def start_writer(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


def finish(process: "subprocess.Popen[str]") -> int:
    process.communicate("\n")
    return process.returncode


def test_leftovers_of_a_killed_process_go_with_the_next_run(tmp_path: Path) -> None:
    process = start_writer(tmp_path / "out")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(names_in(tmp_path)) == 2
    with storage.atomic_folder(tmp_path / "out") as folder:
        (folder / "whole").write_text("x")
    assert names_in(tmp_path) == ["out"]
    assert names_in(tmp_path / "out") == ["whole"]


def test_folder_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    process = start_writer(tmp_path / "out")
    with pytest.raises(RuntimeError), storage.atomic_folder(tmp_path / "out"):
        raise RuntimeError("only looking")
    assert finish(process) == 0
    assert names_in(tmp_path) == ["out"]
    assert names_in(tmp_path / "out") == ["half"]


def test_files_are_synced_one_by_one_where_the_system_has_no_syncfs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []
    monkeypatch.setattr(whole_folder, "_SYNCFS", None)
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    with storage.atomic_folder(tmp_path / "out") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_text("x")
    assert {path.rpartition(".tmp")[2] for path in synced} >= {"/inner/file", "/inner", ""}


def test_failed_sync_is_an_error_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_folder, "_SYNCFS", lambda _descriptor: -1)
    monkeypatch.setattr(whole_folder.ctypes, "get_errno", lambda: 28)
    with pytest.raises(StorageError, match="disk is full"), storage.atomic_folder(tmp_path / "out"):
        pass
    assert names_in(tmp_path) == []
