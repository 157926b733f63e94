"""Conversion of ATM recordings: what goes in comes out once, in one split, from the source that it says."""

import errno
import filecmp
import json
import os
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import h5py
import pytest

from traffic_yolo.dataset.convert import ConvertSummary, convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.errors import DatasetError, LabelError, OptionsError, RecordingError, StorageError, TrafficYoloError
from traffic_yolo.snapshot.snapshot import take_snapshot, write_snapshot


def run(share: Any, out: Path, **options: Any) -> ConvertSummary:
    return convert(ConvertOptions(source=str(share.recordings), labels=str(share.label_file), **options), out)


def coco(out: Path, split: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((out / "annotations" / f"instances_{split}.json").read_text())
    return loaded


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_every_picture_and_box_comes_out_once_with_its_bytes(share: Any, tmp_path: Path) -> None:
    summary = run(share, tmp_path / "out")
    seen = {}
    for split in ("train", "val", "test"):
        for image in DataSet.open(tmp_path / "out").split(split):
            seen[image.recording, int(image.path.stem[-5:])] = image.path.read_bytes()
            assert image.boxes_xyxy.tolist() == [[10.5, 8.25, 30.5, 24.25], [40.0, 20.0, 70.5, 60.0]]
            assert [DataSet.open(tmp_path / "out").classes[i] for i in image.class_ids] == ["CAR", "BUS"]
    assert len(seen) == 9
    for (recording, number), data in seen.items():
        (path,) = share.recordings.rglob(f"{recording}.h5")
        with h5py.File(path) as file:
            assert bytes(file[f"SCAN_{number:05d}"]["Image"][()]) == data
    assert summary.counts["train_images"] + summary.counts["val_images"] + summary.counts["test_images"] == 9


def test_sites_are_never_in_two_splits_and_named_ones_go_where_they_are_named(share: Any, tmp_path: Path) -> None:
    run(share, tmp_path / "out", val_sites="A", test_sites="C")
    data_set = DataSet.open(tmp_path / "out")
    sites = {split: {image.site for image in data_set.split(split)} for split in ("train", "val", "test")}
    assert sites == {"train": {"B"}, "val": {"A"}, "test": {"C"}}


def test_same_source_gives_the_same_bytes_and_a_moved_one_the_same_fingerprint(share: Any, tmp_path: Path) -> None:
    first, second = run(share, tmp_path / "one"), run(share, tmp_path / "two")
    compared = filecmp.dircmp(tmp_path / "one", tmp_path / "two")
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")
    assert compared.diff_files == []
    shutil.move(share.root, tmp_path / "elsewhere")
    moved = ConvertOptions(
        source=str(tmp_path / "elsewhere/recordings"), labels=str(tmp_path / "elsewhere/labels.json")
    )
    assert first.fingerprint == second.fingerprint == convert(moved, tmp_path / "three").fingerprint


def test_yolo_text_says_what_the_coco_file_says(share: Any, tmp_path: Path) -> None:
    run(share, tmp_path / "out")
    texts = [(tmp_path / "out" / f"{split}.txt").read_text() for split in ("train", "val", "test")]
    listed = "".join(texts).splitlines()
    assert len(listed) == 9
    for line in listed:
        picture = (tmp_path / "out" / line.strip()).resolve()
        label = Path(str(picture).replace("/images/", "/labels/")).with_suffix(".txt")
        rows = [list(map(float, row.split())) for row in label.read_text().splitlines()]
        assert [int(row[0]) for row in rows] == [1, 0]  # CAR, BUS
        assert rows[0][1:] == pytest.approx([20.5 / 96, 16.25 / 72, 20 / 96, 16 / 72], abs=1e-8)


def test_ignored_and_crowd_boxes_stay_in_coco_and_out_of_the_text(share: Any, tmp_path: Path) -> None:
    share.annotation(image_id=1, category_id=3, bbox=[1, 1, 9, 9], ignore=1)
    share.annotation(image_id=1, category_id=3, bbox=[1, 1, 9, 9])
    share.coco["annotations"][-1]["iscrowd"] = 1
    summary = run(share.save(), tmp_path / "out", val_sites="B", test_sites="C")
    boxes = [a for a in coco(tmp_path / "out", "train")["annotations"] if a["ignore"] or a["iscrowd"]]
    assert len(boxes) == 2
    (label,) = (tmp_path / "out" / "labels").rglob("20210901120000_0/SCAN_00000.txt")
    assert len(label.read_text().splitlines()) == 2
    assert any("2 ignored and crowd boxes" in note for note in summary.notes)


def test_human_labels_replace_the_device_and_a_frame_without_them_is_counted(share: Any, tmp_path: Path) -> None:
    share.site("A", 7, frames=2, detections=[[3, 0.9, 48, 64, 64, 48]])
    summary = run(share, tmp_path / "out")
    sources = {
        a["label_source"] for split in ("train", "val", "test") for a in coco(tmp_path / "out", split)["annotations"]
    }
    assert sources == {"human"}
    assert any(note.startswith("2 pictures without human labels") for note in summary.notes)


def test_device_labels_train_only_when_asked_and_above_their_confidence(share: Any, tmp_path: Path) -> None:
    detections = [[3, 0.9, 48, 64, 64, 48], [3, 0.2, 40, 40, 8, 8]]
    for number, name in enumerate("ABC", start=7):
        share.site(name, number, frames=2, detections=detections)
    run(share, tmp_path / "out", device_labels="train", val_sites="B", test_sites="C")
    device = [a for a in coco(tmp_path / "out", "train")["annotations"] if a["label_source"] == "device"]
    assert [a["confidence"] for a in device] == [0.9, 0.9]
    assert device[0]["bbox"] == pytest.approx([64 * 96 / 640, 48 * 72 / 480, 64 * 96 / 640, 48 * 72 / 480])
    for split in ("val", "test"):
        assert {a["label_source"] for a in coco(tmp_path / "out", split)["annotations"]} == {"human"}


def test_a_labelled_frame_without_boxes_is_a_negative_and_stays(share: Any, tmp_path: Path) -> None:
    share.label(share.site("A", 8, frames=1), 0, [])
    assert sum(v for k, v in run(share.save(), tmp_path / "out").counts.items() if k.endswith("_images")) == 10


def test_boxes_are_cut_at_the_edge_and_counted(share: Any, tmp_path: Path) -> None:
    share.annotation(image_id=1, category_id=3, bbox=[90, 60, 20, 20])
    share.annotation(image_id=1, category_id=3, bbox=[200, 60, 20, 20])
    share.annotation(image_id=1, category_id=3, bbox=[20, 60, 0, 20])
    summary = run(share.save(), tmp_path / "out", val_sites="B", test_sites="C", policy="{fail_on: never}")
    assert [90.0, 60.0, 6.0, 12.0] in [a["bbox"] for a in coco(tmp_path / "out", "train")["annotations"]]
    notes = " | ".join(summary.notes)
    for words in ("cut at the", "outside", "without area"):
        assert words in notes, notes


def test_class_map_renames_merges_ignores_and_drops(share: Any, tmp_path: Path) -> None:
    (tmp_path / "map.yaml").write_text("classes: [VEHICLE]\nrename: {CAR: VEHICLE}\ndrop: [BUS]\n")
    run(share, tmp_path / "out", class_map=str(tmp_path / "map.yaml"))
    assert DataSet.open(tmp_path / "out").classes == ("VEHICLE",)
    assert len(coco(tmp_path / "out", "train")["annotations"]) == len(coco(tmp_path / "out", "train")["images"])
    (tmp_path / "map.yaml").write_text("classes: [BUS]\n")
    with pytest.raises(LabelError, match=r"unknown class 'CAR'.*class map"):
        run(share, tmp_path / "again", class_map=str(tmp_path / "map.yaml"))


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href") and tag != "use"]


def test_report_asks_the_network_for_nothing(share: Any, tmp_path: Path) -> None:
    summary = run(share, tmp_path / "out")
    parser = _Links()
    text = (tmp_path / "out" / "report.html").read_text()
    parser.feed(text)
    assert [link[:40] for link in parser.found if not link.startswith(("data:", "#"))] == []
    assert len(text) < 2_000_000
    assert "| train |" in summary.markdown


def test_snapshot_must_be_the_one_of_the_source(share: Any, tmp_path: Path) -> None:
    write_snapshot(tmp_path / "s.json", take_snapshot(str(share.recordings), labels=str(share.label_file)))
    options = ConvertOptions(source=str(share.recordings), labels=str(share.label_file))
    with pytest.raises(TrafficYoloError, match="fingerprint"):
        convert(options, tmp_path / "out", snapshot_path=tmp_path / "s.json", expected_fingerprint="0" * 64)
    convert(options, tmp_path / "out", snapshot_path=tmp_path / "s.json")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["parent_fingerprint"] == json.loads((tmp_path / "s.json").read_text())["fingerprint"]


def break_picture(share: Any) -> None:
    (path,) = share.recordings.rglob("20210901120100_0.h5")
    with h5py.File(path, "a") as file:
        whole = file["SCAN_00001"]["Image"][()]
        del file["SCAN_00001"]["Image"]
        file["SCAN_00001"]["Image"] = whole[: len(whole) // 2]


def overwrite(share: Any) -> None:
    (path,) = share.recordings.rglob("20210901120100_0.h5")
    path.write_bytes(b"this is no HDF5 file")


def label_missing_scan(share: Any) -> None:
    share.coco["images"][0]["scan"] = 99
    share.save()


def label_missing_recording(share: Any) -> None:
    share.coco["images"][0]["recording"] = "20990101000000_0.h5"
    share.save()


def label_twice(share: Any) -> None:
    share.coco["images"][0]["scan"] = 1
    share.save()


def state_wrong_size(share: Any) -> None:
    share.coco["images"][0]["width"] = 1920
    share.save()


def name_unknown_category(share: Any) -> None:
    share.annotation(image_id=1, category_id=77, bbox=[1, 1, 5, 5])
    share.save()


def give_nan(share: Any) -> None:
    share.annotation(image_id=1, category_id=3, bbox=[1, float("nan"), 5, 5])
    share.save()


def remove_labels(share: Any) -> None:
    share.label_file.unlink()


def empty_share(share: Any) -> None:
    shutil.rmtree(share.recordings)
    share.recordings.mkdir()


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (break_picture, DatasetError, r"20210901120100_0\.h5 SCAN_00001.*cut off"),
        (overwrite, RecordingError, r"20210901120100_0\.h5"),
        (label_missing_scan, LabelError, "has no scan 99"),
        (label_missing_recording, LabelError, "no recording 20990101000000_0"),
        (label_twice, LabelError, "labelled twice"),
        (state_wrong_size, LabelError, "is 96x72 pixels, the label file says 1920x72"),
        (name_unknown_category, LabelError, "annotation 19: no category 77"),
        (give_nan, LabelError, "annotation 19: bbox must be finite"),
        (remove_labels, StorageError, "label file not found"),
        (empty_share, StorageError, "source is empty"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_input_is_one_line_and_leaves_nothing(
    share: Any, tmp_path: Path, damage: Callable[[Any], None], error: type[Exception], words: str
) -> None:
    damage(share)
    (tmp_path / "results").mkdir()
    with pytest.raises(error, match=words) as caught:
        run(share, tmp_path / "results" / "out")
    assert "\n" not in str(caught.value)
    assert files_below(tmp_path / "results") == []


@pytest.mark.parametrize("refused", ["sync", "picture"])
def test_full_disk_is_one_line_and_leaves_nothing(
    share: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if refused == "sync":
        monkeypatch.setattr("traffic_yolo.storage.whole_folder.sync_below", full)
    else:
        monkeypatch.setattr("traffic_yolo.dataset.folder.frame_writer._write_bytes", full)
    (tmp_path / "results").mkdir()
    with pytest.raises(StorageError, match="the disk is full"):
        run(share, tmp_path / "results" / "out")
    assert files_below(tmp_path / "results") == []


def test_output_that_exists_is_not_touched(share: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(StorageError, match="output exists already"):
        run(share, tmp_path / "out")
    assert files_below(tmp_path / "out") == ["mine"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test_sites": "Z"}, "Z"),
        ({"val_sites": "A", "test_sites": "A"}, "one split only"),
        ({"source_format": "png"}, "png"),
    ],
)
def test_options_without_sense_are_refused(share: Any, tmp_path: Path, options: dict[str, str], words: str) -> None:
    with pytest.raises(OptionsError, match=words):
        run(share, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_real_recordings_convert_with_every_box_that_their_readme_states(reference: Path, tmp_path: Path) -> None:
    traffic = reference / "traffic"
    options = ConvertOptions(source=str(traffic / "recordings"), labels=str(traffic / "human_labels.json"))
    counts = convert(options, tmp_path / "out").counts
    assert counts["train_images"] + counts["val_images"] + counts["test_images"] == 116
    assert counts["train_boxes"] + counts["val_boxes"] + counts["test_boxes"] == 1980


@pytest.mark.long
@pytest.mark.parametrize("kind", ["traffic/data.yaml", "coco/instances_val.json"])
def test_real_yolo_and_coco_sets_convert(reference: Path, tmp_path: Path, kind: str) -> None:
    counts = convert(ConvertOptions(source=str(reference / kind)), tmp_path / "out").counts
    expected = {"traffic/data.yaml": (115, 1955), "coco/instances_val.json": (164, 1543)}[kind]
    images = counts["train_images"] + counts["val_images"] + counts["test_images"]
    assert (images, counts["train_boxes"] + counts["val_boxes"] + counts["test_boxes"]) == expected


def test_our_own_folder_is_a_source_that_loses_nothing(share: Any, tmp_path: Path) -> None:
    share.annotation(image_id=1, category_id=3, bbox=[1, 1, 9, 9], ignore=1, attributes={"occluded": True})
    run(share.save(), tmp_path / "one", val_sites="B", test_sites="C")
    convert(ConvertOptions(source=str(tmp_path / "one")), tmp_path / "two")
    for split in ("train", "val", "test"):
        before, after = coco(tmp_path / "one", split), coco(tmp_path / "two", split)
        ids = {"id": 0, "image_id": 0}  # the files are read in the order of their names
        assert [{**a, **ids} for a in after["annotations"]] == [{**a, **ids} for a in before["annotations"]]
        assert [image["file_name"] for image in after["images"]] == [image["file_name"] for image in before["images"]]
