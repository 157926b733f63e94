"""Kill -9 at chosen and at random points of put, sync and snapshot: nothing half-written, and the next run ends well."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from killing import events_of, kill_points, run_killed, run_undisturbed, seconds_of
from s3_servers import S3Server
from storage_settings import use

from traffic_yolo import storage
from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.snapshot.snapshot import read_snapshot, take_snapshot

SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"
POINTS = 60 if SLOW else 5
SEEDS = range(3) if SLOW else range(1)
MEBIBYTE = 1 << 20


@pytest.fixture
def share(tmp_path: Path) -> Path:
    generator = random.Random(0)
    for number in range(12):
        storage.put(
            str(tmp_path / "share" / f"site{number % 3}" / f"{number}.bin"), generator.randbytes(number * 10_000)
        )
    return tmp_path / "share"


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: (folder / file.name).read_bytes() for file in storage.list_files(str(folder)).files}


def each_kill(arguments: list[str], seed: int, *, output: Path | None = None) -> list[Callable[[], bool]]:
    """Kills at operations, and some by the clock; `output` is removed between the runs that measure."""
    total = events_of(arguments)
    kills: list[Callable[[], bool]] = [
        lambda at=at: run_killed(arguments, at=at)
        for at in kill_points(total, number=POINTS, seed=seed)  # type: ignore[misc]
    ]
    if SLOW:
        if output is not None:
            shutil.rmtree(output)
        generator, longest_s = random.Random(seed), seconds_of(arguments)
        moments = [generator.uniform(0.3 * longest_s, longest_s) for _ in range(POINTS // 3)]
        kills += [lambda after=after: run_killed(arguments, after_s=after) for after in moments]  # type: ignore[misc]
    return kills


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_sync_leaves_whole_files_and_ends_well_the_next_time(share: Path, tmp_path: Path, seed: int) -> None:
    target = tmp_path / "target"
    arguments = ["storage", "sync", str(share), str(target)]
    expected = contents(share)
    for kill in each_kill(arguments, seed):
        shutil.rmtree(target, ignore_errors=True)
        kill()
        there = contents(target)
        assert there == {name: expected[name] for name in there}, "every file that has a name is whole"
        run_undisturbed(arguments)
        assert contents(target) == expected
        assert sorted(path.name for path in (target / ".traffic-yolo-sync").iterdir()) == [
            "lock",
            "source.hashes",
            "target.hashes",
        ]
        assert storage.sync(str(share), str(target)).copied == 0


def test_sync_that_is_killed_again_and_again_comes_to_its_end(share: Path, tmp_path: Path) -> None:
    """Without a clean run in between: each goes on from what the last one left."""
    target, expected = tmp_path / "target", contents(share)
    arguments = ["storage", "sync", str(share), str(target)]
    total = events_of(arguments)
    shutil.rmtree(target)
    for at in [total // 4, total // 3, total // 2] * (5 if SLOW else 1):
        run_killed(arguments, at=at)
        there = contents(target)
        assert there == {name: expected[name] for name in there}
    run_undisturbed(arguments)
    assert contents(target) == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_put_leaves_the_old_file_or_the_new_one(tmp_path: Path, seed: int) -> None:
    old, new = b"old" * 1000, os.urandom(3 * MEBIBYTE)
    (tmp_path / "source").write_bytes(new)
    target = tmp_path / "folder" / "target"
    arguments = ["storage", "put", str(tmp_path / "source"), str(target)]
    for kill in each_kill(arguments, seed):
        storage.put(str(target), old)
        kill()
        assert target.read_bytes() in (old, new)
        run_undisturbed(arguments)
        assert target.read_bytes() == new
        assert [file.name for file in storage.list_files(str(tmp_path / "folder")).files] == ["target"]


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_put_new_leaves_nothing_or_all(tmp_path: Path, seed: int) -> None:
    (tmp_path / "source").write_bytes(b"record" * 1000)
    target = tmp_path / "ledger" / "1.json"
    arguments = ["storage", "put", "--new", str(tmp_path / "source"), str(target)]
    for kill in each_kill(arguments, seed, output=tmp_path / "ledger"):
        shutil.rmtree(tmp_path / "ledger", ignore_errors=True)
        kill()
        assert not target.exists() or target.read_bytes() == b"record" * 1000


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_killed_snapshot_equals_an_undisturbed_one_the_next_time(tmp_path: Path, seed: int) -> None:
    options = SyntheticOptions(sites=2, recordings_per_site=1, frames_per_recording=3, image_wh=(160, 96))
    write_share(tmp_path / "nas", options)
    source, out = str(tmp_path / "nas" / "recordings"), tmp_path / "out" / "snapshot.json"
    arguments = ["snapshot", "--source", source, "--out", str(out)]
    expected = take_snapshot(source)
    for kill in each_kill(arguments, seed):
        shutil.rmtree(out.parent, ignore_errors=True)
        kill()
        assert not out.exists() or read_snapshot(out) == expected
        run_undisturbed(arguments)
        assert read_snapshot(out) == expected
        assert take_snapshot(source, cache=str(out.with_name(f".{out.name}.cache"))) == expected


@pytest.mark.long
@pytest.mark.many(1)
@pytest.mark.parametrize("way", ["up", "down"])
def test_killed_transfer_of_large_objects_goes_on(
    moto: S3Server, clean: pytest.MonkeyPatch, tmp_path: Path, way: str
) -> None:
    bucket = use(moto, clean)
    data = random.Random(1).randbytes(20 * MEBIBYTE)
    storage.put(str(tmp_path / "local" / "big.h5"), data)
    storage.put(str(tmp_path / "local" / "small.h5"), b"small")
    if way == "down":
        storage.sync(str(tmp_path / "local"), f"s3://{bucket}/share")
        shutil.rmtree(tmp_path / "local")
        arguments = ["storage", "sync", f"s3://{bucket}/share", str(tmp_path / "local")]
    else:
        arguments = ["storage", "sync", str(tmp_path / "local"), f"s3://{bucket}/share"]
    longest_s = seconds_of(arguments)
    moments = [random.Random(seed).uniform(0.3, 1) * longest_s for seed in range(20 if SLOW else 3)]
    for after_s in moments:
        if way == "down":
            shutil.rmtree(tmp_path / "local", ignore_errors=True)
        else:
            bucket = use(moto, clean)
            arguments[-1] = f"s3://{bucket}/share"
        run_killed(arguments, after_s=after_s)
        run_undisturbed(arguments)
        for name, expected in (("big.h5", data), ("small.h5", b"small")):
            place = f"{arguments[-1]}/{name}"
            assert storage.read(place) == expected
            assert storage.verify(place)
