"""Runs jobs side by side, each in a forked process that ends with its parent."""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Result = TypeVar("Result")

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def in_processes(jobs: Sequence[Callable[[], Result]]) -> list[Result]:
    """The results of all jobs, in their order. A single job runs in this process.

    What the first job to fail raises is raised here, after the others have been ended. Jobs see the state of this
    process as it is now; open files must not be read by seeking, since their positions are shared. Raises
    `RuntimeError` for a job that ended without a word (killed, out of memory).
    """
    if len(jobs) == 1:
        return [jobs[0]()]
    context = multiprocessing.get_context("fork")
    parent = os.getpid()
    started = []
    for job in jobs:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(job, sender, parent))
        process.start()
        sender.close()
        started.append((process, receiver))
    results: dict[int, Result] = {}
    try:
        places: dict[Any, int] = {receiver: index for index, (_, receiver) in enumerate(started)}
        while places:
            for ready in wait(list(places)):
                index = places.pop(ready)
                results[index] = _received(ready, started[index][0])
    finally:
        for process, receiver in started:
            if process.is_alive():
                process.terminate()
            process.join()
            receiver.close()
    return [results[index] for index in range(len(jobs))]


def _received(receiver: Any, process: Any) -> Any:
    try:
        failed, value = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"a process ended without a word, exit code {process.exitcode} (out of memory?)") from None
    if failed:
        raise value
    return value


def _run(job: Callable[[], Any], sender: "Connection[Any, Any]", parent: int) -> None:
    # Else a killed parent would leave children that write on
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    try:
        result: tuple[bool, Any] = (False, job())
    except Exception as error:
        result = (True, error)
    sender.send(result)
