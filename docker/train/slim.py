"""Takes out of an environment what running never needs, and compiles the rest; its own Python runs it in a build.

Gone are tests, what serves building against a library, variants of data that nothing here reads, and the symbols that
only debuggers look up. Licences stay, wherever they lie. pip knows nothing of it: the image has none.
"""

import compileall
import py_compile
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

TESTS = "tests"  # folders of that name in any package
# Patterns below site-packages -> why nothing misses them
REMOVED = {
    "torch/test": "programs that test its C++ side",
    "torch/bin/*test*": "the same; torch_shm_manager, which hands DataLoader's tensors over, stays",
    "torch/bin/protoc*": "compiles message definitions, when torch is built",
    "torch/include": "headers for C++ extensions, and for torch.compile, which wants a C++ compiler too",
    "torch/share": "CMake files for the same",
    "onnx/backend/test": "models and tensors to test a backend with",
    "kubernetes_validate/kubernetes-json-schema/*-local": "the strict schemas, beside them, are the ones that are read",
}
STRIPPED = ("torch/lib/*.so", "llvmlite/binding/*.so")  # hundreds of thousands of names for debuggers; others have none
LICENCES = ("licen[cs]e*", "copying*", "notice*", "authors*")


def remove(site: Path) -> dict[str, int]:
    """Removes everything named; returns what -> bytes freed, those of hard links too."""
    freed = {}
    for pattern in REMOVED:
        freed[pattern] = sum(_remove(path) for path in sorted(site.glob(pattern)))
    folders = [path for path in sorted(site.rglob(TESTS)) if path.is_dir() and not path.is_symlink()]
    freed[f"**/{TESTS}"] = sum(_remove(path) for path in folders if path.exists())
    return freed


def _remove(path: Path) -> int:
    """Removes a file, or a folder but for licences in it; returns the bytes."""
    if path.is_symlink() or not path.is_dir():
        size = path.lstat().st_size
        path.unlink()
        return size
    freed = sum(_remove(inner) for inner in list(path.iterdir()) if not _is_licence(inner))
    if not any(path.iterdir()):
        path.rmdir()
    return freed


def _is_licence(path: Path) -> bool:
    return path.is_file() and any(path.match(pattern) for pattern in _either_case(LICENCES))


def _either_case(patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        yield from (pattern, pattern.upper(), pattern.capitalize())


def strip(site: Path, program: str) -> int:
    """Strips the libraries named by binutils' `program`; returns the bytes freed."""
    libraries = sorted({path for pattern in STRIPPED for path in site.glob(pattern) if not path.is_symlink()})
    before = sum(path.stat().st_size for path in libraries)
    for path in libraries:
        subprocess.run([program, "--strip-unneeded", str(path)], check=True)
    return before - sum(path.stat().st_size for path in libraries)


def main() -> None:
    """Slims the environment of this Python."""
    site = Path(sysconfig.get_path("purelib"))
    program = shutil.which("strip")
    if program is None:
        raise SystemExit("slim: no strip: BUILD_IMAGE needs binutils, as python:3.11-bookworm has them")
    for what, size in remove(site).items():
        print(f"{size / 1e6:7.1f} MB  {what}")
    print(f"{strip(site, program) / 1e6:7.1f} MB  symbols")
    # A file's time means nothing in a layer, so it must not decide whether the compiled one is used
    compileall.compile_dir(site, quiet=2, workers=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)


if __name__ == "__main__":
    main()
