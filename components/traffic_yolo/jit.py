"""Compiles loops over numbers to machine code with numba, kept on disk: a process pays for loading, not for compiling.

numba keeps compiled code in `NUMBA_CACHE_DIR`, beside the source, or in the user's cache folder, whichever it may write
to. A container may have none of them (no home, a read-only image): then a private folder below the system's temporary
folder serves. Code is kept for one kind of processor; an image that is built on one machine and runs on another sets
`NUMBA_CPU_NAME` (docker/train/Dockerfile does). numba passes over a `NUMBA_CACHE_DIR` that it cannot write to, with all
that was compiled there when the image was built: such a folder is copied into the private one first.
"""

import functools
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import config

from traffic_yolo.processors import threads
from traffic_yolo.progress import progress

Function = TypeVar("Function", bound=Callable[..., Any])
Result = TypeVar("Result")


def kernel(function: Function) -> Function:
    """Compiles `function` when it is first called with a combination of types; it runs without the interpreter's lock.

    No fast-math: sums and divisions are IEEE, in the order of the source, as in C without -ffast-math; a division by
    zero gives infinity or NaN, since a test before each division would keep loops from using vectors.
    """
    _take_over_built_cache()
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        config.CACHE_DIR = str(private_cache_folder(Path(tempfile.gettempdir())))
        compiled = numba.njit(cache=bool(config.CACHE_DIR), nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)


@functools.cache  # once in a process
def _take_over_built_cache() -> None:
    """Has numba use a private copy of its cache folder where that is there to be read alone."""
    built = Path(config.CACHE_DIR)
    if not config.CACHE_DIR or not built.is_dir() or os.access(built, os.W_OK):
        return
    private = private_cache_folder(Path(tempfile.gettempdir()))
    if private:
        try:
            copy_cache(built, Path(private))
        except OSError:  # a full disk, say: loops are compiled anew, wherever numba finds room
            return
        config.CACHE_DIR = str(private)


def copy_cache(built: Path, private: Path) -> None:
    """Copies what numba compiled below `built` to `private`, but for files that are there. Safe beside other processes.

    An index (.nbi) comes after the code (.nbc) that it names, and each appears whole.
    """
    for source in sorted((path for path in built.rglob("*") if path.is_file()), key=lambda path: path.suffix == ".nbi"):
        target = private / source.relative_to(built)
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=".copying-")
        try:
            with os.fdopen(handle, "wb") as file, source.open("rb") as code:
                shutil.copyfileobj(code, file)
            Path(partial).replace(target)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise


def in_chunks(
    work: Callable[[int, int], Result], count: int, *, least: int = 64, most: int | None = None, description: str = ""
) -> list[Result]:
    """`work(first, last)` over all of range(count), in order, by as many threads as libraries may run.

    `work` should be a kernel, which runs without the interpreter's lock. A part has `least` items or more unless
    there are fewer, and at most about `most`; there is always one part, if an empty one. `description` shows a bar.
    """
    parts = max(1, min(threads(), count // least), -(-count // most) if most else 1)
    edges = [count * part // parts for part in range(parts + 1)]
    if parts == 1:
        return [work(0, count)]
    with ThreadPoolExecutor(min(parts, threads())) as pool:
        results = pool.map(work, edges[:-1], edges[1:])
        return list(progress(results, description=description, unit="part", total=parts) if description else results)


def private_cache_folder(parent: Path) -> Path | str:
    """A folder below `parent` that only this user can write to, or "" where there can be none.

    Cached code is executed, so a folder that someone else has made under our name is not used.
    """
    user = os.getuid()
    folder = parent / f"traffic-yolo-numba-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return ""
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o022
    return folder if is_ours else ""
