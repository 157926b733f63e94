"""A copy of the product and its tests, in which one module at a time reads otherwise."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
COPIED = ("components", "pipelines", "katib", "docs", "docker", "tests", "setup.cfg", "pyproject.toml")
PACKAGES = {"traffic_yolo": "components/traffic_yolo", "traffic_yolo_pipelines": "pipelines"}
TESTS_FAILED = 1  # pytest's exit code; any other but 0 says that the tests did not run


@dataclass(frozen=True)
class Outcome:
    """What came of the tests: `code` of pytest, None at the time limit; its last lines; seconds on the wall."""

    code: int | None
    tail: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return self.code == 0

    @property
    def failed(self) -> bool:
        """Whether a test failed, or did not end: the change was noticed."""
        return self.code in (TESTS_FAILED, None)


def path_of(module: str) -> str:
    """The file of a module, relative to the repository; `LookupError` for one that is not there."""
    package, *names = module.split(".")
    relative = "/".join((PACKAGES[package], *names)) + ".py"
    if not (REPOSITORY / relative).is_file():
        raise LookupError(f"no module {module}: {relative} is not there; was it renamed?")
    return relative


def changed(source: str, text: str, mutated: str) -> str:
    """The source with `text` replaced; `LookupError` unless it stands there exactly once."""
    if (count := source.count(text)) != 1:
        raise LookupError(f"expected once, found {count} times: {text!r}")
    return source.replace(text, mutated)


class ChangedCopy:
    """Runs tests in a copy of the repository; the repository itself is only read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in COPIED:
            if (REPOSITORY / name).is_dir():
                shutil.copytree(REPOSITORY / name, folder / name, symlinks=True)
            else:
                shutil.copy2(REPOSITORY / name, folder / name)
        roots = folder / "roots"
        roots.mkdir()
        for package, place in PACKAGES.items():
            (roots / package).symlink_to(folder / place)
        self._roots = roots

    @contextmanager
    def change(self, module: str, text: str, mutated: str) -> Iterator[None]:
        """In the block the module of the copy reads `mutated` where it reads `text`."""
        path = self._folder / path_of(module)
        original, times = path.read_bytes(), path.stat()
        path.write_text(changed(original.decode(), text, mutated))
        for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
            compiled.unlink()  # Python tells sources apart by size and whole seconds
        try:
            yield
        finally:
            path.write_bytes(original)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
                compiled.unlink()

    def run(self, tests: Sequence[str], *, limit_s: float) -> Outcome:
        """The tests, up to the first that fails.

        numba compiles a changed module anew, but not a kernel of another module that calls one of it: tests of a module
        with kernels are to call it as Python does, or its mutants survive.
        """
        began = time.monotonic()
        environment = os.environ | {"PYTHONPATH": str(self._roots), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests]
        try:
            done = subprocess.run(
                command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            return Outcome(None, f"no end after {limit_s:.0f} s", time.monotonic() - began)
        lines = (done.stdout + done.stderr).strip().splitlines()
        return Outcome(done.returncode, "\n".join(lines[-15:]), time.monotonic() - began)
