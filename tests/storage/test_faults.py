"""Faults between us and the storage: no lost or corrupted file, and one clear line when we give up."""

import errno
import hashlib
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fault_proxy import FAULTS, FaultProxy, fault_proxy
from s3_servers import S3Server
from storage_settings import use

from traffic_yolo import storage
from traffic_yolo.errors import StorageError
from traffic_yolo.snapshot.snapshot import take_snapshot
from traffic_yolo.storage.local import LocalPlace
from traffic_yolo.storage.retry import Attempts, Fault, RetryPolicy, retried
from traffic_yolo.storage.s3 import S3Place

MEBIBYTE = 1 << 20
SLOW = os.environ.get("TRAFFIC_YOLO_SLOW") == "1"


@pytest.fixture
def proxy(moto: S3Server, clean: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[FaultProxy]:
    """A proxy before moto, with a bucket in `proxy.bucket`; only a server that hangs is soon given up."""
    hangs = getattr(request.node, "callspec", None) and request.node.callspec.params.get("fault") == "hang"
    with fault_proxy(moto.host) as running:
        running.bucket = f"s3://{use(moto, clean)}"  # type: ignore[attr-defined]
        clean.setenv("TRAFFIC_YOLO_S3_ENDPOINT", f"http://{running.host}")
        clean.setenv("TRAFFIC_YOLO_S3_TIMEOUT_S", "1" if hangs else "60")
        yield running


def bucket_of(proxy: FaultProxy) -> str:
    return str(proxy.bucket)  # type: ignore[attr-defined]


# moto accepts a body that is not the one that was signed: what "wrong_request" does to it is tested on Ceph
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "wrong_request"])
def test_every_call_survives_each_fault(proxy: FaultProxy, tmp_path: Path, fault: str) -> None:
    bucket, data = bucket_of(proxy), os.urandom(100_000)
    calls = {
        "put": lambda: storage.put(f"{bucket}/a", data).sha256 == hashlib.sha256(data).hexdigest(),
        "put_new": lambda: storage.put_new(f"{bucket}/new", data).size == len(data),
        "read": lambda: storage.read(f"{bucket}/a") == data,
        "fetch": lambda: storage.fetch(f"{bucket}/a", to=tmp_path / "copy").read_bytes() == data,
        "stat": lambda: storage.stat(f"{bucket}/a") is not None,
        "list": lambda: [file.name for file in storage.list_files(bucket).files] == ["a", "new"],
        "exists": lambda: storage.exists(bucket),
    }
    if fault not in ("wrong_body", "lost_answer"):
        calls["stream"] = lambda: b"".join(storage.stream(f"{bucket}/a", offset=3)) == data[3:]
    if fault == "hang" and not SLOW:  # each costs a timeout, which is a second at least
        calls = {name: calls[name] for name in ("put", "fetch")}
    for name, call in calls.items():
        proxy.fail_next(*[fault] * (1 if fault == "hang" else 2))
        assert call(), name
    assert proxy.counts[fault] >= len(calls)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("status_500", "the server answers 500"),
        ("slow_down", "the server answers 503"),
        ("gateway_page", "the server answers 502"),
        ("reset", "onnection"),
        ("hang", "timed out"),
    ],
)
def test_fault_that_stays_ends_in_one_line_after_the_attempts(
    proxy: FaultProxy, clean: pytest.MonkeyPatch, tmp_path: Path, fault: str, words: str
) -> None:
    clean.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "3")
    proxy.choose = lambda _method, _path: fault
    calls = (
        lambda: storage.put(f"{bucket_of(proxy)}/a", b"x"),
        lambda: storage.fetch(f"{bucket_of(proxy)}/a", to=tmp_path / "copy"),
    )
    for call in calls[: 1 if fault == "hang" else 2]:  # a hanging call costs three timeouts of a second
        with pytest.raises(StorageError, match=rf"s3://.*/a: gave up after 3 attempts in \d+ s: .*{words}") as caught:
            call()
        assert "\n" not in str(caught.value)
        assert "object at 0x" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_stay_wrong_are_never_handed_out(
    proxy: FaultProxy, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "3")
    storage.put(f"{bucket_of(proxy)}/a", b"x" * 1000)
    proxy.choose = lambda method, _path: "wrong_body" if method == "GET" else ""
    with pytest.raises(StorageError, match="gave up after 3 attempts .* expected SHA-256"):
        storage.fetch(f"{bucket_of(proxy)}/a", to=tmp_path / "copy")
    with pytest.raises(StorageError, match="gave up after 3 attempts .* expected SHA-256"):
        storage.read(f"{bucket_of(proxy)}/a")
    assert list(tmp_path.iterdir()) == []


def test_request_that_is_harmed_on_the_way_is_refused_by_a_real_server(
    ceph: S3Server, clean: pytest.MonkeyPatch
) -> None:
    bucket = use(ceph, clean)
    with fault_proxy(ceph.host) as proxy:
        clean.setenv("TRAFFIC_YOLO_S3_ENDPOINT", f"http://{proxy.host}")
        proxy.fail_next("wrong_request", "wrong_request", only="PUT")
        data = os.urandom(1000)
        storage.put(f"s3://{bucket}/a", data)
        assert proxy.counts["wrong_request"] == 2
        assert storage.read(f"s3://{bucket}/a") == data


def test_broken_download_goes_on_where_it_stopped(proxy: FaultProxy, clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = os.urandom(12 * MEBIBYTE)
    storage.put(f"{bucket_of(proxy)}/big", data)
    proxy.requests.clear()
    cuts = iter(["short_body", "short_body"])
    proxy.choose = lambda method, _path: next(cuts, "") if method == "GET" else ""
    seen: list[int] = []
    chunks = S3Place._chunks

    def spy(self: S3Place, position: int, end: int | None, etag: str) -> Iterator[tuple[str, bytes]]:
        seen.append(position)
        return chunks(self, position, end, etag)

    clean.setattr(S3Place, "_chunks", spy)
    assert storage.fetch(f"{bucket_of(proxy)}/big", to=tmp_path / "copy").read_bytes() == data
    assert len(seen) == 3
    assert 0 == seen[0] < seen[1] < seen[2] < len(data)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_object_that_is_replaced_while_it_is_read_is_read_anew(proxy: FaultProxy, tmp_path: Path) -> None:
    old, new = os.urandom(12 * MEBIBYTE), os.urandom(12 * MEBIBYTE)
    storage.put(f"{bucket_of(proxy)}/big", old)
    states = iter(["short_body"])

    def choose(method: str, _path: str) -> str:
        if method != "GET":
            return ""
        fault = next(states, "")
        if not fault and not replaced:
            replaced.append(1)
            proxy_choose, proxy.choose = proxy.choose, lambda _m, _p: ""
            storage.put(f"{bucket_of(proxy)}/big", new)
            proxy.choose = proxy_choose
        return fault

    replaced: list[int] = []
    proxy.choose = choose
    assert storage.fetch(f"{bucket_of(proxy)}/big", to=tmp_path / "copy").read_bytes() == new
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.many(1)
@pytest.mark.parametrize("seed", range(40 if SLOW else 3))
def test_sync_both_ways_through_a_bad_network_loses_nothing(proxy: FaultProxy, tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    for number in range(15):
        size = generator.choice([0, 1, 1000, 300_000])
        storage.put(str(tmp_path / "source" / f"site{number % 3}" / f"{number}.h5"), generator.randbytes(size))
    storage.put(str(tmp_path / "source" / "big.h5"), generator.randbytes(18 * MEBIBYTE))
    faults = tuple(fault for fault in FAULTS if fault not in ("hang", "wrong_request"))
    proxy.fail_at_random(seed=seed, share=0.2, faults=faults)
    storage.sync(str(tmp_path / "source"), f"{bucket_of(proxy)}/copy")
    storage.sync(f"{bucket_of(proxy)}/copy", str(tmp_path / "back"))
    proxy.choose = lambda _method, _path: ""
    assert sum(proxy.counts.values()) > 5
    before = take_snapshot(str(tmp_path / "source"))
    assert take_snapshot(str(tmp_path / "back")).fingerprint == before.fingerprint
    assert take_snapshot(f"{bucket_of(proxy)}/copy").fingerprint == before.fingerprint


def test_share_that_disappears_and_returns_is_waited_for(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.setattr("traffic_yolo.storage.retry.RetryPolicy.wait_s", lambda *_: 0.1)
    clean.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "100")  # a busy machine may keep the share away for longer
    share = tmp_path / "mount" / "share"
    for number in range(300):
        storage.put(str(share / f"{number}.bin"), b"%d" % number * 100)
    expected = take_snapshot(str(share)).fingerprint

    begun, fetch = threading.Event(), LocalPlace.fetch

    def fetch_and_tell(self: LocalPlace, path: Path, sha256: str) -> storage.StoredFile:
        begun.set()
        return fetch(self, path, sha256)

    clean.setattr(LocalPlace, "fetch", fetch_and_tell)

    def away_for_a_while() -> None:
        begun.wait(300)
        for _ in range(3):
            time.sleep(0.03)
            (tmp_path / "mount").rename(tmp_path / "away")
            time.sleep(0.05)
            (tmp_path / "away").rename(tmp_path / "mount")

    thread = threading.Thread(target=away_for_a_while)
    thread.start()
    report = storage.sync(str(share), str(tmp_path / "copy"))
    thread.join()
    assert report.copied == 300
    assert take_snapshot(str(tmp_path / "copy")).fingerprint == expected
    assert take_snapshot(str(share)).fingerprint == expected


@pytest.mark.parametrize("look", [1, 2])
def test_share_that_is_away_at_one_look_alone_loses_no_file(
    clean: pytest.MonkeyPatch, tmp_path: Path, look: int
) -> None:
    """Before the file is opened, or after it is read; and the share is back when one looks for it."""
    clean.setattr("traffic_yolo.storage.retry.RetryPolicy.wait_s", lambda *_: 0.0)
    share, looks, stat = tmp_path / "mount" / "share", [0], LocalPlace.stat
    for number in range(3):
        storage.put(str(share / f"{number}.bin"), b"%d" % number * 100)

    def stat_and_be_away(self: LocalPlace) -> storage.StoredFile | None:
        if self.path != share / "1.bin":
            return stat(self)
        looks[0] += 1
        if looks[0] != look:
            return stat(self)
        (tmp_path / "mount").rename(tmp_path / "away")
        try:
            return stat(self)
        finally:
            (tmp_path / "away").rename(tmp_path / "mount")

    clean.setattr(LocalPlace, "stat", stat_and_be_away)
    report = storage.sync(str(share), str(tmp_path / "copy"))
    assert (report.copied, report.skipped) == (3, ())
    assert looks[0] == look + 2, "a file that was away is copied anew"
    assert (tmp_path / "copy" / "1.bin").read_bytes() == b"1" * 100


def test_file_that_is_removed_while_it_is_copied_is_named(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    share, stream = tmp_path / "share", LocalPlace.stream
    for number in range(3):
        storage.put(str(share / f"{number}.bin"), b"%d" % number * 100)

    def stream_and_remove(self: LocalPlace, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        yield from stream(self, offset, length)
        if self.path == share / "1.bin":
            self.path.unlink()

    clean.setattr(LocalPlace, "stream", stream_and_remove)
    report = storage.sync(str(share), str(tmp_path / "copy"))
    assert (report.copied, [skipped.name for skipped in report.skipped]) == (2, ["1.bin"])
    assert not (tmp_path / "copy" / "1.bin").exists()


def test_share_that_stays_away_is_said_and_harms_nothing(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "2")
    share = tmp_path / "mount"
    for number in range(3):
        storage.put(str(share / f"{number}.bin"), b"x")
    cache = str(tmp_path / "cache-file")
    before = take_snapshot(str(share), cache=cache)
    kept = Path(cache).read_bytes()
    real = LocalPlace.list_files

    def list_then_lose(self: LocalPlace, *, was_there: bool = False) -> storage.Listing:
        listing = real(self, was_there=was_there)
        share.rename(tmp_path / "away")
        return listing

    clean.setattr(LocalPlace, "list_files", list_then_lose)
    with pytest.raises(
        StorageError, match="gave up after 2 attempts in .*mount is gone; check that the share is mounted"
    ):
        take_snapshot(str(share))
    clean.setattr(LocalPlace, "list_files", real)
    with pytest.raises(StorageError, match="source not found: .*mount; check the path, or that the share is mounted"):
        take_snapshot(str(share), cache=cache)
    share.mkdir()  # what an unmounted share leaves
    with pytest.raises(StorageError, match="source is empty"):
        take_snapshot(str(share), cache=cache)
    share.rmdir()
    assert Path(cache).read_bytes() == kept
    (tmp_path / "away").rename(share)
    assert take_snapshot(str(share), cache=cache) == before


def test_target_that_is_lost_is_not_filled_under_its_mount_point(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "2")
    for number in range(50):
        storage.put(str(tmp_path / "source" / f"{number}.bin"), b"x")
    target = tmp_path / "target"
    real, count = LocalPlace.fetch, [0]

    def lose_it(self: LocalPlace, path: Path, sha256: str) -> storage.StoredFile:
        count[0] += 1
        if count[0] == 10:
            target.rename(tmp_path / "away")
            target.mkdir()
        return real(self, path, sha256)

    clean.setattr(LocalPlace, "fetch", lose_it)
    with pytest.raises(StorageError, match="the target is gone; check that it is mounted, and sync again"):
        storage.sync(str(tmp_path / "source"), str(target), jobs=1)
    assert storage.list_files(str(target)).files == []
    clean.setattr(LocalPlace, "fetch", real)
    shutil.rmtree(target / ".traffic-yolo-sync", ignore_errors=True)
    target.rmdir()
    (tmp_path / "away").rename(target)
    storage.sync(str(tmp_path / "source"), str(target))
    assert take_snapshot(str(target)).fingerprint == take_snapshot(str(tmp_path / "source")).fingerprint


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.ETIMEDOUT])
def test_pause_of_a_file_server_is_waited_for(clean: pytest.MonkeyPatch, tmp_path: Path, number: int) -> None:
    storage.put(str(tmp_path / "a"), b"content")
    real, left = os.scandir, [2]

    def pause(path: str) -> object:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number), path)
        return real(path)

    clean.setattr(os, "scandir", pause)
    assert [file.name for file in storage.list_files(str(tmp_path)).files] == ["a"]
    left[0] = 100
    clean.setenv("TRAFFIC_YOLO_STORAGE_ATTEMPTS", "3")
    with pytest.raises(
        StorageError, match=f"gave up after 3 attempts in 0 s: {os.strerror(number)}; check that the share"
    ):
        storage.list_files(str(tmp_path))


def test_waits_are_drawn_below_a_limit_that_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = RetryPolicy(attempts=8, base_s=0.25, cap_s=10)
    drawn: list[tuple[float, float]] = []
    monkeypatch.setattr(random, "uniform", lambda low, high: drawn.append((low, high)) or high)
    fault = Fault("x", passes=True)
    assert [policy.wait_s(attempt, fault) for attempt in range(1, 8)] == [0.25, 0.5, 1, 2, 4, 8, 10]
    assert {low for low, _ in drawn} == {0}
    assert policy.wait_s(1, Fault("x", passes=True, wait_s=7)) == 7
    assert policy.wait_s(1, Fault("x", passes=True, wait_s=7000)) == 60


def test_only_faults_that_pass_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("traffic_yolo.storage.retry.time.sleep", lambda _s: None)
    calls: list[int] = []

    def fail() -> None:
        calls.append(1)
        raise KeyError("x")

    with pytest.raises(StorageError, match="place: why"):
        retried(fail, "place", lambda _e: Fault("why", passes=False))
    assert len(calls) == 1
    with pytest.raises(KeyError):
        retried(fail, "place", lambda _e: None)
    assert len(calls) == 2
    with pytest.raises(StorageError, match="place: gave up after 5 attempts in 0 s: why"):
        retried(fail, "place", lambda _e: Fault("why", passes=True), RetryPolicy(attempts=5))
    assert len(calls) == 7
    attempts = Attempts("place", lambda _e: Fault("why", passes=True), RetryPolicy(attempts=2))
    for _ in range(5):  # progress in between: a long transfer over a bad line is not given up
        attempts.failed(ValueError())
        attempts.progressed()
