"""The cache against writers that never rest: whatever they did, the next look at a share at rest tells the truth."""

import os
import random
import threading
import time
from pathlib import Path

import pytest

from traffic_yolo.snapshot.snapshot import take_snapshot

SECONDS = 60.0 if os.environ.get("TRAFFIC_YOLO_SLOW") == "1" else 1.5


def write_for_ever(folder: Path, stop: threading.Event, seed: int) -> None:
    """Same-size writes in place, replacements, times set back: all that size and mtime do not show."""
    generator = random.Random(seed)
    while not stop.is_set():
        victim = folder / f"{generator.randrange(30)}.bin"
        data = generator.randbytes(64)
        kind = generator.randrange(3)
        if kind == 0:
            before = victim.stat()
            with victim.open("r+b") as file:
                file.write(data)
            os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif kind == 1:
            with victim.open("r+b") as file:
                file.write(data)
        else:
            temporary = folder / f".{seed}"
            temporary.write_bytes(data)
            os.utime(temporary, (1, 1))
            temporary.replace(victim)
        time.sleep(generator.choice([0, 0, 0.0005, 0.005]))


@pytest.mark.parametrize("seed", range(2 if SECONDS > 10 else 1))
def test_share_at_rest_is_told_as_it_is(tmp_path: Path, seed: int) -> None:
    share, cache = tmp_path / "share", str(tmp_path / "cache")
    share.mkdir()
    for number in range(30):
        (share / f"{number}.bin").write_bytes(bytes(64))
    (share / "still.bin").write_bytes(b"a share is never all in motion")
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        stop = threading.Event()
        writers = [threading.Thread(target=write_for_ever, args=(share, stop, seed * 10 + n)) for n in range(2)]
        for writer in writers:
            writer.start()
        for _ in range(3):
            take_snapshot(str(share), cache=cache)
        stop.set()
        for writer in writers:
            writer.join()
        for _ in range(2):
            assert take_snapshot(str(share), cache=cache) == take_snapshot(str(share))
