"""The first look at a share against reading it; the second, unchanged, against the first; a sync with nothing to do.

The share is on this machine's disk and in its page cache, which is the hardest case for the ratio: the first look costs
no waiting. `TRAFFIC_YOLO_SLOW=1` adds 100,000 recordings (several minutes: each is opened and counted once).
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
from harness import Row, interleaved, peak_memory_mib

from traffic_yolo.snapshot.snapshot import take_snapshot, write_snapshot
from traffic_yolo.storage import sync

TOPIC = "snapshot"
SECOND = {10_000: "at most 0.05", 100_000: "at most 0.03"}  # of a first look; other sizes show the slope
FIRST = "at most 1.2"  # of reading plain files
READ_BYTES = 1 << 20
SIZES = tuple(map(int, os.environ.get("TRAFFIC_YOLO_BENCH_FILES", "1000,10000,100000").split(",")))
SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"
FILE_BYTES = 64 << 10


def rows() -> Iterator[Row]:
    """Shares of plain files and of recordings, and a sync between two folders."""
    os.environ["TRAFFIC_YOLO_PROGRESS"] = "0"
    for count in SIZES:
        yield from _measured(count, "files of 64 KiB", _plain_file())
    for count in (*SIZES[:2], *([100_000] if SLOW else [])):
        yield from _measured(count, "recordings of 3 scans", _recording())
    yield _second_sync(10_000)


def _measured(count: int, kind: str, content: Callable[[int], bytes]) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="traffic-yolo-bench-") as name:
        share, out, cache = Path(name) / "share", Path(name) / "snapshot.json", str(Path(name) / "cache")
        _fill(share, count, ".h5" if "recordings" in kind else ".bin", content)

        def look() -> None:
            write_snapshot(out, take_snapshot(str(share), cache=cache))

        def first() -> None:
            Path(cache).unlink(missing_ok=True)
            look()

        rounds = 3 if count <= 10_000 else 1
        looks = interleaved(
            {"first": first, "read": lambda: _read(str(share)), "hash": lambda: _read(str(share), hashed=True)},
            repeats=rounds,
            warm_up=0,
        )
        first_s, read_s, hash_s = (looks[name].median_s for name in ("first", "read", "hash"))
        what, plain = f"first look, {count:,} {kind}", "recordings" not in kind
        yield Row(TOPIC, what, first_s, "s", f"reading alone {read_s:.3g} s", first_s / read_s, FIRST if plain else "")
        yield Row(TOPIC, what, first_s, "s", f"reading and SHA-256 in one thread {hash_s:.3g} s", first_s / hash_s)
        times = interleaved({"second": look, "walk": lambda: _walk(str(share))}, repeats=5)
        second_s, walk_s = times["second"].median_s, times["walk"].median_s
        target = SECOND.get(count, "")
        what = f"second look, {count:,} {kind}"
        yield Row(TOPIC, what, second_s, "s", f"first look {first_s:.3g} s", second_s / first_s, target)
        yield Row(TOPIC, what, second_s, "s", f"scandir and stat alone {walk_s:.3g} s", second_s / walk_s)
        if count == 100_000:
            yield Row(TOPIC, f"{what}: peak memory", peak_memory_mib(look), "MiB")


def _second_sync(count: int) -> Row:
    with tempfile.TemporaryDirectory(prefix="traffic-yolo-bench-") as name:
        source, target = Path(name) / "source", Path(name) / "target"
        _fill(source, count, ".bin", _plain_file(4 << 10))
        started = time.perf_counter()
        sync(str(source), str(target))
        first_s = time.perf_counter() - started
        again = interleaved({"second": lambda: sync(str(source), str(target))}, repeats=3)["second"].median_s
        return Row(
            TOPIC, f"second sync, {count:,} files of 4 KiB", again, "s", f"first {first_s:.3g} s", again / first_s
        )


def _fill(share: Path, count: int, suffix: str, content: Callable[[int], bytes]) -> None:
    shutil.rmtree(share, ignore_errors=True)
    for number in range(count):
        folder = share / f"202405{number // 500 % 28 + 1:02d}_site{number // 500:03d}"
        if number % 500 == 0:
            folder.mkdir(parents=True)
        (folder / f"20240501{number:06d}_0{suffix}").write_bytes(content(number))


def _plain_file(size: int = FILE_BYTES) -> Callable[[int], bytes]:
    data = os.urandom(size - 8)
    return lambda number: number.to_bytes(8, "little") + data


def _recording() -> Callable[[int], bytes]:
    """A small recording, made another one by eight bytes inside its first picture."""
    picture = b"\xff\xd8\xff\xe0" + os.urandom(3000) + b"\xff\xd9"
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "a.h5"
        with h5py.File(path, "w") as file:
            for number in range(3):
                group = file.create_group(f"SCAN_{number:05d}")
                group["Image"] = np.frombuffer(picture, np.uint8)
                group["AI"] = np.array([[3, 0.9, 40, 60, 10 + row, 20] for row in range(8)], np.float32)
        data = path.read_bytes()
    place = data.index(picture) + 100
    return lambda number: data[:place] + number.to_bytes(8, "little") + data[place + 8 :]


def _read(root: str, *, hashed: bool = False) -> None:
    """The rival of a first look: every file read once, in one thread."""
    for folder, _, names in os.walk(root):
        for name in names:
            digest = hashlib.sha256()
            with open(f"{folder}/{name}", "rb", buffering=0) as file:
                while chunk := file.read(READ_BYTES):
                    if hashed:
                        digest.update(chunk)


def _walk(root: str) -> int:
    total, folders = 0, [root]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    total += entry.stat().st_size
    return total
