"""The door to HDF5: what is well-meant is read whatever its form, what is not is refused before it costs memory.

What is refused lies in tests/helpers/odd_recordings.py, and goes through whole commands in tests/dataset.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from tests.helpers.odd_recordings import ODD, SCANS, jpeg, write_good

from traffic_yolo.atm.hdf5_file import UNREAD, Hdf5File, Hdf5Group
from traffic_yolo.atm.inspection.inspect import inspect_recordings
from traffic_yolo.atm.recording import Recording
from traffic_yolo.atm.recording_limits import RecordingLimits
from traffic_yolo.atm.status import json_of, status_of
from traffic_yolo.errors import OptionsError, RecordingError

PICTURE = np.frombuffer(jpeg(5), np.uint8)
TABLE = np.array([[3, 0.9, 48, 64, 64, 48], [0] * 6], np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_good(tmp_path / "20210901_siteA" / "20210901120000_0.h5")


def put(path: Path, name: str, make: Callable[[Any], Any]) -> None:
    """Puts what `make` creates in the place of a data set of the second scan."""
    with h5py.File(path, "r+") as file:
        del file["SCAN_00001"][name]
        make(file["SCAN_00001"])


def raw_chunk(group: Any) -> None:
    """A chunk that the writer left unpacked, as HDF5 does with what does not get smaller."""
    made = group.create_dataset("Image", PICTURE.shape, "u1", chunks=PICTURE.shape, compression="gzip")
    made.id.write_direct_chunk((0,), PICTURE.tobytes(), filter_mask=1)


def variable_bytes(group: Any) -> None:
    made = group.create_dataset("Image", (1,), h5py.vlen_dtype(np.uint8))
    made[0] = PICTURE


@pytest.mark.parametrize(
    "make",
    [
        lambda group: group.create_dataset("Image", data=PICTURE, chunks=(700,), compression="gzip"),
        lambda group: group.create_dataset("Image", data=PICTURE, chunks=(700,), compression="lzf", fletcher32=True),
        lambda group: group.create_dataset("Image", data=PICTURE, chunks=(700,), maxshape=(None,)),
        lambda group: group.create_dataset("Image", data=PICTURE.reshape(1, -1)),
        lambda group: group.create_dataset("Image", data=PICTURE.view(np.int8)),
        lambda group: group.create_dataset("Image", data=np.void(PICTURE.tobytes())),
        raw_chunk,
        variable_bytes,
    ],
    ids=["gzip", "lzf", "chunks", "one row", "int8", "opaque", "raw chunk", "variable length"],
)
def test_a_picture_is_the_same_bytes_however_it_is_stored(path: Path, make: Callable[[Any], Any]) -> None:
    put(path, "Image", make)
    with Recording(path) as recording:
        assert recording.jpeg(1) == PICTURE.tobytes()


@pytest.mark.parametrize(
    "make",
    [
        lambda group: group.create_dataset("AI", data=TABLE, compression="gzip", shuffle=True, fletcher32=True),
        lambda group: group.create_dataset("AI", data=TABLE, compression="lzf", shuffle=True),
        lambda group: group.create_dataset("AI", data=TABLE.astype(">f8")),
        lambda group: group.create_dataset("AI", data=TABLE[:1], maxshape=(None, 6), chunks=(1000, 6), fillvalue=0),
    ],
    ids=["gzip", "lzf", "big endian", "growing"],
)
def test_a_table_is_the_same_numbers_however_it_is_stored(path: Path, make: Callable[[Any], Any]) -> None:
    put(path, "AI", make)
    with Recording(path) as recording:
        assert recording.scan(1).detections == recording.scan(0).detections


def test_records_are_read_by_the_fields_that_are_wanted_whatever_the_others_hold(path: Path) -> None:
    classes = h5py.enum_dtype({"BUS": 0, "CAR": 3}, "i1")
    fields = [("note", h5py.string_dtype()), ("class_id", classes), ("confidence", "<f4"), ("height", "<u2")]
    records = np.zeros(1, np.dtype([*fields, ("width", ">i8"), ("x", "<f8"), ("y", "<f2")]))
    records[0] = ("text", 3, 0.9, 48, 64, 64, 48)
    put(path, "AI", lambda group: group.create_dataset("AI", data=records))
    with Recording(path) as recording:
        assert recording.scan(1).detections == recording.scan(0).detections


def test_a_soft_link_within_the_file_is_followed(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["SCAN_00001"]["Image"]
        file["shared"], file["SCAN_00001"]["hop"] = PICTURE, h5py.SoftLink("/shared")
        file["SCAN_00001"]["Image"] = h5py.SoftLink("./hop")
    with Recording(path) as recording:
        assert recording.jpeg(1) == PICTURE.tobytes()


def test_an_empty_data_set_without_a_size_is_no_picture(path: Path) -> None:
    put(path, "Image", lambda group: group.create_dataset("Image", data=h5py.Empty("u1")))
    with Recording(path) as recording:
        assert recording.scan(1).jpeg is None


@pytest.mark.parametrize("literals", [True, False], ids=["literals", "copies"])
def test_an_lzf_chunk_that_goes_on_behind_its_end_is_refused(path: Path, literals: bool) -> None:
    stream = (b"\x1f" + bytes(32)) * 9 if literals else b"\x00a" + b"\xe0\xff\x00" * 40

    def make(group: Any) -> None:
        made = group.create_dataset("Image", (200,), "u1", chunks=(200,), compression="lzf")
        made.id.write_direct_chunk((0,), stream)

    put(path, "Image", make)
    with Recording(path) as recording, pytest.raises(RecordingError, match="more than the 200 bytes that it states"):
        recording.scan(1)


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"scans": 2}, "3 scans; expected 2 at most (limit recording_scans)"),
        ({"data_set_bytes": 100}, "expected 100 at most (limit recording_data_set_bytes)"),
        ({"table_rows": 1}, "2 rows; expected 1 at most (limit recording_table_rows)"),
        ({"picture_pixels": 6911}, "96x72 pixels; expected 6911 at most (limit picture_pixels)"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_lower_limit_refuses_and_is_named(path: Path, limit: dict[str, int], words: str) -> None:
    with (
        pytest.raises(RecordingError, match=re.escape(words)),
        Recording(path, limits=RecordingLimits(**limit)) as read,
    ):
        list(read.scans())


def test_zeros_may_be_packed_as_tightly_as_deflate_can_and_no_tighter_than_the_limit(path: Path) -> None:
    zeros = np.zeros(30 << 20, np.uint8)
    put(path, "Image", lambda group: group.create_dataset("Image", data=zeros, chunks=zeros.shape, compression=9))
    with Hdf5File(path) as file:
        found = file.listed_group("SCAN_00001").data_set("Image")
        assert found is not None
        assert found.read().shape == zeros.shape
    with Hdf5File(path, RecordingLimits(expansion=500)) as file:
        found = file.listed_group("SCAN_00001").data_set("Image")
        assert found is not None
        with pytest.raises(RecordingError, match=r"stores \d+; expected 500 for each stored one at most"):
            found.read()


@pytest.mark.parametrize("values", [{"scans": 0}, {"expansion": 1033}, {"table_rows": True}, {"status_bytes": 1.5}])
def test_limits_without_sense_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(OptionsError, match=f"^{next(iter(values))}: expected "):
        RecordingLimits(**values)


def test_attributes_of_a_stated_size_or_length_are_named_and_not_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["number"], file.attrs["fixed"], file.attrs["text"] = 7, np.bytes_(b"abc"), "any length"
        file.attrs["none"] = h5py.Empty("f4")
    with Hdf5File(path) as file:
        assert file.attributes() == {"number": 7, "fixed": b"abc", "text": UNREAD, "none": ""}


def test_what_lies_elsewhere_is_in_a_group_and_is_not_followed(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["SCAN_00001"]["door"] = h5py.ExternalLink("/etc/passwd", "/x")
    with Hdf5File(path) as file:
        scan = file.listed_group("SCAN_00001")
        assert isinstance(scan, Hdf5Group)
        assert ("door" in scan, "nothing" in scan, "SCAN_00002/AI" in file, "nowhere/AI" in file) == (
            True, False, True, False,
        )  # fmt: skip
        with pytest.raises(RecordingError, match="SCAN_00001 door: a link to another file"):
            scan.item("door")
        with pytest.raises(RecordingError, match="a data set stands where a group is expected"):
            scan.item("AI/x")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.h5")
    with pytest.raises(RecordingError, match="recording not found"):
        Recording(tmp_path / "a.h5")


@pytest.mark.long
def test_inspection_looks_at_odd_recordings_and_goes_on(tmp_path: Path) -> None:
    for number, odd in enumerate(ODD.values()):
        odd.change(write_good(tmp_path / f"20210901_site{number}" / f"20210901{number:06d}_0.h5", seed=number))
    good = write_good(tmp_path / "20210902_siteA" / "20210902120000_0.h5")
    found = inspect_recordings(tmp_path)
    kind = next(kind for kind in found.kinds if good in kind.files)
    assert kind.layout == "atm220-2021"
    assert kind.scans >= SCANS
    assert len(found.unreadable) > 20
    assert all(line.isprintable() for line in found.unreadable)
    assert not any(str(good) in line for line in found.unreadable)


def test_status_is_json_of_bounded_depth() -> None:
    assert status_of(b'{"a": {"b": [1]}}\0\0') == {"a": {"b": [1]}}
    assert json_of(b"[" * 32 + b"]" * 32)
    for depth, words in (34, "nested more than 32 deep"), (900, "levels inside"), (100_000, "levels inside"):
        with pytest.raises(ValueError, match=words):
            json_of(b"[" * depth + b"]" * depth)
    with pytest.raises(ValueError, match="not valid JSON"):
        status_of(b'{"n": ' + b"9" * 5000 + b"}")
    with pytest.raises(ValueError, match="expected a JSON object, found int"):
        status_of(b"1")
