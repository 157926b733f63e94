"""A folder that several test processes need: the first one to ask makes it, and each has a copy of its own.

pytest makes a session's fixtures once a process, and pytest-xdist has several. A folder is made where all of them see it,
under a lock; whoever asks gets a copy, so that what one process does to its own no other sees.
"""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

MakeOnce = Callable[[str, Callable[[Path], None]], Path]  # the fixture `make_once`: a name, and what fills the folder


def made_by_one(name: str, make: Callable[[Path], None], *, common: Path, own: Path) -> Path:
    """`own` / `name`, which `make(folder)` filled in `common`: once, whoever of several processes asks first.

    `make` may write paths of that folder into its files: the folder stays where it was made.
    """
    made, done = common / f"{name}-made", common / f"{name}-done"
    common.mkdir(parents=True, exist_ok=True)
    with (common / f"{name}-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(made, ignore_errors=True)  # of a process that failed or was killed
            made.mkdir()
            make(made)
            done.touch()
    return Path(shutil.copytree(made, own / name, symlinks=True))
