"""Locations, checksums, and writes that leave the old file or none."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from traffic_yolo import storage
from traffic_yolo.errors import StorageError


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_file_appears_whole_and_readable_by_others(tmp_path: Path) -> None:
    storage.write_text(tmp_path / "deep" / "a.txt", "ä\n")
    assert (tmp_path / "deep" / "a.txt").read_bytes() == "ä\n".encode()
    assert (tmp_path / "deep" / "a.txt").stat().st_mode & 0o777 == 0o644
    assert files_below(tmp_path) == ["deep", "deep/a.txt"]


def test_block_that_raises_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    storage.write_text(target, "old")
    with pytest.raises(RuntimeError, match="in the middle"), storage.atomic_file(target) as file:
        file.write(b"half of the ne")
        raise RuntimeError("in the middle")
    assert target.read_text() == "old"
    assert files_below(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "read-only")],
)
def test_disk_fault_becomes_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(_what: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr("traffic_yolo.storage.whole_folder.sync_below", refuse)
    with pytest.raises(StorageError, match=words) as caught:
        storage.write_text(tmp_path / "a.txt", "x")
    assert "a.txt" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(StorageError, match=words), storage.atomic_folder(tmp_path / "folder") as folder:
        (folder / "b.txt").write_text("x")
    assert files_below(tmp_path) == []


def test_file_and_its_name_are_on_the_disk_when_the_write_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The content before the rename, or a power cut leaves an empty file; the folder after it, or the old one."""
    events: list[str] = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        sync(descriptor)
        found = os.fstat(descriptor)
        events.append("folder" if os.path.samestat(found, tmp_path.stat()) else f"file of {found.st_size} bytes")

    def replaced(source: str, target: Path) -> None:
        replace(source, target)
        events.append("rename")

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    storage.write_text(tmp_path / "a.txt", "four")
    assert events == ["file of 4 bytes", "rename", "folder"]


def test_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(KeyError), storage.atomic_folder(tmp_path / "out") as folder:
        (folder / "first").write_text("1")
        raise KeyError("stop")
    assert files_below(tmp_path) == []
    with storage.atomic_folder(tmp_path / "out") as folder:
        (folder / "first").write_text("1")
        assert not (tmp_path / "out").exists()
    assert files_below(tmp_path) == ["out", "out/first"]


def test_folder_replaces_an_empty_one_and_refuses_a_filled_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with storage.atomic_folder(tmp_path / "out") as folder:
        (folder / "first").write_text("1")
    with pytest.raises(StorageError, match="output exists already"), storage.atomic_folder(tmp_path / "out"):
        pytest.fail("the block must not start")
    assert files_below(tmp_path) == ["out", "out/first"]


def test_nas_location_is_resolved_below_its_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(storage.NAS_ROOT_VARIABLE, str(tmp_path))
    assert storage.local_path("nas://share/day one") == tmp_path / "share" / "day one"
    with pytest.raises(StorageError, match="leaves the NAS root"):
        storage.local_path("nas://../secret")
    monkeypatch.delenv(storage.NAS_ROOT_VARIABLE)
    with pytest.raises(StorageError, match=storage.NAS_ROOT_VARIABLE):
        storage.local_path("nas://share")


def test_plain_and_file_locations_are_paths_and_others_are_refused() -> None:
    assert storage.local_path("a/b") == Path("a/b")
    assert storage.local_path("file:///a/b") == Path("/a/b")
    with pytest.raises(StorageError, match="unknown scheme 'ftp'"):
        storage.local_path("ftp://host/a")


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"recordings not found: .*nowhere"):
        storage.existing_folder(str(tmp_path / "nowhere"), what="recordings")
    with pytest.raises(StorageError, match="recordings is empty"):
        storage.existing_folder(str(tmp_path), what="recordings")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="recordings is not a folder"):
        storage.existing_folder(str(tmp_path / "file"), what="recordings")


def test_json_with_nan_is_refused_and_broken_json_is_located(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        storage.write_json(tmp_path / "a.json", {"ap": float("nan")})
    assert files_below(tmp_path) == []
    (tmp_path / "b.json").write_text('{"a": 1,\n oops}')
    with pytest.raises(StorageError, match=r"record is not valid JSON: .*b.json line 2 column 2"):
        storage.read_json(tmp_path / "b.json", what="record")
    with pytest.raises(StorageError, match="record not found"):
        storage.read_json(tmp_path / "none.json", what="record")


def test_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = os.urandom(3 * storage.CHUNK_BYTES // 2)
    (tmp_path / "a").write_bytes(data)
    assert storage.sha256_of_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_what_another_run_wrote_meanwhile_is_named_and_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"
    message = "output exists already: .*out: another run wrote it while this one ran"
    with pytest.raises(StorageError, match=message), storage.atomic_folder(out) as folder:
        (folder / "mine").write_text("")
        out.mkdir()
        (out / "theirs").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "theirs"]
