"""Compiled loops: kept on disk, also where the package lies on a read-only file system and there is no home."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from numba import config
from numba.core.caching import CacheImpl, UserProvidedCacheLocator

from traffic_yolo import jit
from traffic_yolo.jit import private_cache_folder

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


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    mine = private_cache_folder(tmp_path)
    assert mine == tmp_path / f"traffic-yolo-numba-{os.getuid()}"
    assert (tmp_path / f"traffic-yolo-numba-{os.getuid()}").stat().st_mode & 0o777 == 0o700
    (tmp_path / f"traffic-yolo-numba-{os.getuid()}").chmod(0o777)
    assert private_cache_folder(tmp_path) == ""
    assert private_cache_folder(tmp_path / "missing") == ""
