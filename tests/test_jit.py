"""Compiled loops: kept on disk, also where the package lies on a read-only file system and there is no home."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import pytest
from numba import config
from numba.core.caching import CacheImpl, UserProvidedCacheLocator

from traffic_yolo import jit
from traffic_yolo.jit import copy_cache, private_cache_folder

SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, doubled
print(doubled.doubled(np.arange(3.0))[2], sum(doubled.doubled.stats.cache_hits.values()))
"""
MODULE = """
from traffic_yolo.jit import kernel
@kernel
def doubled(values):
    return values * 2
"""


@pytest.mark.long
def test_a_second_process_loads_what_the_first_compiled(tmp_path: Path) -> None:
    (tmp_path / "doubled.py").write_text(MODULE)

    def run() -> list[str]:
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, env=environment, check=True
        )
        return done.stdout.split()

    assert run() == ["4.0", "0"]
    assert run() == ["4.0", "1"]


def test_without_a_place_to_write_beside_the_source_a_private_folder_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # numba tries beside the source and below the home otherwise; root, who may run the tests, can write to both.
    monkeypatch.setattr(CacheImpl, "_locator_classes", [UserProvidedCacheLocator])
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setattr(jit.tempfile, "gettempdir", lambda: str(tmp_path))

    def tripled(value: float) -> float:
        return value * 3

    compiled = jit.kernel(tripled)
    assert compiled(2.0) == 6.0
    assert list((tmp_path / f"traffic-yolo-numba-{os.getuid()}").rglob("*.nbc"))


@pytest.mark.long
def test_a_cache_that_can_only_be_read_is_taken_over_with_all_that_was_compiled(tmp_path: Path) -> None:
    """As in a container with a read-only root. Root may write everywhere, so it is the question that is answered no."""
    (tmp_path / "doubled.py").write_text(MODULE)
    home, temporary, built = (tmp_path / name for name in ("home", "tmp", "built"))
    for folder in (home, temporary):
        folder.mkdir()

    def run(script: str) -> list[str]:
        places = {"NUMBA_CACHE_DIR": str(built), "HOME": str(home), "TMPDIR": str(temporary)}
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, env={**os.environ, **places},
            check=True,
        )  # fmt: skip
        return done.stdout.split()

    assert run(SCRIPT) == ["4.0", "0"]
    before = {path: path.read_bytes() for path in built.rglob("*.nb*")}
    read_only = f"import os; os.access = lambda path, mode: False\n{SCRIPT}"
    assert run(read_only) == ["4.0", "1"]
    assert run(read_only) == ["4.0", "1"]
    private = temporary / f"traffic-yolo-numba-{os.getuid()}"
    assert {path.name for path in private.rglob("*") if path.is_file()} == {path.name for path in before}
    assert {path: path.read_bytes() for path in built.rglob("*.nb*")} == before
    assert not list(home.rglob("*.nb*"))


def test_code_is_copied_before_the_index_that_names_it_and_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "built" / "a").mkdir(parents=True)
    for name in ("f.nbi", "f.1.nbc", "g.nbi", "g.1.nbc"):
        (tmp_path / "built" / "a" / name).write_text(name)
    copied: list[str] = []
    monkeypatch.setattr(
        jit.shutil, "copyfileobj", lambda code, file: (copied.append(Path(code.name).name), _fill(file))
    )
    copy_cache(tmp_path / "built", tmp_path / "private")
    assert [Path(name).suffix for name in copied] == [".nbc", ".nbc", ".nbi", ".nbi"]
    copy_cache(tmp_path / "built", tmp_path / "private")
    assert len(copied) == 4


def test_a_copy_that_was_cut_off_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "f.1.nbc").write_text("code")

    def full(_code: BinaryIO, file: BinaryIO) -> None:
        file.write(b"co")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(jit.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space"):
        copy_cache(tmp_path / "built", tmp_path / "private")
    assert list((tmp_path / "private").iterdir()) == []


def _fill(file: BinaryIO) -> None:
    file.write(b"code")


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    mine = private_cache_folder(tmp_path)
    assert mine == tmp_path / f"traffic-yolo-numba-{os.getuid()}"
    assert (tmp_path / f"traffic-yolo-numba-{os.getuid()}").stat().st_mode & 0o777 == 0o700
    (tmp_path / f"traffic-yolo-numba-{os.getuid()}").chmod(0o777)
    assert private_cache_folder(tmp_path) == ""
    assert private_cache_folder(tmp_path / "missing") == ""
