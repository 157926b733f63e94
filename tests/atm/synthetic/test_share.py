"""A share as a whole: it reads back, is the same every time, and its labels, boxes and tracks fit each other."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from examples import slow

from traffic_yolo.atm.calibration import read_calibration
from traffic_yolo.atm.jpeg import check_jpeg_complete
from traffic_yolo.atm.layouts import load_layout
from traffic_yolo.atm.recording import Recording, Scan, find_recordings
from traffic_yolo.atm.synthetic import ShareSummary, SyntheticOptions, write_share
from traffic_yolo.atm.synthetic.share import HARD, condition_of
from traffic_yolo.errors import OptionsError, StorageError

SMALL = SyntheticOptions(sites=2, recordings_per_site=1, frames_per_recording=4, image_wh=(320, 180), seed=7)
LARGER = SyntheticOptions(sites=2, recordings_per_site=1, frames_per_recording=21, image_wh=(480, 270), seed=3)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ShareSummary]:
    out = tmp_path_factory.mktemp("share") / "nas"
    return out, write_share(out, LARGER)


@pytest.fixture(scope="module")
def share(written: tuple[Path, ShareSummary]) -> Path:
    return written[0]


@pytest.fixture(scope="module")
def labels(share: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((share / "human_labels.json").read_text())
    return loaded


def scans(share: Path) -> Iterator[tuple[Path, Recording, Scan]]:
    for path in find_recordings(share / "recordings"):
        with Recording(path) as recording:
            for scan in recording.scans():
                yield path, recording, scan


def annotations_by_picture(labels: dict[str, Any]) -> dict[tuple[str, int], list[dict[str, Any]]]:
    keys = {image["id"]: (image["recording"], image["scan"]) for image in labels["images"]}
    found: dict[tuple[str, int], list[dict[str, Any]]] = {key: [] for key in keys.values()}
    for annotation in labels["annotations"]:
        found[keys[annotation["image_id"]]].append(annotation)
    return found


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_picture_reads_back_with_its_label_entry(share: Path, labels: dict[str, Any]) -> None:
    images = {(image["recording"], image["scan"]): image for image in labels["images"]}
    found = set()
    for path, recording, scan in scans(share):
        if scan.jpeg is None:
            continue
        check_jpeg_complete(scan.jpeg, decode=True)
        image = images[path.name, scan.number]
        assert (image["width"], image["height"]) == scan.image_wh == (480, 270)
        assert image["file_name"] == f"{recording.name}/{scan.name}.jpg"
        assert image["site"] == recording.site
        found.add((path.name, scan.number))
    assert found == set(images)
    assert len(found) == 42


def test_both_layouts_are_used_with_status_and_missing_pictures_and_numbers(share: Path) -> None:
    layouts = {}
    for path in find_recordings(share / "recordings"):
        with Recording(path) as recording:
            layouts[recording.site] = recording.layout.name
            read = list(recording.scans())
            numbers = [scan.number for scan in read]
            assert sum(scan.jpeg is None for scan in read) == 1
            assert len(numbers) < numbers[-1] - numbers[0] + 1
            if recording.layout.name == "atm-2024":
                assert all(scan.status is not None and "latitude" in scan.status["gps"] for scan in read)
                assert recording.camera == "10.0.0.11"
    assert layouts == {"A": "atm220-2021", "B": "atm-2024"}


def test_labels_have_the_shape_of_human_labels(labels: dict[str, Any]) -> None:
    classes = load_layout("atm-2024").classes
    assert labels["categories"] == [{"id": class_id, "name": name} for class_id, name in classes.items()]
    assert [annotation["id"] for annotation in labels["annotations"]] == list(range(1, len(labels["annotations"]) + 1))
    for annotation in labels["annotations"]:
        left, top, width, height = annotation["bbox"]
        assert min(left, top) >= 0
        assert left + width <= 480.001
        assert top + height <= 270.001
        assert annotation["bbox"] == [round(value, 3) for value in annotation["bbox"]]
        assert annotation["area"] == pytest.approx(width * height, abs=0.3)
        assert annotation["iscrowd"] == 0
        hidden, low = annotation["attributes"]["visible"] < 0.249, height < 3.99
        assert annotation["ignore"] == 1 or not (hidden or low)


@pytest.mark.reference
def test_labels_have_the_keys_of_the_real_file(labels: dict[str, Any], reference: Path) -> None:
    real = json.loads((reference / "traffic" / "human_labels.json").read_text())
    assert set(labels) == set(real)
    assert labels["categories"] == real["categories"]
    for part in ("images", "annotations"):
        assert set(real[part][0]) <= set(labels[part][0])


def test_every_class_is_there_and_counted(labels: dict[str, Any], written: tuple[Path, ShareSummary]) -> None:
    names = {category["id"]: category["name"] for category in labels["categories"]}
    counts: dict[str, int] = {}
    for annotation in labels["annotations"]:
        if not annotation["ignore"]:
            name = names[annotation["category_id"]]
            counts[name] = counts.get(name, 0) + 1
    assert set(counts) == {"BUS", "TRUCK", "LONG_TRUCK", "CAR", "MOTORCYCLE", "PEDESTRIAN"}
    assert min(counts.values()) >= 10
    summary = written[1]
    assert summary.objects == counts
    assert summary.pictures == 42
    assert summary.ignored == len(labels["annotations"]) - sum(counts.values())
    assert "2 recordings, 42 pictures" in summary.text


def test_device_detections_lie_near_true_boxes_but_not_on_them(share: Path, labels: dict[str, Any]) -> None:
    truths = annotations_by_picture(labels)
    near = total = exact = 0
    for path, _, scan in scans(share):
        if scan.jpeg is None:
            continue
        boxes = np.array([annotation["bbox"] for annotation in truths[path.name, scan.number]]).reshape(-1, 4)
        for detection in scan.detections:
            errors = np.abs(boxes - detection.xywh) / np.maximum(boxes[:, [2, 3, 2, 3]], 1)
            total += 1
            near += bool((errors.max(axis=1) < 0.2).any())
            exact += bool((errors.max(axis=1) < 1e-4).any())
    countable = sum(not annotation["ignore"] for annotation in labels["annotations"])
    assert 0.6 * countable < total < 1.05 * countable
    assert 0.85 * total < near < total
    assert exact == 0


def test_radar_tracks_project_to_the_foot_of_the_boxes(share: Path, labels: dict[str, Any]) -> None:
    truths = annotations_by_picture(labels)
    tracks_layout = load_layout("atm-2024").tracks
    assert tracks_layout is not None
    x, y, class_column = (tracks_layout.columns.index(name) for name in ("xpos", "ypos", "class"))
    hits, clear = 0, 0
    for path, _, scan in scans(share):
        if scan.jpeg is None:
            continue
        camera = read_calibration(path.parent / "camera_calibration.yaml").camera_model
        assert scan.tracks is not None
        for annotation in truths[path.name, scan.number]:
            if annotation["ignore"] or annotation["attributes"]["truncated"]:
                continue
            clear += 1
            same = scan.tracks[scan.tracks[:, class_column] == annotation["category_id"]]
            ground = np.column_stack([same[:, x], same[:, y], np.zeros(len(same))])
            pixels, _ = camera.project(ground)
            left, top, width, height = annotation["bbox"]
            # The middle of the footprint is seen inside the box, in its lower part; the radar is wrong by some 0.25 m.
            slack = 0.6 * camera.fx / max(float(ground[:, 1].mean()) if len(ground) else 30.0, 15.0)
            inside = np.abs(pixels[:, 0] - left - width / 2) < width / 2 + slack
            low = (pixels[:, 1] > top + 0.4 * height - slack) & (pixels[:, 1] < top + height + slack)
            hits += bool((inside & low).any())
    assert clear > 100
    assert hits > 0.85 * clear


def test_velocities_of_tracks_move_them_to_where_the_next_scan_has_them(share: Path) -> None:
    for path in find_recordings(share / "recordings"):
        with Recording(path) as recording:
            columns = recording.layout.tracks.columns if recording.layout.tracks else ()
            place = [columns.index("xpos"), columns.index("ypos")]
            speed = [columns.index("xvel"), columns.index("yvel")]
            pictured = [scan for scan in recording.scans() if scan.jpeg is not None]
        found = []
        for before, after in pairwise(pictured[:7]):
            assert before.tracks is not None
            assert after.tracks is not None
            inner = before.tracks[(before.tracks[:, place[1]] > 25) & (before.tracks[:, place[1]] < 45)]
            expected = inner[:, place] + 0.8 * inner[:, speed]
            distances = np.linalg.norm(expected[:, None] - after.tracks[None, :, place], axis=2)
            found += (distances.min(axis=1) < 1.2).tolist()
        assert len(found) > 10
        assert np.mean(found) > 0.75  # the rest were missed, or were ghosts


def test_neighbouring_pictures_differ_where_objects_are(share: Path) -> None:
    path = find_recordings(share / "recordings")[0]
    with Recording(path) as recording:
        first, second = [scan.jpeg for scan in recording.scans() if scan.jpeg is not None][:2]
    pictures = [
        cv2.imdecode(np.frombuffer(data or b"", np.uint8), cv2.IMREAD_GRAYSCALE).astype(int) for data in (first, second)
    ]
    assert (np.abs(pictures[0] - pictures[1]) > 40).mean() > 0.004


@slow
def test_the_same_seed_gives_the_same_bytes_however_many_processes(tmp_path: Path) -> None:
    write_share(tmp_path / "a", SMALL)
    write_share(tmp_path / "b", replace(SMALL, processes=2))
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert len(files(tmp_path / "a")) == 5  # two recordings, two calibrations, the labels


@pytest.mark.long
def test_another_seed_gives_other_pictures(tmp_path: Path) -> None:
    one = replace(SMALL, sites=1, frames_per_recording=1)
    write_share(tmp_path / "a", one)
    write_share(tmp_path / "b", replace(one, seed=8))
    assert not set(files(tmp_path / "a").values()) & set(files(tmp_path / "b").values())


def test_an_output_that_exists_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "old.txt").touch()
    with pytest.raises(StorageError, match="output exists already"):
        write_share(tmp_path, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sites": 0}, "sites must be 1 or more; found 0"),
        ({"frames_per_recording": -1}, "frames_per_recording must be 1 or more"),
        ({"processes": 0}, "processes must be 1 or more"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"image_wh": (960, 32)}, "image_wh must be 64 pixels or more"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        SyntheticOptions(**options)


def test_each_site_has_an_easy_and_a_hard_recording() -> None:
    assert {condition_of(site, 1) for site in range(3)} == set(HARD)
    assert all(condition_of(site, 0) not in HARD for site in range(6))
