"""The reader: both layouts, odd recordings, damaged ones, and the real recordings of the reference material."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

from traffic_yolo.atm.layouts import LAYOUT_FOLDER, load_layout, read_layout
from traffic_yolo.atm.recording import Recording, find_recordings
from traffic_yolo.errors import RecordingError

OLD_ROW = [3, 0.9, 48, 64, 320, 240]  # class, confidence, height, width, x, y in 640 x 480
FIELDS = [(name, "<f4") for name in load_layout("atm-2024").detections.columns]


def jpeg(width: int = 960, height: int = 540) -> np.ndarray:
    return cv2.imencode(".jpg", np.full((height, width, 3), 90, np.uint8))[1].ravel()


def write(path: Path, scans: dict[str, dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, datasets in scans.items():
            group = file.create_group(name)
            for dataset, value in datasets.items():
                group.create_dataset(dataset, data=value)
    return path


def old(rows: list[list[float]], **more: Any) -> dict[str, Any]:
    return {"AI": np.array(rows, np.float32).reshape(-1, 6), "Image": jpeg(), **more}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "20210901_siteA" / "20210901120000_0.h5"


def test_boxes_of_2021_are_scaled_from_640x480_to_the_pictures_own_size(path: Path) -> None:
    write(path, {"SCAN_00004": old([OLD_ROW])})
    with Recording(path) as recording:
        (scan,) = recording.scans()
    assert (scan.number, scan.name, scan.image_wh) == (4, "SCAN_00004", (960, 540))
    (detection,) = scan.detections
    assert detection.class_name == "CAR"
    assert detection.xywh == pytest.approx((480, 270, 96, 54))
    assert detection.confidence == pytest.approx(0.9)
    assert (recording.site, recording.day, recording.time, recording.name) == (
        "A",
        "20210901",
        "120000",
        "20210901120000_0",
    )


def test_the_list_of_2021_ends_at_the_first_confidence_0(path: Path) -> None:
    behind_the_end = [3, 0.5, 10, 10, 1, 1]
    write(path, {"SCAN_00001": old([OLD_ROW, OLD_ROW, [0] * 6, behind_the_end]), "SCAN_00002": old([OLD_ROW])})
    with Recording(path) as recording:
        assert [len(scan.detections) for scan in recording.scans()] == [2, 1]


@pytest.mark.parametrize("named", [True, False])
def test_2024_rows_are_read_as_records_and_as_a_plain_table(tmp_path: Path, named: bool) -> None:
    record = np.zeros(2, FIELDS)
    for name, value in {
        "class_id": 5,
        "confidence": 0,
        "bbox_x": -10.24,
        "bbox_y": 57.6,
        "bbox_w": 102.4,
        "bbox_h": 5.76,
    }.items():
        record[name] = value
    record["match_robj_id"] = (7, -1)
    rows = record if named else np.array(record.tolist(), np.float32)
    status = np.frombuffer(b'{"gps": {"latitude": 1.5}}\0', np.uint8)
    path = write(
        tmp_path / "20240501_120000_0001_10.0.0.42.h5",
        {
            "SCAN_00000": {
                "Vision_object": rows,
                "Image": jpeg(1920, 1080),
                "Status": status,
                "Object": np.zeros((2, 21)),
            }
        },
    )
    with Recording(path) as recording:
        scan = recording.scan(0)
    assert recording.layout.name == "atm-2024"
    assert recording.camera == "10.0.0.42"
    assert [detection.class_name for detection in scan.detections] == [
        "PEDESTRIAN"
    ] * 2  # confidence 0 ends nothing here
    assert scan.detections[0].xywh == pytest.approx((-19.2, 108, 192, 10.8))  # partly outside, and left so
    assert [detection.attributes["match_robj_id"] for detection in scan.detections] == [7, -1]
    assert scan.status == {"gps": {"latitude": 1.5}}
    assert scan.tracks is not None
    assert scan.tracks.shape == (2, 21)


def test_missing_numbers_missing_pictures_and_other_groups_are_taken_as_they_are(path: Path) -> None:
    write(path, {"SCAN_00010": old([OLD_ROW]), "SCAN_00002": {"AI": np.array([OLD_ROW])}, "Settings": {"a": [1]}})
    with Recording(path) as recording:
        assert recording.scan_numbers == (2, 10)
        first, second = recording.scans()
        with pytest.raises(RecordingError, match=r"SCAN_00002: no picture in this scan"):
            recording.jpeg(2)
        with pytest.raises(RecordingError, match="no scan 3; it has 2 from 2 to 10"):
            recording.scan(3)
    assert first.jpeg is None
    assert first.detections[0].xywh == pytest.approx((960, 540, 192, 108))  # by the layout's nominal size
    assert second.jpeg == jpeg().tobytes()
    assert second.tracks is None


def test_pictures_may_be_opaque_values(path: Path) -> None:
    write(path, {"SCAN_00001": {"AI": np.array([OLD_ROW]), "Image": np.void(jpeg().tobytes())}})
    with Recording(path) as recording:
        assert recording.scan(1).image_wh == (960, 540)


def test_a_layout_of_ones_own_reads_centred_boxes_in_picture_pixels(tmp_path: Path) -> None:
    text = (LAYOUT_FOLDER / "atm220-2021.yaml").read_text()
    for before, after in (
        ("dataset: AI ", "dataset: Boxes "), ("box_anchor: top_left", "box_anchor: centre"),
        ("box_space_wh: [640, 480]", "box_space_wh: picture"),
        ("end_of_list: zero_confidence", "end_of_list: all_rows"),
        (r"SCAN_(?P<number>\d{5,})", r"frame(?P<number>\d+)"), ("width, x, y]", "width, x, y, speed]"),
        ("attributes: []", "attributes: [speed]"),
    ):  # fmt: skip
        assert before in text
        text = text.replace(before, after)
    layout_path = tmp_path / "mine.yaml"
    layout_path.write_text(text)
    path = write(tmp_path / "a.h5", {"frame7": {"Boxes": np.array([[0, 0.5, 20, 40, 100, 50, 13.5]]), "Image": jpeg()}})
    with Recording(path, read_layout(layout_path)) as recording:
        (scan,) = recording.scans()
    assert scan.number == 7
    assert scan.detections[0].xywh == (80, 40, 40, 20)
    assert scan.detections[0].attributes == {"speed": 13.5}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([3, 0.9, np.nan, 64, 320, 240], "height is nan; expected a number"),
        ([3, np.nan, 48, 64, 320, 240], "confidence is nan"),
        ([9, 0.9, 48, 64, 320, 240], "unknown class id 9; layout atm220-2021 knows 0 BUS, 1 TRUCK"),
        ([2.5, 0.9, 48, 64, 320, 240], "unknown class id 2.5"),
        ([3, 1.7, 48, 64, 320, 240], "confidence is 1.7; expected 0 to 1"),
        ([3, 0.9, -1, 64, 320, 240], "box is 64 wide and -1 high"),
    ],
    ids=["nan box", "nan confidence", "class", "half a class", "confidence", "size"],
)
def test_bad_rows_are_refused_or_skipped_and_counted(path: Path, row: list[float], message: str) -> None:
    write(path, {"SCAN_00001": old([OLD_ROW, row, OLD_ROW])})
    with Recording(path) as recording, pytest.raises(RecordingError, match=message) as refusal:
        recording.scan(1)
    assert f"{path} SCAN_00001 AI row 1" in str(refusal.value)
    with Recording(path, skip_bad_rows=True) as recording:
        assert len(recording.scan(1).detections) == 2
        assert recording.skipped_rows == 1


def test_tracks_that_are_not_finite_or_too_many_are_refused(path: Path) -> None:
    tracks = np.zeros((3, 21))
    tracks[1, 5] = np.inf
    write(path, {"SCAN_00001": old([], Object=tracks), "SCAN_00002": old([], Object=np.zeros((257, 21)))})
    with Recording(path) as recording:
        with pytest.raises(RecordingError, match="SCAN_00001 Object row 1: xpos is inf"):
            recording.scan(1)
        with pytest.raises(RecordingError, match="257 tracks; expected 256 at most"):
            recording.scan(2)
    with Recording(path, skip_bad_rows=True) as recording:
        kept = recording.scan(1).tracks
    assert kept is not None
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        ({"AI": np.zeros((2, 5), np.float32)}, r"AI: expected a table .* 6 columns, found float32 of shape \(2, 5\)"),
        ({"AI": np.zeros((0, 6)), "Image": np.arange(9, dtype=np.uint8)}, "SCAN_00001: not a JPEG"),
        ({"AI": np.zeros((0, 6)), "Image": np.zeros((4, 4), np.float32)}, "SCAN_00001 Image: expected bytes"),
        ({"Vision_object": np.zeros(1, FIELDS[:-1])}, "SCAN_00001 Vision_object: no column heading"),
        ({"Vision_object": np.zeros(0, FIELDS), "Status": np.frombuffer(b"{", np.uint8)}, "Status: not valid JSON"),
        ({"Vision_object": np.zeros(0, FIELDS), "Status": np.frombuffer(b"[]", np.uint8)}, "JSON object, found list"),
    ],
    ids=["columns", "no jpeg", "float image", "field", "json", "json list"],
)  # fmt: skip
def test_data_sets_of_another_shape_are_refused(path: Path, datasets: dict[str, Any], message: str) -> None:
    write(path, {"SCAN_00001": datasets})
    with Recording(path) as recording, pytest.raises(RecordingError, match=message):
        list(recording.scans())


def test_a_truncated_file_is_refused_with_its_name_and_what_to_do(path: Path) -> None:
    write(path, {f"SCAN_{n:05d}": old([OLD_ROW]) for n in range(20)})
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(
        RecordingError, match=r"recording is cut off at \d+ bytes; copy it again from the device"
    ) as refusal:
        Recording(path)
    assert str(path) in str(refusal.value)


def test_damage_in_the_middle_is_refused_with_the_scan(path: Path) -> None:
    write(path, {f"SCAN_{n:05d}": old([OLD_ROW]) for n in range(3)})
    with h5py.File(path, "r+") as file:
        broken = file["SCAN_00001"].create_dataset("Object", shape=(8, 21), dtype="f4", chunks=(8, 21), fletcher32=True)
        broken[:] = 1.0
        offset = broken.id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[offset : offset + 16] = bytes(16)
    path.write_bytes(data)
    with Recording(path) as recording, pytest.raises(RecordingError, match="SCAN_00001 Object: damaged HDF5"):
        list(recording.scans())


def test_what_is_not_hdf5_or_not_there_is_refused(path: Path) -> None:
    path.parent.mkdir()
    with pytest.raises(RecordingError, match="recording not found"):
        Recording(path)
    path.write_bytes(b"no recording" * 100)
    with pytest.raises(RecordingError, match="not an HDF5 file"):
        Recording(path)


def test_an_unknown_layout_and_a_file_without_scans_are_refused(path: Path) -> None:
    write(path, {"SCAN_00001": {"Boxes": np.zeros((1, 6))}})
    with pytest.raises(RecordingError, match=r"unknown layout; .*AI \(atm220-2021\).* found Boxes; describe the file"):
        Recording(path)
    write(path, {"Settings": {"AI": [1]}})
    with pytest.raises(RecordingError, match="unknown layout"):
        Recording(path)
    with pytest.raises(RecordingError, match="no scans; expected groups named SCAN_"):
        Recording(path, load_layout("atm-2024"))
    write(path, {})
    with pytest.raises(RecordingError, match="found no scans"):
        Recording(path)


def test_recordings_are_found_below_a_folder_in_order_without_hidden_ones(tmp_path: Path) -> None:
    for name in ("b/2.h5", "a/1.h5", ".trash/3.h5", "a/.4.h5", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert find_recordings(tmp_path) == [tmp_path / "a/1.h5", tmp_path / "b/2.h5"]
    assert find_recordings(tmp_path / "a/1.h5") == [tmp_path / "a/1.h5"]


@pytest.mark.reference
def test_real_recordings_hold_the_scans_and_pictures_that_their_tables_name(reference: Path) -> None:
    folder = reference / "traffic"
    with (folder / "frames.csv").open() as file:
        listed = Counter((row["recording"], int(row["scan"])) for row in csv.DictReader(file))
    labels = json.loads((folder / "human_labels.json").read_text())
    pictures = {
        (i["recording"], i["scan"]): (i["width"], i["height"], i["site"], i["file_name"]) for i in labels["images"]
    }
    found = {}
    layouts = {}
    for path in find_recordings(folder / "recordings"):
        with Recording(path) as recording:
            layouts[recording.site] = recording.layout.name
            for scan in recording.scans():
                assert scan.image_wh is not None
                name = f"{recording.name}/{scan.name}.jpg"
                found[path.name, scan.number] = (*scan.image_wh, recording.site, name)
    assert set(found) == set(listed)
    assert found == pictures
    assert layouts == {"A": "atm220-2021", "C": "atm220-2021", "F": "atm220-2021", "B": "atm-2024", "E": "atm-2024"}


@pytest.mark.reference
def test_real_device_detections_lie_on_the_human_boxes(reference: Path) -> None:
    folder = reference / "traffic"
    labels = json.loads((folder / "human_labels.json").read_text())
    image_ids = {(image["recording"], image["scan"]): image["id"] for image in labels["images"]}
    human: dict[int, list[list[float]]] = {}
    for annotation in labels["annotations"]:
        human.setdefault(annotation["image_id"], []).append(annotation["bbox"])
    total = near = 0
    for path in find_recordings(folder / "recordings"):
        with Recording(path) as recording:
            for scan in recording.scans():
                boxes = np.array(human.get(image_ids[path.name, scan.number], [])).reshape(-1, 4)
                for detection in scan.detections:
                    total += 1
                    centre = np.add(detection.xywh[:2], np.divide(detection.xywh[2:], 2))
                    inside = (np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - centre) < boxes[:, 2:] / 2).all(axis=1)
                    near += bool(inside.any())
    assert total == 1705
    assert near > 0.9 * total  # the rest are the false ones that the device was given
