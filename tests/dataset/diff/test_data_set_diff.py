"""What changed between two data sets: every picture and box is in exactly one list, under the right word."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from small_shares import HEIGHT, WIDTH, Share, jpeg

from traffic_yolo.cli import traffic_yolo
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.diff.box_changes import BoxChanges, PictureBoxes, box_changes
from traffic_yolo.dataset.diff.data_set_diff import DataSetDiff, data_set_diff
from traffic_yolo.dataset.diff.options import DiffOptions
from traffic_yolo.dataset.options import ConvertOptions, SourceChoice
from traffic_yolo.dataset.records import Annotation

KINDS = ("same", "moved", "reclassed", "marked", "removed", "added")


def boxes(*rows: tuple[Any, ...]) -> PictureBoxes:
    """Of (class, left, top, width, height) each; a sixth value is who drew it."""
    return PictureBoxes.of([Annotation(row[0], row[1:5], label_source=(*row, "human")[5]) for row in rows])


def changed(before: PictureBoxes, after: PictureBoxes, least_iou: float = 0.5) -> BoxChanges:
    return box_changes(before, after, least_iou=least_iou)


def pairs(changes: BoxChanges, kind: str) -> list[tuple[int, int]]:
    return [(pair.before, pair.after) for pair in getattr(changes, kind)]


def test_a_shift_of_a_third_is_iou_one_half_and_a_move() -> None:
    # 30 x 10, 10 to the right: 20 of 40 columns are shared, IoU 1/2
    before, after = boxes(("CAR", 0, 0, 30, 10)), boxes(("CAR", 10, 0, 30, 10))
    found = changed(before, after)
    assert pairs(found, "moved") == [(0, 0)]
    assert found.moved[0].iou == pytest.approx(0.5)
    apart = changed(before, after, 0.51)
    assert (apart.moved, apart.removed, apart.added) == ((), (0,), (0,))


def test_rounding_is_no_move_and_a_tenth_of_a_pixel_is() -> None:
    before = boxes(("CAR", 10, 10, 30, 10))
    assert pairs(changed(before, boxes(("CAR", 10.04, 10, 30, 10))), "same") == [(0, 0)]
    assert pairs(changed(before, boxes(("CAR", 10.1, 10, 30, 10))), "moved") == [(0, 0)]


def test_an_object_that_got_another_class_is_not_its_neighbour_moved() -> None:
    # The truck stands exactly where the car was; a new car overlaps it by 2/3
    before = boxes(("CAR", 0, 0, 30, 10))
    after = boxes(("CAR", 6, 0, 30, 10), ("TRUCK", 0, 0, 30, 10))
    found = changed(before, after)
    assert (pairs(found, "reclassed"), found.added, found.moved) == ([(0, 1)], (0,), ())


def test_boxes_in_one_place_go_to_their_own_class() -> None:
    before = boxes(("CAR", 0, 0, 30, 10), ("TRUCK", 0, 0, 30, 10))
    found = changed(before, boxes(("TRUCK", 0, 0, 30, 10), ("CAR", 0, 0, 30, 10)))
    assert pairs(found, "same") == [(0, 1), (1, 0)]


def test_who_drew_a_box_and_whether_it_counts_are_marks() -> None:
    before, after = boxes(("CAR", 0, 0, 30, 10, "device")), boxes(("CAR", 0, 0, 30, 10))
    assert pairs(changed(before, after), "marked") == [(0, 0)]


def test_every_box_is_in_one_list() -> None:
    generator = np.random.default_rng(0)
    for _ in range(50):
        two = [
            boxes(*(("AB"[k % 2], *place, 20.0, 15.0) for k, place in enumerate(generator.uniform(0, 60, (n, 2)))))
            for n in generator.integers(0, 9, 2)
        ]
        found = changed(*two, least_iou=0.3)
        left = [row for kind in KINDS[:4] for row, _ in pairs(found, kind)] + list(found.removed)
        right = [row for kind in KINDS[:4] for _, row in pairs(found, kind)] + list(found.added)
        assert sorted(left) == list(range(len(two[0].classes)))
        assert sorted(right) == list(range(len(two[1].classes)))
        back = changed(two[1], two[0], least_iou=0.3)
        assert {kind: len(getattr(back, kind)) for kind in KINDS[:4]} == {
            kind: len(getattr(found, kind)) for kind in KINDS[:4]
        }


@pytest.fixture
def converted(share: Share, tmp_path: Path) -> Path:
    options = ConvertOptions(source=str(share.recordings), labels=str(share.label_file), val_sites="B", test_sites="C")
    convert(options, tmp_path / "first")
    return tmp_path / "first"


def compared(first: Path, second: Path, **options: Any) -> DataSetDiff:
    return data_set_diff(SourceChoice(source=str(first)), SourceChoice(source=str(second)), DiffOptions(**options))


def relabelled(converted: Path, second: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """The COCO files of a data set with one changed, and its pictures."""
    second.mkdir()
    shutil.copytree(converted / "images", second / "images")
    for file in sorted((converted / "annotations").glob("*.json")):
        content = json.loads(file.read_text())
        if file.stem == "instances_train":
            change(content)
        (second / file.name).write_text(json.dumps(content))
    return second


def test_a_data_set_and_its_other_formats_are_the_same(converted: Path) -> None:
    diff = compared(converted, converted)
    assert diff.is_empty
    assert (diff.num_pictures, dict(diff.boxes)["same"]) == ((9, 9), 18)
    # YOLO text is rounded, and says neither sites nor sources
    yolo = compared(converted, converted / "data.yaml")
    assert (yolo.boxes["same"], yolo.is_empty) == (18, True)


def test_each_change_is_counted_under_its_word(converted: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        found = content["annotations"]
        found[0]["bbox"][0] += 2  # moved
        found[1]["category_id"] = next(c["id"] for c in content["categories"] if c["name"] == "CAR")
        found[2]["ignore"] = 1
        del found[3]
        found.append({**found[0], "id": 99, "bbox": [60, 50, 9, 8], "image_id": found[3]["image_id"]})

    diff = compared(converted, relabelled(converted, tmp_path / "second", change))
    assert {kind: diff.boxes[kind] for kind in KINDS} == {
        "same": 14, "moved": 1, "reclassed": 1, "marked": 1, "removed": 1, "added": 1,
    }  # fmt: skip
    assert dict(diff.reclassed) == {("BUS", "CAR"): 1}
    assert (diff.by_class["CAR"].before, diff.by_class["CAR"].after) == (9, 11)
    assert (diff.by_class["BUS"].before, diff.by_class["BUS"].after) == (9, 7)
    assert [entry.changes.num_changes for entry in diff.drawn] == [2, 2, 1]
    assert len(compared(converted, tmp_path / "second", drawn=1).drawn) == 1


def test_pictures_that_came_went_were_renamed_or_put_into_another_split(converted: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shutil.copytree(converted, second)
    listed = {
        split: json.loads((second / f"annotations/instances_{split}.json").read_text()) for split in ("train", "val")
    }
    gone, renamed, moved = listed["train"]["images"]
    listed["train"]["images"] = [renamed]
    new = renamed["file_name"].replace("SCAN_00001", "SCAN_00077")
    (second / "images" / renamed["file_name"]).rename(second / "images" / new)
    (second / "images" / moved["file_name"]).write_bytes(jpeg(77))
    before = renamed["file_name"]
    renamed.update(file_name=new, scan="SCAN_00077")
    keep = {renamed["id"]}
    moved["id"] = 1000
    listed["val"]["images"].append(moved)
    listed["train"]["annotations"] = [a for a in listed["train"]["annotations"] if a["image_id"] in keep]
    image = {"id": 2000, "file_name": "new/1.jpg", "width": WIDTH, "height": HEIGHT}
    (second / "images/new").mkdir()
    (second / "images/new/1.jpg").write_bytes(jpeg(78))
    listed["train"]["images"].append(image)
    for split, content in listed.items():
        (second / f"annotations/instances_{split}.json").write_text(json.dumps(content))
    (second / "manifest.json").unlink()
    found = compared(converted, second).pictures
    assert {kind: names.named for kind, names in found.items()} == {
        "added": ["new/1.jpg"],
        "removed": [gone["file_name"]],
        "renamed": [f"{before} -> {new}"],
        "other bytes": [moved["file_name"]],
        "other split": [f"{moved['file_name']}: train -> val"],
    }


def test_command_prints_writes_and_ends_as_it_was_asked(converted: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        del content["annotations"][0]
        content["categories"].append({"id": 50, "name": "BIKE"})

    second = relabelled(converted, tmp_path / "second", change)
    for split in ("val", "test"):  # categories must be those of all files
        content = json.loads((second / f"instances_{split}.json").read_text())
        content["categories"].append({"id": 50, "name": "BIKE"})
        (second / f"instances_{split}.json").write_text(json.dumps(content))
    run = CliRunner().invoke
    plain = run(traffic_yolo, ["diff", str(converted), str(second), "--out", str(tmp_path / "page")])
    assert plain.exit_code == 0
    assert "classes: added BIKE, removed none" in plain.output
    assert "17 the same, 0 moved, 0 of another class, 0 marked otherwise, 0 added, 1 removed" in plain.output
    page = (tmp_path / "page/report.html").read_text()
    assert page.count("data:image/jpeg") == 1
    assert json.loads((tmp_path / "page/diff.json").read_text())["boxes"]["removed"] == 1
    told = run(traffic_yolo, ["diff", str(converted), str(second), "--exit-code", "--json"])
    assert (told.exit_code, json.loads(told.stdout)["same"]) == (1, False)
    same = run(traffic_yolo, ["diff", str(converted), str(converted), "--exit-code"])
    assert (same.exit_code, same.output.splitlines()[-1]) == (0, "no difference")
