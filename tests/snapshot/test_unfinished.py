"""Recordings that are still being written, links, odd names: left out of a snapshot, and named."""

import os
import shutil
import struct
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from traffic_yolo.atm.census import take_census
from traffic_yolo.atm.hdf5_state import HEAD_BYTES, why_unfinished
from traffic_yolo.atm.layouts import LAYOUT_FOLDER
from traffic_yolo.atm.recording import Recording, find_recordings
from traffic_yolo.atm.synthetic.share import SyntheticOptions, write_share
from traffic_yolo.errors import RecordingError, StorageError
from traffic_yolo.snapshot import reading
from traffic_yolo.snapshot.snapshot import take_snapshot


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nas")
    write_share(
        folder / "nas", SyntheticOptions(sites=2, recordings_per_site=1, frames_per_recording=4, image_wh=(160, 96))
    )
    return folder / "nas" / "recordings"


@pytest.fixture
def share(recordings: Path, tmp_path: Path) -> Path:
    shutil.copytree(recordings, tmp_path / "share")
    return tmp_path / "share"


def reasons(share: Path, **options: float) -> dict[str, str]:
    return {skipped.name: skipped.reason for skipped in take_snapshot(str(share), **options).skipped}  # type: ignore[arg-type]


@pytest.mark.long
def test_recording_that_is_cut_off_is_left_out_at_every_length(share: Path) -> None:
    victim = find_recordings(share)[0]
    data = victim.read_bytes()
    name = victim.relative_to(share).as_posix()
    for length in (0, 1, 7, 8, 40, 100, len(data) // 2, len(data) - 1):
        victim.write_bytes(data[:length])
        assert reasons(share)[name].startswith("is still being written, or was cut off: "), length
    victim.write_bytes(data)
    assert reasons(share) == {}


def test_file_that_is_cut_off_counts_for_nothing_until_it_is_whole(share: Path) -> None:
    victim = find_recordings(share)[0]
    whole = take_snapshot(str(share))
    data = victim.read_bytes()
    victim.write_bytes(data[:-1])
    partly = take_snapshot(str(share))
    assert (partly.totals.recordings, partly.totals.frames) == (1, 4)
    victim.write_bytes(data)
    assert take_snapshot(str(share)).fingerprint == whole.fingerprint


@pytest.mark.parametrize("version", ["earliest", "latest", ("v108", "v108"), ("v110", "v110")])
@pytest.mark.parametrize("userblock", [0, 512, 2048])
def test_files_of_every_superblock_are_told_whole_or_not(tmp_path: Path, version: str, userblock: int) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=version, userblock_size=userblock) as file:
        file["x"] = np.arange(1000)
    data = path.read_bytes()
    assert why_unfinished(data[:HEAD_BYTES], len(data)) == ""
    assert f"{len(data) - 1} bytes, where its own header says" in why_unfinished(data[:HEAD_BYTES], len(data) - 1)


def test_file_that_is_open_for_writing_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["x"] = np.arange(1000)
        file.swmr_mode = True
        data = path.read_bytes()
        assert why_unfinished(data[:HEAD_BYTES], len(data)) == "open for writing"
    data = path.read_bytes()
    assert why_unfinished(data[:HEAD_BYTES], len(data)) == ""


def test_head_of_any_bytes_raises_nothing() -> None:
    signature = b"\x89HDF\r\n\x1a\n"
    random = np.random.default_rng(0)
    for version in (*range(6), 255):
        for length in (0, 1, 5, 30, 60):
            head = signature + bytes([version]) + random.bytes(length)
            why_unfinished(head, len(head))
    undefined = signature + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(8) + struct.pack("<3Q", 0, 0, 2**64 - 1)
    assert "nothing yet" in why_unfinished(undefined, 1000)


def test_recording_that_vanishes_while_it_is_counted_is_left_out_and_named(
    share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = find_recordings(share)[0]
    real = reading.count_recording

    def count(path: str, *rest: object) -> object:
        if path == str(victim):
            victim.unlink()
        return real(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "count_recording", count)
    assert reasons(share) == {victim.relative_to(share).as_posix(): reading.VANISHED}


def test_young_recording_waits_until_it_has_settled(share: Path) -> None:
    first, second = find_recordings(share)
    now = time.time()
    os.utime(first, (now - 100_000, now - 100_000))
    os.utime(second, (now, now))
    assert reasons(share, settle_s=50_000) == {second.relative_to(share).as_posix(): "is younger than 50000 s"}
    for path in [path for path in share.rglob("*") if path.is_file() and path.suffix != ".h5"]:
        path.unlink()
    with pytest.raises(
        StorageError, match="source has nothing to take: .*; left out: .* \\(is younger than 500000 s\\)"
    ):
        take_snapshot(str(share), settle_s=500_000)


def test_labels_that_are_cut_off_stop_the_snapshot(share: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.h5"
    labels.write_bytes(find_recordings(share)[0].read_bytes()[:-1])
    with pytest.raises(StorageError, match="labels.h5: is still being written"):
        take_snapshot(str(share), labels=str(labels))


def test_links_and_devices_are_left_out_and_named_unless_they_stay_inside(share: Path, tmp_path: Path) -> None:
    outside = tmp_path / "secret.h5"
    shutil.copy(find_recordings(share)[0], outside)
    before = take_snapshot(str(share)).fingerprint
    (share / "out.h5").symlink_to(outside)
    (share / "out_folder").symlink_to(tmp_path)
    (share / "loop").symlink_to(share)
    (share / "nothing.h5").symlink_to(share / "nowhere")
    (share / "self.h5").symlink_to(share / "self.h5")
    os.mkfifo(share / "pipe.h5")
    taken = take_snapshot(str(share))
    assert {skipped.name: skipped.reason for skipped in taken.skipped} == {
        "out.h5": f"a link out of the folder, to {outside}",
        "out_folder": f"a link out of the folder, to {tmp_path}",
        "loop": "a link out of the folder, to " + str(share),
        "nothing.h5": "a link that leads nowhere",
        "self.h5": "a link that leads nowhere",
        "pipe.h5": "not a regular file",
    }
    assert taken.fingerprint == before
    (share / "inside.h5").symlink_to(find_recordings(share)[0])
    assert "inside.h5" in [file.path for file in take_snapshot(str(share)).files]


def test_names_of_all_kinds_are_taken_as_they_are(tmp_path: Path) -> None:
    names = [
        "a b",
        "ü/漢字/ملف",
        "100%",
        "a%20b",
        "new\nline",
        "tab\t",
        "back\\slash",
        "quote\"'",
        "e\u0301",
        "🚗",
        "-rf",
        "~",
    ]
    for name in names:
        (tmp_path / "share" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "share" / name).write_bytes(name.encode())
    with open(os.fsencode(tmp_path / "share") + b"/latin-\xe9", "wb") as file:
        file.write(b"x")
    taken = take_snapshot(str(tmp_path / "share"), cache=str(tmp_path / "cache"))
    assert sorted(file.path for file in taken.files) == sorted(names)
    assert [(skipped.name, skipped.reason) for skipped in taken.skipped] == [
        ("latin-\\udce9", "the name is not UTF-8; rename it")
    ]
    assert take_snapshot(str(tmp_path / "share"), cache=str(tmp_path / "cache")) == taken


def test_recording_that_is_whole_and_unreadable_stays_and_is_named(share: Path) -> None:
    (share / "20240501_siteX").mkdir()
    with h5py.File(share / "20240501_siteX" / "20240501120000_0.h5", "w") as file:
        file["something_else"] = [1]
    (share / "text.h5").write_text("this is no HDF5 file")
    totals = take_snapshot(str(share)).totals
    named = dict(totals.unreadable)
    assert named["20240501_siteX/20240501120000_0.h5"].startswith("unknown layout; expected scans with one of")
    assert named["text.h5"].startswith("not an HDF5 file")
    assert (totals.recordings, totals.frames) == (4, 8)


def test_census_counts_as_the_reader_reads(recordings: Path) -> None:
    for path in find_recordings(recordings):
        counted: dict[str, int] = {}
        with Recording(path, skip_bad_rows=True) as recording:
            scans = list(recording.scans())
        for detection in (detection for scan in scans for detection in scan.detections):
            counted[detection.class_name] = counted.get(detection.class_name, 0) + 1
        census = take_census(path)
        assert census.frames == sum(scan.jpeg is not None for scan in scans)
        assert census.detections == counted


@pytest.mark.reference
def test_census_of_the_real_recordings_is_that_of_their_readme(reference: Path) -> None:
    totals = take_snapshot(str(reference / "traffic" / "recordings")).totals
    assert (totals.recordings, totals.frames, totals.sites) == (5, 116, ("A", "B", "C", "E", "F"))


def test_layout_of_ones_own_is_counted_and_sited_by_it(share: Path, tmp_path: Path) -> None:
    """The built-in layouts do not know this data set; a YAML file that renames it does, with the same cache."""
    text = (LAYOUT_FOLDER / "atm220-2021.yaml").read_text()
    own = tmp_path / "own.yaml"
    own.write_text(text.replace("dataset: AI", "dataset: Boxes").replace("name: atm220-2021", "name: own"))
    folder = tmp_path / "own" / "20240501_siteZ"
    folder.mkdir(parents=True)
    with h5py.File(folder / "20240501120000_0.h5", "w") as file:
        file["SCAN_00000/Boxes"] = np.array([[3, 0.9, 40, 60, 10, 20], [0, 0, 0, 0, 0, 0]], np.float32)
        file["SCAN_00000/Image"] = np.frombuffer(b"\xff\xd8 a picture", np.uint8)
    source, cache = str(tmp_path / "own"), str(tmp_path / "cache")
    assert take_snapshot(source, cache=cache).totals.frames == 0
    totals = take_snapshot(source, cache=cache, layout=str(own)).totals
    assert (totals.frames, totals.sites, totals.detections, totals.unreadable) == (1, ("Z",), {"CAR": 1}, ())
    with pytest.raises(RecordingError, match="unknown layout 'nowhere'"):
        take_snapshot(source, layout="nowhere")
