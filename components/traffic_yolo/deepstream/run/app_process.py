"""Runs deepstream-app as a process group of its own, with a time limit, and keeps what it prints."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from traffic_yolo.errors import ModelError, OptionsError
from traffic_yolo.terminations import terminations_raised

GRACE_S = 5.0  # between SIGTERM and SIGKILL


def find_app(name: str) -> str:
    """The program's path; `OptionsError` where there is none, `name` being a name on the PATH or a path."""
    found = shutil.which(name)
    if found is None:
        raise OptionsError(
            f"deepstream_app: {name} is no program on the PATH; run this in the DeepStream image "
            f"(docker/deepstream), or name the program's path"
        )
    return found


def run_app(program: str, config: str, folder: Path, log: Path, *, timeout_s: float) -> int:
    """Runs `program -c config` in `folder`, its output into `log`; the exit code, negative for a signal's number.

    Raises `ModelError` where it takes longer than `timeout_s` seconds: the whole group is ended, as it is where this
    program is interrupted or terminated.
    """
    with log.open("ab") as file, terminations_raised():
        process = subprocess.Popen(
            [program, "-c", config],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
        with _ended(process):
            try:
                return process.wait(timeout_s)
            except subprocess.TimeoutExpired as error:
                raise ModelError(
                    f"deepstream-app took longer than {timeout_s / 60:g} minutes and was ended; the first start builds "
                    f"the engine: raise --timeout-minutes, or give an engine of an earlier run (--engine-file)"
                ) from error


@contextlib.contextmanager
def _ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    """Leaves nothing of the process group behind, however the block ends."""
    try:
        yield
    finally:
        _signal(process.pid, signal.SIGTERM if process.poll() is None else signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        _signal(process.pid, signal.SIGKILL)
        process.wait()


def _signal(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
