"""A share as one line of text, and finding the files of the line again on a share that lives."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from arrivals import made_last

from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.snapshot.component import hash_share
from traffic_yolo.snapshot.content import HeldFiles, ShareContent, held_files
from traffic_yolo.snapshot.options import RecordingsChoice
from traffic_yolo.snapshot.snapshot import take_snapshot

CUT_OFF = b"\x89HDF\r\n\x1a\n" + bytes(100)  # a recording that a snapshot leaves out
NAMES = {"20240501_siteA/a.h5", "20240501_siteB/b.h5"}


@pytest.fixture
def share(tmp_path: Path) -> Path:
    """Two recordings in two folders, and labels beside them; any bytes will do."""
    for name, data in (("20240501_siteA/a.h5", b"first bytes"), ("20240501_siteB/b.h5", b"second" * 1000)):
        (tmp_path / "share" / name).parent.mkdir(parents=True)
        (tmp_path / "share" / name).write_bytes(data)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "one.json").write_text("{}")
    return tmp_path / "share"


def choice(share: Path) -> RecordingsChoice:
    return RecordingsChoice(str(share), labels=str(share.parent / "labels"))


def content(share: Path) -> ShareContent:
    return ShareContent.of(take_snapshot(share, labels=share.parent / "labels"))


def held(share: Path, wanted: ShareContent) -> HeldFiles:
    return held_files(wanted, choice(share))


def test_text_is_one_line_that_reads_back_and_depends_on_content_alone(share: Path, tmp_path: Path) -> None:
    found = content(share)
    assert ShareContent.parse(str(found)) == found
    assert len(str(found).splitlines()) == 1
    shutil.copytree(share, tmp_path / "copy" / "share")
    shutil.copytree(tmp_path / "labels", tmp_path / "copy" / "labels")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (1, 1))
    assert str(content(tmp_path / "copy" / "share")) == str(found)


@pytest.mark.parametrize("text", ["", "a" * 64, f"{'a' * 64}-1-{'b' * 63}", f"{'a' * 64}-x-{'b' * 64}"])
def test_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OptionsError, match="fingerprint: expected the text that the task snapshot gave, found"):
        ShareContent.parse(text)


def test_unchanged_share_holds_its_files(share: Path) -> None:
    found = held(share, content(share))
    assert found.names == NAMES
    assert found.newer == ()
    assert set(found.hashes.entries) == {*NAMES, "labels:one.json"}


def test_what_came_later_is_told_from_the_rest_whatever_its_name_and_time(share: Path) -> None:
    wanted = content(share)
    early = share / "20230101_siteC" / "0.h5"
    early.parent.mkdir()
    early.write_bytes(b"sent late by its sensor")
    os.utime(early, (1, 1))  # copied with its own time
    made_last(early, share)
    found = held(share, wanted)
    assert (found.names, found.newer) == (NAMES, ("20230101_siteC/0.h5",))


def test_old_file_that_was_touched_does_not_hide_what_came_later(share: Path) -> None:
    wanted = content(share)
    later = share / "20240501_siteA" / "0.h5"
    later.write_bytes(b"came later")
    os.utime(later, ns=(0, time.time_ns() + 10**9))
    made_last(share / "20240501_siteA" / "a.h5", share)  # a new ctime, the old time of writing
    assert held(share, wanted).names == NAMES


def test_recording_that_was_cut_off_long_ago_is_left_out_again(share: Path, tmp_path: Path) -> None:
    (share / "0.h5").write_bytes(CUT_OFF)
    for number, name in enumerate(("0.h5", *sorted(NAMES))):  # older than the others, in both times
        data = (share / name).read_bytes()
        (share / name).write_bytes(data)
        os.utime(share / name, (number + 1, number + 1))
    wanted = content(share)
    (share / "later.h5").write_bytes(b"came later")
    made_last(share / "later.h5", tmp_path)
    found = held(share, wanted)
    assert (found.names, found.newer) == (NAMES, ("0.h5", "later.h5"))


def change_a_byte(share: Path) -> None:
    path = share / "20240501_siteA" / "a.h5"
    path.write_bytes(b"fir5t bytes")


def change_a_byte_and_hide_it(share: Path) -> None:
    path = share / "20240501_siteA" / "a.h5"
    status = path.stat()
    path.write_bytes(b"fir5t bytes")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def remove(share: Path) -> None:
    (share / "20240501_siteA" / "a.h5").unlink()


def replace_by_another(share: Path) -> None:
    (share / "20240501_siteA" / "a.h5").rename(share / "20240501_siteA" / "c.h5")


def grow(share: Path) -> None:
    with (share / "20240501_siteA" / "a.h5").open("ab") as file:
        file.write(b"!")


def change_labels(share: Path) -> None:
    (share.parent / "labels" / "one.json").write_text("[]")


def add_labels(share: Path) -> None:
    (share.parent / "labels" / "two.json").write_text("{}")
    made_last(share.parent / "labels" / "two.json", share.parent)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (change_a_byte, "names and sizes that the run began with, and other content"),
        (change_a_byte_and_hide_it, "names and sizes that the run began with, and other content"),
        (remove, "expected the 3 files that the run began with, found 2 files that are not these"),
        (replace_by_another, "expected the 3 files"),
        (grow, "expected the 3 files"),
        (change_labels, "other content"),
        (add_labels, r"labels: two\.json came since the run began"),
    ],
)
def test_share_that_is_another_one_is_refused_in_one_line(
    share: Path, change: Callable[[Path], None], words: str
) -> None:
    wanted = content(share)
    change(share)
    with pytest.raises(StorageError, match=f"{words}.*; start the run again") as caught:
        held(share, wanted)
    assert "\n" not in str(caught.value)


def test_hashes_that_a_task_kept_spare_the_next_one_the_reading(
    share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kfp import dsl

    wanted = content(share)
    kept = dsl.Artifact(uri=str(tmp_path / "hashes"))
    labels = str(tmp_path / "labels")
    hash_share.python_func(fingerprint=str(wanted), hashes=kept, source=str(share), labels=labels)
    read: list[int] = []

    def counted(tasks: list[object], *, jobs: int) -> list[object]:
        read.append(len(tasks))
        assert not tasks, jobs
        return []

    monkeypatch.setattr("traffic_yolo.snapshot.content.hash_files", counted)
    assert held_files(wanted, choice(share), cache=kept.path).names == NAMES
    assert read == [0]


def test_hashes_that_were_kept_are_no_proof_for_a_file_that_changed(share: Path, tmp_path: Path) -> None:
    wanted = content(share)
    (tmp_path / "hashes").write_bytes(held(share, wanted).hashes.dump())
    change_a_byte_and_hide_it(share)
    with pytest.raises(StorageError, match="other content"):
        held_files(wanted, choice(share), cache=tmp_path / "hashes")


def test_share_of_one_file_is_held_too(share: Path) -> None:
    one = share / "20240501_siteA" / "a.h5"
    found = held_files(ShareContent.of(take_snapshot(one)), RecordingsChoice(str(one)))
    assert found.names == {"a.h5"}
