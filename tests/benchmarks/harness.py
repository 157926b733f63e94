"""How benchmarks measure: rivals interleaved in one run, medians, peak memory of a child process, one table of ratios.

A benchmark is a file `bench_<topic>.py` in this folder with a function `rows()` that yields `Row`s. `run.py` runs them.
"""

import gc
import multiprocessing
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Work = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Seconds of one rival: `median_s` over `repeats` runs, `best_s` the shortest, `worst_s` the longest."""

    median_s: float
    best_s: float
    worst_s: float
    repeats: int


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, and how it stands to its target.

    `value` and `unit` are ours; `peer` says what it is set against and with which figure. `ratio` is the number that
    `target` speaks of ("at most 1.5", "at least 1.7"); both are None where a figure is for information alone.
    """

    topic: str
    what: str
    value: float
    unit: str
    peer: str = ""
    ratio: float | None = None
    target: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the ratio keeps its target; None without one. Raises `ValueError` for a target of another form."""
        if self.ratio is None or not self.target:
            return None
        kind, _, limit = self.target.rpartition(" ")
        if kind == "at most":
            return self.ratio <= float(limit)
        if kind == "at least":
            return self.ratio >= float(limit)
        raise ValueError(f"target {self.target!r}: expected 'at most N' or 'at least N'")


def interleaved(
    rivals: Mapping[str, Work],
    *,
    repeats: int = 7,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Times every rival in turn, `repeats` rounds, so that a drift of the machine meets all of them alike.

    The garbage collector rests while a rival runs. `warm_up` rounds are not counted. `clock` gives seconds:
    `time.process_time` for work in one thread, which other programs then do not lengthen by taking turns with it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for turn in range(warm_up + repeats):
        for name, work in rivals.items():
            gc.collect()
            gc.disable()
            try:
                start = clock()
                work()
                elapsed = clock() - start
            finally:
                gc.enable()
            if turn >= warm_up:
                seconds[name].append(elapsed)
    return {
        name: Timing(statistics.median(values), min(values), max(values), repeats) for name, values in seconds.items()
    }


def processor_seconds() -> float:
    """Processor time of this process, all of its threads, and of its children that have ended."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system


def peak_memory_mib(work: Work) -> float:
    """MiB by which the peak of resident memory grows while `work()` runs, in a forked child of its own.

    Not for what PyTorch computes: its threads are not there in a child, which waits for them for ever (`step_memory`).
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)

    def child() -> None:
        before = resident_mib()
        work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        sender.send(max(0.0, peak - before))

    process = context.Process(target=child)
    process.start()
    sender.close()
    try:
        return float(receiver.recv())
    except EOFError as error:
        process.join()
        raise RuntimeError(f"the measured work failed in its child process (exit code {process.exitcode})") from error
    finally:
        process.join()


def resident_mib() -> float:
    """Resident memory of this process now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def machine() -> str:
    """One line about the machine, for the head of the table: processor, cores, Python."""
    name = platform.processor() or platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| topic | what | ours | against | ratio | target | |", "|---|---|---:|---|---:|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        verdict = {True: "holds", False: "MISSED", None: ""}[row.holds]
        ours = f"{row.value:.4g} {row.unit}"
        lines.append(f"| {row.topic} | {row.what} | {ours} | {row.peer} | {ratio} | {row.target} | {verdict} |")
    return "\n".join(lines)
