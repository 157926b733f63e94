"""Damages a small good input of every reader for so many seconds each: `make fuzz`, or by hand.

.venv/bin/python tests/fuzz/fuzz_readers.py FOLDER --seconds 60 [--seed N] [READER ...]

An input that is neither read nor refused as `reader_samples` says, or takes ten seconds or 2 GiB, is kept in FOLDER; the
exit code is 1 then. The same seed makes the same inputs.
"""

import argparse
import hashlib
import logging
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from reader_samples import READERS, Sample, examine

LONGEST_S = 10
MOST_BYTES = 2 << 30  # beyond what the process had before


def fuzz(name: str, sample: Sample, folder: Path, *, seconds: float, seed: int) -> int:
    """The number of inputs that are findings; each is kept, and named on the terminal."""
    rng = random.Random(f"{name} {seed}")
    made = read = findings = 0
    seen: set[str] = set()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        path = sample.make(place)
        good = path.read_bytes()
        refusal = examine(sample, place, path, good)
        if refusal:
            raise SystemExit(f"{name}: the good input is refused: {refusal}")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            data = sample.mutate(good, rng)
            made += 1
            try:
                signal.alarm(LONGEST_S)
                read += not examine(sample, place, path, data)
            except Exception as error:
                frames = traceback.extract_tb(error.__traceback__)
                kind = f"{type(error).__name__} in {Path(frames[-1].filename).name} line {frames[-1].lineno}"
                if kind not in seen:
                    seen.add(kind)
                    findings += 1
                    kept = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
                    kept.write_bytes(data)
                    print(f"{name}: {kind}: {str(error)[:200]!r}: {kept}")
            finally:
                signal.alarm(0)
    print(f"{name}: {made} inputs, {read} read, {findings} findings", flush=True)
    return findings


def _too_long(*_: object) -> None:
    raise TimeoutError(f"takes more than {LONGEST_S} s")


def main() -> None:
    """Every reader, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("readers", nargs="*", help=f"of {', '.join(READERS)}")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    if unknown := set(arguments.readers) - set(READERS):
        parser.error(f"unknown readers: {', '.join(sorted(unknown))}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.CRITICAL)  # what readers say of an odd input
    signal.signal(signal.SIGALRM, _too_long)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    print(f"seed {arguments.seed}")
    names = arguments.readers or list(READERS)
    options = {"seconds": arguments.seconds, "seed": arguments.seed}
    findings = sum(fuzz(name, READERS[name], arguments.folder, **options) for name in names)
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
