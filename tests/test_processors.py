"""The processors of a container: control groups of both versions, as fake trees, and what the libraries make of it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo import processors as module
from traffic_yolo.errors import OptionsError
from traffic_yolo.processors import LIBRARY_VARIABLES, THREADS_VARIABLE, cgroup_limit, processors, threads

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
V1_CPUSET = "34 32 0:30 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
OTHER = "22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"


def tree(root: Path, groups: str, mounts: str, files: Mapping[str, str]) -> Path:
    """A root folder with what the kernel shows of a process and of its control groups."""
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v2(root: Path, path: str, limits: Mapping[str, str]) -> float | None:
    """The limit of a process in group `path`; `limits`: group -> text of its cpu.max."""
    files = {f"sys/fs/cgroup{group}/cpu.max": text for group, text in limits.items()}
    return cgroup_limit(tree(root, f"0::{path}\n", OTHER + V2, files))


def v1(root: Path, path: str, limits: Mapping[str, tuple[str, str]]) -> float | None:
    """The same in version 1; `limits`: group -> quota and period."""
    files = {}
    for group, (quota, period) in limits.items():
        files[f"sys/fs/cgroup/cpu,cpuacct{group}/cpu.cfs_quota_us"] = quota
        files[f"sys/fs/cgroup/cpu,cpuacct{group}/cpu.cfs_period_us"] = period
    groups = f"12:cpuset:/\n5:cpu,cpuacct:{path}\n1:name=systemd:/user.slice\n"
    return cgroup_limit(tree(root, groups, OTHER + V1_CPUSET + V1, files))


def test_a_group_of_version_2_limits_by_quota_over_period(tmp_path: Path) -> None:
    assert v2(tmp_path, "/kubepods/pod1/trainer", {"/kubepods/pod1/trainer": "250000 100000\n"}) == 2.5


def test_a_group_of_version_1_limits_by_quota_over_period(tmp_path: Path) -> None:
    assert v1(tmp_path, "/kubepods/pod1", {"/kubepods/pod1": ("150000", "50000")}) == 3


def test_the_least_of_nested_groups_counts(tmp_path: Path) -> None:
    limits = {"/kubepods": "1600000 100000", "/kubepods/pod1": "200000 100000", "/kubepods/pod1/trainer": "max 100000"}
    assert v2(tmp_path / "2", "/kubepods/pod1/trainer", limits) == 2
    nested = {"": ("-1", "100000"), "/a": ("300000", "100000"), "/a/b": ("800000", "100000")}
    assert v1(tmp_path / "1", "/a/b", nested) == 3


def test_groups_beside_the_process_s_own_limit_nothing(tmp_path: Path) -> None:
    assert v2(tmp_path, "/mine", {"/other": "100000 100000", "/mine/below": "100000 100000"}) is None


def test_max_and_minus_one_are_no_limits(tmp_path: Path) -> None:
    assert v2(tmp_path / "2", "/a", {"/a": "max 100000"}) is None
    assert v1(tmp_path / "1", "/a", {"/a": ("-1", "100000")}) is None


@pytest.mark.parametrize(
    "text", ["", "\n", "200000", "two 100000", "200000 0", "0 100000", "-5 100000", "1 2 3", "\x00ÿ"]
)
def test_a_damaged_cpu_max_limits_nothing_and_hides_no_other(tmp_path: Path, text: str) -> None:
    assert v2(tmp_path, "/a/b", {"/a/b": text, "/a": "400000 100000"}) == 4


def test_a_missing_period_of_version_1_limits_nothing(tmp_path: Path) -> None:
    assert v1(tmp_path, "/a", {"/a": ("200000", "")}) is None


def test_both_versions_side_by_side_are_both_read(tmp_path: Path) -> None:
    """A hybrid machine: the controller of version 1 may be the one in use, or a group of version 2 the tighter one."""
    unified = "41 32 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    files = {
        "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "600000\n",
        "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/unified/b/cpu.max": "500000 100000\n",
    }
    assert cgroup_limit(tree(tmp_path, "4:cpu,cpuacct:/a\n0::/b\n", V1 + unified, files)) == 5


def test_in_a_container_the_mount_is_the_container_s_own_group(tmp_path: Path) -> None:
    """Version 1 without a namespace: the path is the host's, and the mount's root says which part of it is there."""
    mount = "33 32 0:29 /docker/abc /sys/fs/cgroup/cpu ro,nosuid - cgroup cgroup rw,cpu\n"
    files = {
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us": "100000",
        "sys/fs/cgroup/cpu/inner/cpu.cfs_period_us": "100000",
    }
    assert cgroup_limit(tree(tmp_path / "own", "4:cpu:/docker/abc\n", mount, files)) == 2
    assert cgroup_limit(tree(tmp_path / "inner", "4:cpu:/docker/abc/inner\n", mount, files)) == 1


@pytest.mark.parametrize("path", ["/../../elsewhere", "/a/../../b"])
def test_a_group_outside_of_the_namespace_is_taken_for_the_mount_s_root(tmp_path: Path, path: str) -> None:
    outside = {"../elsewhere/cpu.max": "100000 100000"}
    files = {
        "sys/fs/cgroup/cpu.max": "300000 100000",
        **{f"sys/fs/cgroup/{name}": text for name, text in outside.items()},
    }
    assert cgroup_limit(tree(tmp_path, f"0::{path}\n", V2, files)) == 3


def test_a_mount_point_with_a_blank_is_found(tmp_path: Path) -> None:
    mount = "31 23 0:28 / /sys/my\\040groups rw - cgroup2 none rw\n"
    assert cgroup_limit(tree(tmp_path, "0::/\n", mount, {"sys/my groups/cpu.max": "100000 100000"})) == 1


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert cgroup_limit(tmp_path) is None
    assert cgroup_limit(tree(tmp_path, "0::/\n", OTHER, {})) is None


@given(groups=st.text(max_size=60), mounts=st.text(max_size=120), limit=st.binary(max_size=30))
@examples(60)
def test_damaged_files_of_any_kind_are_survived(
    tmp_path_factory: pytest.TempPathFactory, groups: str, mounts: str, limit: bytes
) -> None:
    root = tree(tmp_path_factory.mktemp("tree"), "", "", {})
    (root / "proc/self/cgroup").write_bytes(f"0::/a\n{groups}".encode(errors="surrogateescape"))
    (root / "proc/self/mountinfo").write_bytes(f"{V2}{mounts}".encode(errors="surrogateescape"))
    (root / "sys/fs/cgroup/a").mkdir(parents=True)
    (root / "sys/fs/cgroup/a/cpu.max").write_bytes(limit)
    found = cgroup_limit(root)
    assert found is None or found > 0


@pytest.mark.parametrize(
    ("limit", "affinity", "expected"), [(None, 8, 8), (2.0, 8, 2), (2.5, 8, 3), (0.1, 8, 1), (64.0, 8, 8), (8.0, 1, 1)]
)
def test_the_least_of_affinity_and_limit_is_rounded_up(
    monkeypatch: pytest.MonkeyPatch, limit: float | None, affinity: int, expected: int
) -> None:
    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    monkeypatch.setattr(module, "_limit_of_this_process", lambda: limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(affinity)))
    assert processors() == expected


@pytest.fixture
def pod_of_two(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A pod of 2 processors on a machine of 64."""
    for name in (THREADS_VARIABLE, "LOCAL_WORLD_SIZE", *LIBRARY_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(module, "_limit_of_this_process", lambda: 2.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    return monkeypatch


def test_what_somebody_asks_for_wins(pod_of_two: pytest.MonkeyPatch) -> None:
    assert (processors(), threads()) == (2, 2)
    pod_of_two.setenv("LOCAL_WORLD_SIZE", "2")
    assert (processors(), threads()) == (2, 1)
    pod_of_two.setenv("OMP_NUM_THREADS", "3,2")
    assert (processors(), threads()) == (2, 3)
    pod_of_two.setenv(THREADS_VARIABLE, "5")
    assert (processors(), threads()) == (5, 5)


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", " "])
def test_a_wrong_number_is_refused_by_name(pod_of_two: pytest.MonkeyPatch, text: str) -> None:
    pod_of_two.setenv(THREADS_VARIABLE, text)
    with pytest.raises(
        OptionsError, match=f"^{THREADS_VARIABLE}: expected a whole number of 1 or more, found '{text}'"
    ):
        processors()


def test_a_wrong_omp_num_threads_is_left_out_as_openmp_does(pod_of_two: pytest.MonkeyPatch) -> None:
    pod_of_two.setenv("OMP_NUM_THREADS", "all")
    assert threads() == 2


# In processes of their own: the libraries read the environment once, when they are loaded.
SCRIPT = """
import os, sys
import traffic_yolo.processors as module
from traffic_yolo.entry_point import one_line_errors
module._limit_of_this_process = lambda: {limit}
os.sched_getaffinity = lambda _: set(range(64))
{before}
with one_line_errors():
    {inside}
"""
VARIABLES = f"print(*(os.environ.get(name) for name in {LIBRARY_VARIABLES}))"
LIBRARIES = (
    "import cv2, numba, torch; print(torch.get_num_threads(), cv2.getNumThreads(), numba.config.NUMBA_NUM_THREADS)"
)


def run(limit: float | None, inside: str, before: str = "", **environment: str) -> str:
    kept = {n: v for n, v in os.environ.items() if n not in (THREADS_VARIABLE, "LOCAL_WORLD_SIZE", *LIBRARY_VARIABLES)}
    code = SCRIPT.format(limit=limit, before=before, inside=inside)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**kept, **environment}, check=True
    )
    return done.stdout.strip()


@pytest.mark.long
def test_every_library_takes_the_container_s_limit() -> None:
    assert run(0.5, LIBRARIES) == "1 1 1"


@pytest.mark.long
def test_libraries_that_are_loaded_already_are_lowered_and_never_raised() -> None:
    loaded = "import cv2, torch; torch.set_num_threads(7); cv2.setNumThreads(1)"
    assert run(3.0, "print(torch.get_num_threads(), cv2.getNumThreads())", loaded) == "3 1"


def test_the_environment_that_the_libraries_and_further_processes_read() -> None:
    assert run(3.0, VARIABLES) == "3 3 3"
    assert run(3.0, VARIABLES, OMP_NUM_THREADS="2") == "2 2 2"
    assert run(3.0, VARIABLES, OMP_NUM_THREADS="2", **{THREADS_VARIABLE: "5"}) == "5 5 5"
    assert run(3.0, VARIABLES, OPENCV_FOR_THREADS_NUM="1") == "3 1 3"
    assert run(None, VARIABLES) == "None None None"  # nothing limits: torch leaves out the second thread of each core


def test_a_wrong_number_ends_a_command_with_one_line() -> None:
    kept = {**os.environ, THREADS_VARIABLE: "many"}
    code = "from traffic_yolo.cli import main; main(['ledger', '--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=kept, check=False)
    assert done.returncode == 2
    assert done.stderr == f"error: {THREADS_VARIABLE}: expected a whole number of 1 or more, found 'many'\n"
