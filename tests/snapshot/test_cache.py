"""What the cache of hashes may save, and what it must never do: answer with a wrong hash."""

import os
import time
from pathlib import Path

import pytest
from examples import examples
from hypothesis import given
from hypothesis import strategies as st

from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.cli import main
from traffic_yolo.snapshot import reading
from traffic_yolo.snapshot.snapshot import fingerprint_of, take_snapshot
from traffic_yolo.storage import StoredFile, list_files
from traffic_yolo.storage.hash_cache import (
    COARSE_TICK_NS,
    FINE_TICK_NS,
    UNKNOWN,
    HashCache,
    entry_of,
    seconds_to_wait,
    tick_ns,
)
from traffic_yolo.storage.local import PACK_IDENTITY, identity_of


@pytest.fixture
def share(tmp_path: Path) -> Path:
    root = tmp_path / "share"
    (root / "20240501_siteA").mkdir(parents=True)
    for number in range(20):
        (root / "20240501_siteA" / f"{number}.bin").write_bytes(b"%d" % number * 100)
    return root


@pytest.fixture
def read_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are really read, as they are."""
    names: list[str] = []
    real = reading._hash_file

    def spy(task: reading.ReadTask) -> reading.FileReading:
        names.append(task.name)
        return real(task)

    monkeypatch.setattr(reading, "_hash_file", spy)
    return names


def test_second_look_reads_nothing_and_says_the_same(share: Path, tmp_path: Path, read_names: list[str]) -> None:
    cache = str(tmp_path / "cache")
    first = take_snapshot(str(share), cache=cache)
    assert len(read_names) == 20
    assert take_snapshot(str(share), cache=cache) == first
    assert len(read_names) == 20


@pytest.mark.parametrize("option", ["--out", "--cache", "--changes", "--gate-file"])
def test_file_of_ours_inside_the_source_is_refused_unless_hidden(
    share: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    """It would be new data at every look."""
    arguments = {"--source": str(share), "--out": str(tmp_path / "s.json"), option: str(share / "visible")}
    with pytest.raises(SystemExit):
        main(["snapshot", *(word for pair in arguments.items() for word in pair)])
    assert "lies inside the source; put it elsewhere, or begin its name with a dot" in capsys.readouterr().err
    hidden = str(share / ".cache")
    assert take_snapshot(str(share), cache=hidden) == take_snapshot(str(share), cache=hidden)


def test_only_what_changed_is_read(share: Path, tmp_path: Path, read_names: list[str]) -> None:
    cache = str(tmp_path / "cache")
    take_snapshot(str(share), cache=cache)
    read_names.clear()
    changed = share / "20240501_siteA" / "3.bin"
    changed.write_bytes(b"X" * changed.stat().st_size)
    os.utime(changed, (1, 1))
    (share / "new.bin").write_bytes(b"new")
    (share / "20240501_siteA" / "4.bin").unlink()
    now = take_snapshot(str(share), cache=cache)
    assert sorted(read_names) == ["20240501_siteA/3.bin", "new.bin"]
    assert now == take_snapshot(str(share))


def test_times_set_back_after_a_write_do_not_hide_it(share: Path, tmp_path: Path) -> None:
    """Size, mtime and inode are as before; nothing can set ctime."""
    cache, victim = str(tmp_path / "cache"), share / "20240501_siteA" / "3.bin"
    take_snapshot(str(share), cache=cache)
    before = victim.stat()
    with victim.open("r+b") as file:
        file.write(b"Z")
    os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert take_snapshot(str(share), cache=cache) == take_snapshot(str(share))


def test_share_that_was_renamed_is_not_read_again(share: Path, tmp_path: Path, read_names: list[str]) -> None:
    cache = str(tmp_path / "cache")
    before = take_snapshot(str(share), cache=cache)
    share.rename(tmp_path / "renamed")
    assert take_snapshot(str(tmp_path / "renamed"), cache=cache).fingerprint == before.fingerprint
    assert len(read_names) == 20


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "foreign", "version"])
def test_damaged_cache_costs_time_and_never_truth(
    share: Path, tmp_path: Path, read_names: list[str], damage: str
) -> None:
    cache = tmp_path / "cache"
    first = take_snapshot(str(share), cache=str(cache))
    data = cache.read_bytes()
    damaged = {
        "cut": data[: len(data) // 2],
        "bit": data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
        "empty": b"",
        "foreign": b"{}\n" + b"x" * 100,
        "version": data.replace(b'"version": 1', b'"version": 9'),
    }[damage]
    cache.write_bytes(damaged)
    read_names.clear()
    assert take_snapshot(str(share), cache=str(cache)) == first
    assert len(read_names) == 20
    assert HashCache.load(cache.read_bytes(), where="cache").entries.keys() == {
        f.name for f in list_files(str(share)).files
    }


def test_write_within_one_tick_of_the_look_is_seen_at_the_next(
    share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The racy case itself: a file system whose times do not move, and a write of the same size after our reading."""
    frozen = time.time_ns() // 1_000_000_000 * 1_000_000_000

    def coarse(status: os.stat_result) -> bytes:
        return PACK_IDENTITY(status.st_size, frozen, frozen, status.st_ino)

    monkeypatch.setattr(
        "traffic_yolo.storage.local.PACK_IDENTITY",
        lambda size, _m, _c, inode: PACK_IDENTITY(size, frozen, frozen, inode),
    )
    monkeypatch.setattr(reading, "identity_of", coarse)
    cache, victim = str(tmp_path / "cache"), share / "20240501_siteA" / "3.bin"
    first = take_snapshot(str(share), cache=cache)
    victim.write_bytes(b"9" * victim.stat().st_size)
    second = take_snapshot(str(share), cache=cache)
    assert second.fingerprint != first.fingerprint
    assert second == take_snapshot(str(share))


@given(ctime_ns=st.integers(0, 2**62), seen=st.integers(0, 2**61), later=st.integers(0, 5_000_000_000))
def test_hash_is_kept_only_a_tick_after_the_identity_was_seen(ctime_ns: int, seen: int, later: int) -> None:
    file = StoredFile("a", 1, 0, PACK_IDENTITY(1, 0, ctime_ns, 2))
    _, digest, seen_ns = entry_of(file, b"d" * 32, seen_ns=seen, read_ns=seen + later, immutable=False)
    needed = COARSE_TICK_NS if ctime_ns % 10**9 == 0 else FINE_TICK_NS
    assert tick_ns(file.identity) == needed
    assert (digest != UNKNOWN) == (later >= needed)
    assert seen_ns == seen


def test_wait_before_reading_is_short_and_only_where_it_helps() -> None:
    fine = StoredFile("a", 1, 0, PACK_IDENTITY(1, 0, 10**18 + 1, 2))
    coarse = StoredFile("a", 1, 0, PACK_IDENTITY(1, 0, 10**18, 2))
    assert seconds_to_wait([fine], 0, 0) == 0.1
    assert seconds_to_wait([fine], 0, 10**9) == 0
    assert seconds_to_wait([coarse], 0, 0) == 0


@examples(50)
@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: "\0" not in name and name.isprintable()),
        st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.integers(0, 2**62)),
    )
)
def test_cache_reads_back_as_it_was_written(entries: dict[str, tuple[bytes, bytes, int]]) -> None:
    loaded = HashCache.load(HashCache(entries, {"a": [1]}).dump(), where="x")
    assert loaded.entries == entries
    assert loaded.extra == {"a": [1]}


@pytest.mark.long
def test_counts_of_recordings_are_kept_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_share(
        tmp_path / "nas", SyntheticOptions(sites=2, recordings_per_site=1, frames_per_recording=3, image_wh=(160, 96))
    )
    source, cache = str(tmp_path / "nas" / "recordings"), str(tmp_path / "cache")
    first = take_snapshot(source, cache=cache)
    assert first.totals.frames == 6
    monkeypatch.setattr(reading, "count_recording", lambda *_: pytest.fail("counted again"))
    assert take_snapshot(source, cache=cache) == first
    assert first.fingerprint == fingerprint_of(first.files)


def test_file_that_changes_while_it_is_read_is_left_out_and_named(
    share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = share / "20240501_siteA" / "3.bin"
    real, left = os.read, [3]

    def grow(descriptor: int, size: int) -> bytes:
        if left[0] and os.path.samestat(os.fstat(descriptor), victim.stat()):
            left[0] -= 1
            with victim.open("ab") as file:
                file.write(b"more")
        return real(descriptor, size)

    monkeypatch.setattr(os, "read", grow)
    now = take_snapshot(str(share), cache=str(tmp_path / "cache"))
    assert [(skipped.name, skipped.reason) for skipped in now.skipped] == [("20240501_siteA/3.bin", reading.CHANGING)]
    assert len(now.files) == 19
    monkeypatch.setattr(os, "read", real)
    assert take_snapshot(str(share), cache=str(tmp_path / "cache")) == take_snapshot(str(share))


def test_identity_is_the_one_that_the_listing_gives(share: Path) -> None:
    for file in list_files(str(share)).files:
        assert file.identity == identity_of((share / file.name).stat())
