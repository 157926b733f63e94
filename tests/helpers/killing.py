"""Kill -9 at a chosen point of `traffic-yolo`, so that a test can look at what is left.

For every test folder: `from killing import events_of, run_killed, run_undisturbed` (setup.cfg puts this folder on the
path). The command runs in a fork of the test's process, which has loaded the program: a fifth of the time of an
interpreter of its own, and killed it leaves the same. A point is a number: the process is killed right before its n-th
operation on files or sockets (an audit event of Python: open, rename, remove, link, mkdir, scandir, ...), so each state
of the disk between two operations can be had, and the same number gives the same point again where the command has one
thread. `after_s` kills by the clock instead, which also hits the middle of a write.

    undisturbed = run_undisturbed(arguments); total = events_of(arguments)
    for at in kill_points(total, number=12, seed=0):
        run_killed(arguments, at=at)    # then: assert that nothing is half-written
        run_undisturbed(arguments)      # then: assert that the result equals the undisturbed one
"""

import contextlib
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from traffic_yolo import processors
from traffic_yolo.cli import main
from traffic_yolo.errors import StorageError

EVENTS = frozenset(
    ("open", "os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.scandir", "os.listdir",
     "os.chmod", "os.utime", "os.truncate", "fcntl.flock", "sqlite3.connect", "socket.connect", "shutil.rmtree")
)  # fmt: skip
TIMEOUT_S = 300
DONE, REFUSED = 77, 78  # exit codes of `at_each_point`


def run_undisturbed(arguments: Sequence[str]) -> str:
    """Runs `traffic-yolo <arguments>` to its end; its output. Raises with that where it fails."""
    code, printed = _ended(arguments)
    assert code == 0, f"exit code {code}\n{printed}"
    return printed


def events_of(arguments: Sequence[str]) -> int:
    """How many points an undisturbed run has."""
    code, printed = _ended(arguments, count=True)
    assert code == 0, f"exit code {code}\n{printed}"
    return int(printed.rpartition("\n")[2])


def kill_points(total: int, *, number: int, seed: int) -> list[int]:
    """`number` points of a run with `total` of them, in order: the first, the last, and others at random."""
    inner = random.Random(seed).sample(range(2, max(total, 3)), min(max(number - 2, 0), max(total - 2, 0)))
    return sorted({1, total, *inner})


def run_killed(arguments: Sequence[str], *, at: int = 0, after_s: float | None = None) -> bool:
    """Runs the command and kills it (and its children) at a point, or after some seconds; False: it was done before."""
    return _ended(arguments, at=at, after_s=after_s)[0] == -signal.SIGKILL


def seconds_of(arguments: Sequence[str]) -> float:
    """How long an undisturbed run takes, for choosing `after_s`."""
    started = time.monotonic()
    run_undisturbed(arguments)
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


def _ended(
    arguments: Sequence[str], *, at: int = 0, after_s: float | None = None, count: bool = False
) -> tuple[int, str]:
    """Exit code (a signal is negative) and output of a command in a fork; with `count`, its points on the last line."""
    with tempfile.TemporaryFile() as output:
        process = os.fork()
        if process == 0:
            _run_command(arguments, at, count, output.fileno())
        deadline = time.monotonic() + (TIMEOUT_S if after_s is None else after_s)
        while (status := os.waitpid(process, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.005)
        if status == (0, 0):
            with contextlib.suppress(ProcessLookupError):  # it may not lead its group yet, or have ended just now
                os.killpg(process, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            status = os.waitpid(process, 0)
            output.seek(0)
            assert after_s is not None, f"not done after {TIMEOUT_S} s\n{output.read().decode()}"
        output.seek(0)
        return os.waitstatus_to_exitcode(status[1]), output.read().decode(errors="replace")


def _run_command(arguments: Sequence[str], at: int, count: bool, output: int) -> NoReturn:
    """What the fork does: the command in a group of its own, killed right before its operation `at` (0: never)."""
    code, seen = 1, 0

    def hook(event: str, of: tuple[object, ...]) -> None:
        nonlocal seen
        if event in EVENTS and not _is_import(of):
            seen += 1
            if seen == at:
                os.killpg(0, signal.SIGKILL) if os.getpgid(0) == os.getpid() else os.kill(os.getpid(), signal.SIGKILL)

    try:
        os.setsid()
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w", closefd=False)
        processors.limit_threads = lambda: None  # OpenCV would wait for its threads, which a fork has not
        sys.addaudithook(hook)
        main(list(arguments))
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        if count:
            print(f"\n{seen}", end="")
        sys.stdout.flush()
        os._exit(code)


def _is_import(arguments: tuple[object, ...]) -> bool:
    """Whether an event is Python loading its own files."""
    text = os.fsdecode(arguments[0]) if arguments and isinstance(arguments[0], str | bytes) else ""
    return text.endswith((".py", ".pyc", ".so", ".pth")) or text.startswith(
        (sys.prefix, sys.base_prefix, "/usr", "/proc")
    )
