"""How many processors a process may use, and the threads of every library held to it.

A container's CPU limit is a quota of its control group: the scheduler stops its processes for the rest of each period,
but the kernel goes on telling them of all the machine's cores, and so do `os.cpu_count` and the affinity. A library
that counts those starts 64 threads in a pod of 2 processors, which then wait for one another.
"""

import math
import os
import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

from traffic_yolo.errors import OptionsError

THREADS_VARIABLE = "TRAFFIC_YOLO_THREADS"
# What OpenMP (so torch and oneDNN), OpenBLAS, OpenCV and numba take their number of threads from when they are loaded;
# onnxruntime and OpenVINO are given torch's (darknet/runtimes). OpenBLAS falls back on OMP_NUM_THREADS.
LIBRARY_VARIABLES = ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "NUMBA_NUM_THREADS")
_MOUNT = re.compile(r"^\S+ \S+ \S+ (?P<root>\S+) (?P<place>\S+) .* - (?P<kind>cgroup2?) \S+ (?P<options>\S+)$")


def processors() -> int:
    """How many processors this process may use: the least of its affinity and its control groups' limits, at least 1.

    `TRAFFIC_YOLO_THREADS` in the environment replaces it; `OptionsError` where that is no whole number of 1 or more.
    """
    wanted = os.environ.get(THREADS_VARIABLE, "")
    if wanted:
        if not wanted.isdecimal() or not int(wanted):
            raise OptionsError(f"{THREADS_VARIABLE}: expected a whole number of 1 or more, found {wanted[:80]!r}")
        return int(wanted)
    affinity = len(os.sched_getaffinity(0))
    limit = _limit_of_this_process()
    return affinity if limit is None else max(1, min(affinity, math.ceil(limit)))


def threads() -> int:
    """How many threads a library may run in this process.

    `TRAFFIC_YOLO_THREADS`, else `OMP_NUM_THREADS`, else `processors()`, shared by the processes of `torchrun` on this
    machine (LOCAL_WORLD_SIZE).
    """
    if not os.environ.get(THREADS_VARIABLE):
        first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # OpenMP: one number for each nested level
        if first.isdecimal() and int(first):
            return int(first)
        beside = os.environ.get("LOCAL_WORLD_SIZE", "")
        if beside.isdecimal() and int(beside):
            return max(1, processors() // int(beside))
    return processors()


def limit_threads() -> None:
    """Holds the libraries of this process, and of those that it starts, to `threads()`.

    By the environment, which they read when they are loaded; what is loaded already is told, and only ever lowered.
    Loads nothing itself. A variable that somebody has set stays, but for `TRAFFIC_YOLO_THREADS`, which wins. Where
    nothing limits this process, nothing is set: the libraries know affinity themselves, and torch leaves out the second
    thread of each core.
    """
    count = threads()
    if count >= len(os.sched_getaffinity(0)) and not os.environ.get(THREADS_VARIABLE):
        return
    for name in LIBRARY_VARIABLES:
        if name == "NUMBA_NUM_THREADS" and "numba" in sys.modules:
            continue  # numba refuses another number once its threads run; no loop of ours is one that it splits
        if os.environ.get(THREADS_VARIABLE) or not os.environ.get(name):
            os.environ[name] = str(count)
    torch, cv2 = sys.modules.get("torch"), sys.modules.get("cv2")
    if torch is not None and torch.get_num_threads() > count:
        torch.set_num_threads(count)
    if cv2 is not None and cv2.getNumThreads() > count:
        cv2.setNumThreads(count)


@lru_cache(maxsize=1)
def _limit_of_this_process() -> float | None:
    return cgroup_limit(Path("/"))


def cgroup_limit(root: Path) -> float | None:
    """The processors that the control groups of this process allow, a share of one possible; None for no limit.

    `root` is the folder that holds `proc` and what it names ("/"). A limit of a group is one of all groups in it, so
    the least from the process's own group up to the mount's root counts: `cpu.max` of version 2, `cpu.cfs_quota_us`
    over `cpu.cfs_period_us` of version 1 (Linux, Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst).
    A file that is missing or makes no sense limits nothing.
    """
    groups = dict(_own_groups(_text(root / "proc/self/cgroup")))
    limits = []
    for line in _text(root / "proc/self/mountinfo").splitlines():
        mount = _MOUNT.match(line)
        if mount is None or (mount["kind"] == "cgroup" and "cpu" not in mount["options"].split(",")):
            continue
        if mount["kind"] not in groups:
            continue
        top = root / _unescaped(mount["place"]).lstrip("/")
        read = _limit_v2 if mount["kind"] == "cgroup2" else _limit_v1
        below = _below(groups[mount["kind"]], _unescaped(mount["root"]))
        limits += [read(top / below), *(read(top / parent) for parent in below.parents)]
    found = [limit for limit in limits if limit is not None]
    return min(found) if found else None


def _own_groups(text: str) -> Iterator[tuple[str, str]]:
    """(cgroup2 or cgroup, path) of the hierarchies of /proc/self/cgroup that limit processors."""
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, separator, path = rest.partition(":")
        if number == "0" and not controllers and separator:
            yield "cgroup2", path
        elif "cpu" in controllers.split(","):
            yield "cgroup", path


def _below(path: str, mount_root: str) -> PurePosixPath:
    """The group's path below the mount point.

    In a container the mount shows the container's own group, or a namespace calls that group "/". A path that lies
    outside of what is mounted has no files to read; then the mount's root is the nearest that there is.
    """
    group = PurePosixPath(path)
    if ".." in group.parts or not group.is_relative_to(mount_root):
        return PurePosixPath()
    return group.relative_to(mount_root)


def _limit_v2(group: Path) -> float | None:
    """`cpu.max`: "max 100000" or "<quota> <period>", microseconds."""
    fields = _text(group / "cpu.max").split()
    return _processors(fields[0], fields[1]) if len(fields) == 2 else None


def _limit_v1(group: Path) -> float | None:
    """-1 for no limit."""
    return _processors(_text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip())


def _processors(quota: str, period: str) -> float | None:
    if not (quota.isdecimal() and period.isdecimal()) or not int(quota) or not int(period):
        return None
    return int(quota) / int(period)


def _unescaped(text: str) -> str:
    """A path of mountinfo, in which blanks are octal."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return ""
