"""Compiles loops over numbers to machine code with numba, kept on disk: a process pays for loading, not for compiling.

numba keeps compiled code in `NUMBA_CACHE_DIR`, beside the source, or in the user's cache folder, whichever it may write
to. A container may have none of them (no home, a read-only image): then a private folder below the system's temporary
folder serves. Code is kept for one kind of processor; an image that is built on one machine and runs on another sets
`NUMBA_CPU_NAME` (docker/train/Dockerfile does).
"""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import config

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compiles `function` when it is first called with a combination of types; it runs without the interpreter's lock.

    No fast-math: sums and divisions are IEEE, in the order of the source, as in C without -ffast-math.
    """
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        config.CACHE_DIR = str(private_cache_folder(Path(tempfile.gettempdir())))
        compiled = numba.njit(cache=bool(config.CACHE_DIR), nogil=True)(function)
    return cast(Function, compiled)


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
