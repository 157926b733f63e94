"""The anonymous copy of a data set: the labels' bytes are kept, what is private is not to be seen, and nothing is missed."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from small_shares import Share

from traffic_yolo.cli import traffic_yolo
from traffic_yolo.dataset.anonymize import anonymize
from traffic_yolo.dataset.anonymize_options import AnonymizeOptions
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.diff.data_set_diff import data_set_diff
from traffic_yolo.dataset.diff.options import DiffOptions
from traffic_yolo.dataset.manifest import Fingerprint
from traffic_yolo.dataset.options import ConvertOptions, SourceChoice
from traffic_yolo.errors import DatasetError, LabelError, OptionsError, StorageError
from traffic_yolo.storage import sha256_of_file

WIDTH, HEIGHT = 320, 240
CAR, PERSON = (40, 60, 120, 90), (200, 40, 40, 120)  # xywh


def detailed(seed: int) -> bytes:
    """A JPEG with detail in every place, which a blur takes away."""
    grey = np.random.default_rng(seed).integers(0, 2, (HEIGHT // 4, WIDTH // 4), dtype=np.uint8) * 255
    pixels = cv2.resize(grey, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(".jpg", cv2.merge([pixels] * 3), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Three pictures: a car and a person, a person that is to be ignored, and one without objects."""
    root = tmp_path / "source"
    (root / "images/north").mkdir(parents=True)
    images, boxes = [], []
    for number in range(3):
        (root / f"images/north/{number}.jpg").write_bytes(detailed(number))
        images.append({"id": number, "file_name": f"north/{number}.jpg", "width": WIDTH, "height": HEIGHT})
    for image, category, xywh, ignore in ((0, 1, CAR, 0), (0, 2, PERSON, 0), (1, 2, PERSON, 1), (1, 3, CAR, 0)):
        entry = {"id": len(boxes), "image_id": image, "category_id": category, "bbox": list(xywh), "ignore": ignore}
        boxes.append(entry)
    categories = [
        {"id": 1, "name": "CAR"},
        {"id": 2, "name": "PERSON"},
        {"id": 3, "name": "OTHERS", "supercategory": "ignored"},
    ]
    boxes[3]["ignore"] = 1
    content = {"images": images, "annotations": boxes, "categories": categories}
    (root / "instances.json").write_text(json.dumps(content))
    convert(ConvertOptions(source=str(root), splits="none", policy="{leak_check: 'off'}"), tmp_path / "set")
    return tmp_path / "set"


def pixels(folder: Path, name: str) -> NDArray[np.int64]:
    read = cv2.imread(str(folder / "images/north" / name))
    assert read is not None
    return read.astype(np.int64)


def detail(picture: NDArray[np.int64], xyxy: tuple[int, int, int, int]) -> float:
    """Mean difference of neighbours within a window."""
    left, top, right, bottom = xyxy
    return float(np.abs(np.diff(picture[top:bottom, left:right], axis=1)).mean())


def copied(data_set: Path, out: Path, **more: Any) -> Path:
    anonymize(AnonymizeOptions(dataset=str(data_set), **more), out)
    return out


def test_plates_and_heads_lose_their_detail_and_the_rest_keeps_it(data_set: Path, tmp_path: Path) -> None:
    out = copied(data_set, tmp_path / "out")
    before, after = pixels(data_set, "0.jpg"), pixels(out, "0.jpg")
    plate, head = (44, 106, 156, 148), (204, 42, 236, 74)
    for private in (plate, head):
        assert detail(after, private) < 0.4 * detail(before, private)
    for public in ((44, 62, 156, 92), (204, 100, 236, 156), (250, 10, 310, 230)):  # a car's roof, legs, the street
        assert detail(after, public) == pytest.approx(detail(before, public), rel=0.1)
    # Boxes that do not count show people as well; OTHERS may be anything: its whole box goes
    ignored = pixels(out, "1.jpg")
    assert detail(ignored, head) < 0.4 * detail(before, head)
    assert detail(ignored, (44, 64, 156, 146)) < 0.4 * detail(before, plate)
    assert (out / "images/north/2.jpg").read_bytes() == (data_set / "images/north/2.jpg").read_bytes()


def test_the_copy_is_a_data_set_with_the_same_labels_and_a_name_of_its_own(data_set: Path, tmp_path: Path) -> None:
    out = copied(data_set, tmp_path / "out")
    first, second = DataSet.open(data_set), DataSet.open(out)
    assert second.fingerprint != first.fingerprint == second.manifest["parent_fingerprint"]
    fingerprint = Fingerprint()
    for entry in second.manifest["files"]:
        assert (out / entry["path"]).stat().st_size == entry["size"]
        assert sha256_of_file(out / entry["path"]) == entry["sha256"]
        fingerprint.add(entry["path"], entry["sha256"])
    assert fingerprint.hexdigest == second.fingerprint
    changed = {
        old["path"] for old, new in zip(first.manifest["files"], second.manifest["files"], strict=True) if old != new
    }
    assert changed == {"images/north/0.jpg", "images/north/1.jpg"}
    diff = data_set_diff(SourceChoice(source=str(data_set)), SourceChoice(source=str(out)), DiffOptions())
    assert (diff.boxes["same"], diff.pictures["other bytes"].count) == (4, 2)
    listed = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert listed == {str(path.relative_to(data_set)) for path in data_set.rglob("*") if path.is_file()}


def test_the_report_shows_the_copies_alone(data_set: Path, tmp_path: Path) -> None:
    out = copied(data_set, tmp_path / "out")
    page = (out / "report.html").read_text()
    assert "Anonymous copy" in page
    assert page.count("data:image/jpeg") == 3
    assert page != (data_set / "report.html").read_text()


def coco(path: Path, name: str, bbox: list[float]) -> str:
    image = {"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": bbox, "score": 0.4}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "plate"}]}
    path.write_text(json.dumps(content))
    return str(path)


@pytest.mark.parametrize("name", ["north/2.jpg", "2.jpg", "images/north/2.jpg", "north\\2.png"])
def test_given_boxes_are_blurred_whole_where_the_file_names_the_picture(
    name: str, data_set: Path, tmp_path: Path
) -> None:
    given = coco(tmp_path / "plates.json", name, [100, 100, 60, 40])
    out = copied(data_set, tmp_path / "out", boxes=given, parts=False)
    before, after = pixels(data_set, "2.jpg"), pixels(out, "2.jpg")
    assert detail(after, (100, 100, 160, 140)) < 0.4 * detail(before, (100, 100, 160, 140))
    assert detail(after, (0, 0, 90, 240)) == pytest.approx(detail(before, (0, 0, 90, 240)), rel=0.1)
    for other in ("0.jpg", "1.jpg"):  # parts is off
        assert (out / "images/north" / other).read_bytes() == (data_set / "images/north" / other).read_bytes()


def test_boxes_of_a_picture_that_is_not_there_are_refused(data_set: Path, tmp_path: Path) -> None:
    given = coco(tmp_path / "plates.json", "south/2.jpg", [100, 100, 60, 40])
    with pytest.raises(LabelError, match="image 1 .*found 'south/2.jpg': it has no such picture"):
        copied(data_set, tmp_path / "out", boxes=given)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_copied_whole_is_refused(data_set: Path, tmp_path: Path, share: Share) -> None:
    with pytest.raises(OptionsError, match="parts is off"):
        AnonymizeOptions(dataset="x", parts=False)
    with pytest.raises(StorageError, match="output exists already"):
        copied(data_set, data_set)
    options = ConvertOptions(
        source=str(share.recordings), labels=str(share.label_file), labels_only=True, splits="none"
    )
    convert(options, tmp_path / "labels")
    with pytest.raises(DatasetError, match="no pictures to blur"):
        copied(tmp_path / "labels", tmp_path / "out")
    (data_set / "images/north/0.jpg").write_bytes(detailed(7))
    with pytest.raises(DatasetError, match="0.jpg: expected SHA-256 .* as in the manifest"):
        copied(data_set, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_command_says_what_was_left_as_it_was(data_set: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(traffic_yolo, ["anonymize", "--dataset", str(data_set), "--out", str(tmp_path / "out")])
    assert told.exit_code == 0
    assert told.output.splitlines()[:2] == [
        "3 pictures, 2 with something blurred",
        "note: 1 pictures have no box, and are as they were: what nobody marked is not blurred",
    ]
