"""What lies on a share: a fingerprint of names and contents alone, what is new, and refusals that name the place."""

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from traffic_yolo.errors import StorageError
from traffic_yolo.snapshot.changes import compare
from traffic_yolo.snapshot.snapshot import read_snapshot, take_snapshot, write_snapshot
from traffic_yolo.storage import CHUNK_BYTES, sha256_of_file


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """Two recordings in two folders; any bytes will do."""
    root = tmp_path / "share"
    for name, data in (("20240501_siteA/a.h5", b"first bytes"), ("20240501_siteB/b.h5", b"second" * 1000)):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(data)
    return root


def test_every_file_is_listed_with_its_size_and_checksum(share: Path) -> None:
    taken = take_snapshot(str(share))
    assert [(file.path, file.size) for file in taken.files] == [
        ("20240501_siteA/a.h5", 11),
        ("20240501_siteB/b.h5", 6000),
    ]
    assert [file.sha256 for file in taken.files] == [sha256_of_file(share / file.path) for file in taken.files]
    assert taken.totals.recordings == 2
    assert taken.totals.sites == ("A", "B")


def test_checksums_of_files_of_any_length_are_those_of_their_bytes(tmp_path: Path) -> None:
    """Files are read in one call where they fit into one: the lengths around that."""
    sizes = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 5)
    data = os.urandom(max(sizes))
    for size in sizes:
        (tmp_path / f"{size:08d}.bin").write_bytes(data[:size])
    taken = take_snapshot(str(tmp_path)).files
    assert [(file.size, file.sha256) for file in taken] == [
        (size, hashlib.sha256(data[:size]).hexdigest()) for size in sizes
    ]


def test_copy_rename_and_new_times_keep_the_fingerprint(share: Path, tmp_path: Path) -> None:
    before = take_snapshot(str(share)).fingerprint
    shutil.copytree(share, tmp_path / "copy of it")
    for path in (tmp_path / "copy of it").rglob("*"):
        os.utime(path, (1, 1))
    assert take_snapshot(str(tmp_path / "copy of it")).fingerprint == before
    share.rename(tmp_path / "renamed")
    assert take_snapshot(f"file://{tmp_path / 'renamed'}").fingerprint == before


@pytest.mark.parametrize("change", ["content", "name", "added", "removed"])
def test_any_change_of_content_changes_the_fingerprint(share: Path, change: str) -> None:
    before = take_snapshot(str(share)).fingerprint
    first = share / "20240501_siteA" / "a.h5"
    if change == "content":
        first.write_bytes(b"fir5t bytes")  # of the same size
    elif change == "name":
        first.rename(first.with_name("c.h5"))
    elif change == "added":
        (share / "empty.txt").write_bytes(b"")
    else:
        first.unlink()
    assert take_snapshot(str(share)).fingerprint != before


def test_names_that_begin_with_a_dot_do_not_count(share: Path) -> None:
    before = take_snapshot(str(share))
    (share / ".thumbnails").mkdir()
    (share / ".thumbnails" / "a.jpg").write_bytes(b"x")
    (share / "20240501_siteA" / ".a.h5.part").write_bytes(b"half")
    assert take_snapshot(str(share)) == before


def test_labels_are_part_of_the_fingerprint_wherever_they_lie(share: Path, tmp_path: Path) -> None:
    label_file = tmp_path / "elsewhere" / "labels.json"
    label_file.parent.mkdir()
    label_file.write_text("{}")
    alone, labelled = take_snapshot(str(share)), take_snapshot(str(share), labels=str(label_file))
    assert labelled.fingerprint != alone.fingerprint
    assert [file.path for file in labelled.files][-1] == "labels:labels.json"
    label_file.write_text('{"images": []}')
    assert take_snapshot(str(share), labels=str(label_file)).fingerprint != labelled.fingerprint


def test_site_is_read_from_names_of_either_layout(share: Path) -> None:
    before = take_snapshot(str(share))
    for name in ("20240502_siteA/d.h5", "20240502_siteC/20240502120000_0.h5", "day/20240502_120000_0001_10.0.0.42.h5"):
        (share / name).parent.mkdir(exist_ok=True)
        (share / name).write_bytes(b"new bytes")
    (share / "notes.txt").write_text("no recording")
    now = take_snapshot(str(share))
    assert now.totals.sites == ("A", "B", "C", "intersection4")
    assert compare(before, now).new_sites == ("C", "intersection4")


def test_snapshot_reads_back_as_it_was_written(share: Path, tmp_path: Path) -> None:
    taken = take_snapshot(str(share))
    write_snapshot(tmp_path / "snapshot.json", taken)
    assert read_snapshot(tmp_path / "snapshot.json") == taken


def test_two_snapshots_of_one_state_are_the_same_bytes(share: Path, tmp_path: Path) -> None:
    for name in ("one.json", "two.json"):
        write_snapshot(tmp_path / name, take_snapshot(str(share)))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "not a snapshot of schema version 2"),
        ({"schema_version": 1}, "not a snapshot of schema version 2"),
        ({"schema_version": 2}, "not a snapshot: 'files'"),
        ({"schema_version": 2, "files": [5]}, "not a snapshot"),
        ({"schema_version": 2, "files": [["a", 1, "0", "no number of frames"]]}, "not a snapshot"),
    ],
)
def test_previous_file_that_is_no_snapshot_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    with pytest.raises(StorageError, match=words) as caught:
        read_snapshot(tmp_path / "wrong.json")
    assert str(tmp_path / "wrong.json") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_snapshot_whose_files_were_changed_by_hand_is_refused(share: Path, tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    write_snapshot(path, take_snapshot(str(share)))
    content = json.loads(path.read_text())
    content["files"][0][2] = "0" * 64
    path.write_text(json.dumps(content))
    with pytest.raises(StorageError, match="fingerprint and files disagree; take the snapshot again"):
        read_snapshot(path)


def test_missing_share_and_missing_labels_are_told_apart(share: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"source not found: .*nowhere; .*mounted"):
        take_snapshot(str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match=r"label file not found: .*nowhere"):
        take_snapshot(str(share), labels=str(tmp_path / "nowhere"))


def test_share_without_a_file_is_refused_even_when_there_are_labels(tmp_path: Path) -> None:
    (tmp_path / "share" / "20240501_siteA").mkdir(parents=True)
    (tmp_path / "labels.json").write_text("{}")
    with pytest.raises(StorageError, match=r"source is empty: .*check that the share is mounted"):
        take_snapshot(str(tmp_path / "share"), labels=str(tmp_path / "labels.json"))


def test_file_that_cannot_be_read_is_named(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(path: Any, *args: Any, **options: Any) -> Any:
        if str(path).endswith("b.h5"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StorageError, match=r"b\.h5: permission denied"):
        take_snapshot(str(share))
