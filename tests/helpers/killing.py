"""Kill -9 at a chosen point of a real `traffic-yolo` process, so that a test can look at what is left.

For every test folder: `from killing import events_of, run_killed, run_undisturbed` (setup.cfg puts this folder on the
path). A point is a number: the process is killed right before its n-th operation on files or sockets (an audit event of
Python: open, rename, remove, link, mkdir, scandir, ...), so each state of the disk between two operations can be had, and
the same number gives the same point again where the command has one thread. `after_s` kills by the clock instead, which
also hits the middle of a write.

    undisturbed = run_undisturbed(arguments); total = events_of(arguments)
    for at in kill_points(total, number=12, seed=0):
        run_killed(arguments, at=at)    # then: assert that nothing is half-written
        run_undisturbed(arguments)      # then: assert that the result equals the undisturbed one
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from traffic_yolo.errors import StorageError

KILL_AT_VARIABLE = "TRAFFIC_YOLO_TEST_KILL_AT"
COUNT_FILE_VARIABLE = "TRAFFIC_YOLO_TEST_COUNT_FILE"
EVENTS = frozenset(
    ("open", "os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.scandir", "os.listdir",
     "os.chmod", "os.utime", "os.truncate", "fcntl.flock", "sqlite3.connect", "socket.connect", "shutil.rmtree")
)  # fmt: skip
TIMEOUT_S = 300
DONE, REFUSED = 77, 78  # exit codes of `at_each_point`


def run_undisturbed(
    arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs `traffic-yolo <arguments>` to its end; raises with its output where it fails."""
    finished = subprocess.run(
        [sys.executable, "-m", "traffic_yolo.cli", *arguments],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, f"exit code {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
    return finished


def events_of(arguments: Sequence[str], *, count_file: Path, environment: Mapping[str, str] | None = None) -> int:
    """How many points an undisturbed run has; writes the number to `count_file` on the way."""
    more = {**(environment or {}), COUNT_FILE_VARIABLE: str(count_file)}
    finished = subprocess.run(
        _command(arguments), env={**os.environ, **more}, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return int(count_file.read_text())


def kill_points(total: int, *, number: int, seed: int) -> list[int]:
    """`number` points of a run with `total` of them, in order: the first, the last, and others at random."""
    inner = random.Random(seed).sample(range(2, max(total, 3)), min(max(number - 2, 0), max(total - 2, 0)))
    return sorted({1, total, *inner})


def run_killed(
    arguments: Sequence[str],
    *,
    at: int | None = None,
    after_s: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> bool:
    """Runs the command and kills it (and its children) at a point, or after some seconds; False: it was done before."""
    more = {**(environment or {}), **({} if at is None else {KILL_AT_VARIABLE: str(at)})}
    process = subprocess.Popen(
        _command(arguments),
        env={**os.environ, **more},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(timeout=TIMEOUT_S if after_s is None else after_s)
    except subprocess.TimeoutExpired:
        if after_s is None:
            raise
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode == -signal.SIGKILL


def seconds_of(arguments: Sequence[str], *, environment: Mapping[str, str] | None = None) -> float:
    """How long an undisturbed run takes, for choosing `after_s`."""
    started = time.monotonic()
    run_undisturbed(arguments, environment=environment)
    return time.monotonic() - started


def at_each_point(
    function: Callable[[], object], *, below: Path | None = None, full: bool = False, step: int = 1
) -> Iterator[int]:
    """Runs a function in a forked process that is killed right before its n-th operation, for n = 1, 2, ... to the end.

    With `step`, only every so many operations.

    The operations are those on files below a folder or, without `below`, what is sent to an HTTP server: the head and
    the body of each request. Yields n each time, when the process has ended; the last time, it came to its end
    undisturbed. With `full`, the disk is full from that point on instead (no file may grow), and the function must
    raise `StorageError` or end well.
    """
    at = 1 - step
    while True:
        at += step
        process = os.fork()
        if process == 0:
            _forked(function, at, below, full)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        assert code in (0, -signal.SIGKILL, REFUSED, DONE), f"point {at}: exit code {code}"
        yield at
        if code == DONE:
            return


def _forked(function: Callable[[], object], at: int, below: Path | None, full: bool) -> None:
    seen = 0

    def counts(event: str, arguments: tuple[object, ...]) -> bool:
        if below is None:
            return event == "http.client.send"
        path = arguments[0] if event in EVENTS and arguments else None
        return isinstance(path, str | os.PathLike) and Path(path).is_relative_to(below)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if counts(event, arguments):
            seen += 1
            if seen == at and full:
                resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
            elif seen == at:
                os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        sys.addaudithook(hook)
        function()
        code = DONE if seen < at else 0
    except StorageError as error:
        code = REFUSED if full and "\n" not in str(error) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, __file__, *arguments]


def _is_import(arguments: tuple[object, ...]) -> bool:
    """Whether an event is Python loading its own files."""
    text = os.fsdecode(arguments[0]) if arguments and isinstance(arguments[0], str | bytes) else ""
    return text.endswith((".py", ".pyc", ".so", ".pth")) or text.startswith(
        (sys.prefix, sys.base_prefix, "/usr", "/proc")
    )


def _main() -> None:
    from traffic_yolo.cli import main

    limit, seen = int(os.environ.get(KILL_AT_VARIABLE, 0)), 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event in EVENTS and not _is_import(arguments):
            seen += 1
            if seen == limit:
                os.killpg(0, signal.SIGKILL) if os.getpgid(0) == os.getpid() else os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    try:
        main(sys.argv[1:])
    finally:
        if name := os.environ.get(COUNT_FILE_VARIABLE):
            count = seen
            Path(name).write_text(str(count))


if __name__ == "__main__":
    sys.path.remove(os.path.dirname(os.path.abspath(__file__)))  # helpers must not hide real modules here
    _main()
