"""Jobs side by side: their results in order, the first failure, no child left behind."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from traffic_yolo.errors import LabelError
from traffic_yolo.processes import in_processes


def square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def fail(text: str) -> int:
    raise LabelError(text)


def test_results_come_in_the_order_of_the_jobs_from_processes_of_their_own() -> None:
    results = in_processes([partial(square, number) for number in range(4)])
    assert [value for value, _ in results] == [0, 1, 4, 9]
    assert len({process for _, process in results} | {os.getpid()}) == 5


def test_a_single_job_runs_here() -> None:
    assert in_processes([partial(square, 3)]) == [(9, os.getpid())]


def test_failure_of_a_job_is_raised_as_it_was_and_ends_the_others() -> None:
    started = time.monotonic()
    with pytest.raises(LabelError, match=r"^a\.xml line 3$"):
        in_processes([partial(time.sleep, 600), partial(fail, "a.xml line 3")])
    assert time.monotonic() - started < 300


def test_a_job_that_is_killed_is_said() -> None:
    with pytest.raises(RuntimeError, match="exit code -9"):
        in_processes([partial(square, 1), lambda: os.kill(os.getpid(), signal.SIGKILL)])


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from traffic_yolo.processes import in_processes\n"
        "def job(): Path(sys.argv[1], str(os.getpid())).touch(); time.sleep(600)\n"
        "in_processes([job, job])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    deadline = time.monotonic() + 300
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    children = [int(path.name) for path in tmp_path.iterdir()]
    assert len(children) == 2
    parent.kill()
    parent.wait()
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    for child in children:
        state = Path(f"/proc/{child}/stat")
        assert not state.exists() or ") Z " in state.read_text()
