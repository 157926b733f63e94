"""What is bad goes aside with its reason, the rest becomes the data set: nothing lost, nothing taken by halves."""

import contextlib
import filecmp
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_shares import HEIGHT, WIDTH, Share, jpeg

from traffic_yolo.cli import main
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.folder.shards import Shard, convert_shard, merge_shards
from traffic_yolo.dataset.options import ConvertOptions, ExportOptions
from traffic_yolo.dataset.quarantine import QUARANTINE_NAME, file_in
from traffic_yolo.dataset.used_frames import used_frames
from traffic_yolo.errors import DatasetError, LabelError, OptionsError, StorageError

BOX = [10, 20, 30, 40]


class Pictures:
    """A COCO set of six pictures `0.jpg` to `5.jpg`, each with one box of class CAR, to be damaged."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "images").mkdir(parents=True)
        self.coco: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "CAR"}]}
        for number in range(6):
            (root / f"images/{number}.jpg").write_bytes(jpeg(number))
            image = {"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT}
            self.coco["images"].append(image)
            self.box(number)

    def box(self, image: int, bbox: list[Any] | None = None, category: int = 1) -> None:
        found = self.coco["annotations"]
        found.append({"id": len(found), "image_id": image, "category_id": category, "bbox": bbox or BOX})

    def save(self) -> str:
        (self.root / "instances.json").write_text(json.dumps(self.coco))
        return str(self.root)


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path / "set")


def run(source: str, folder: Path, **more: Any) -> tuple[set[str], dict[str, Any]]:
    """The pictures that became the data set, and the list of the quarantine."""
    options = ConvertOptions(source=source, splits="none", quarantine=str(folder / "aside"), **more)
    convert(options, folder / "out")
    content = json.loads((folder / "out/annotations/instances_all.json").read_text())
    return {image["file_name"].rpartition("/")[2] for image in content["images"]}, listed(folder / "aside")


def listed(aside: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((aside / QUARANTINE_NAME).read_text())
    return content


def put(name: str, data: bytes) -> Callable[[Pictures], None]:
    return lambda pictures: (pictures.root / "images" / name).write_bytes(data) and None


def clashing(pictures: Pictures) -> None:
    pictures.coco["images"].append({"id": 9, "file_name": "2.jpg", "width": WIDTH, "height": HEIGHT})


def image_id_twice(pictures: Pictures) -> None:
    pictures.coco["images"][3]["id"] = 2


def missing(pictures: Pictures) -> None:
    (pictures.root / "images/2.jpg").unlink()


DAMAGE = jpeg(2)[:300] + bytes(200) + jpeg(2)[500:]
# name: (what is done, the pictures that go, their checks)
BAD: dict[str, tuple[Callable[[Pictures], Any], set[int], set[str]]] = {
    "cut off": (put("2.jpg", jpeg(2)[:-40]), {2}, {"truncated-picture"}),
    "no picture": (put("2.jpg", b"GIF89a nothing"), {2}, {"unreadable-picture"}),
    "damaged in its middle": (put("2.jpg", DAMAGE), {2}, {"unreadable-picture"}),
    "not there": (missing, {2}, {"label-without-picture"}),
    "another size": (put("2.jpg", jpeg(2, 64, 64)), {2}, {"size-mismatch"}),
    "a box of NaN beside a good one": (lambda p: p.box(2, [1, float("nan"), 3, 4]), {2}, {"not-a-number"}),
    "a box without area beside a good one": (lambda p: p.box(2, [5, 5, 0, 4]), {2}, {"no-area"}),
    "an unknown class": (lambda p: p.box(2, category=7), {2}, {"unknown-class"}),
    "a box of no image": (lambda p: p.box(77), set(), {"broken-label"}),
    "a picture named twice": (clashing, {2}, {"labelled-twice"}),
    "an image id twice": (image_id_twice, {2, 3}, {"broken-label"}),
}


@pytest.mark.many(5)
@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_goes_aside_whole_and_the_others_stay(name: str, pictures: Pictures, tmp_path: Path) -> None:
    damage, gone, checks = BAD[name]
    damage(pictures)
    source = pictures.save()
    with pytest.raises((DatasetError, LabelError)):
        convert(ConvertOptions(source=source, splits="none"), tmp_path / "strict")
    kept, quarantine = run(source, tmp_path)
    assert kept == {f"{number}.jpg" for number in range(6) if number not in gone}
    assert set(quarantine["counts"]) == checks
    for entry in quarantine["entries"]:
        assert entry["reason"]
        if entry["copy"]:
            assert filecmp.cmp(tmp_path / "aside" / entry["copy"], entry["file"] or pictures.root / "images/2.jpg")
    assert all(".quarantine" not in str(path) for path in (tmp_path / "out").rglob("*"))
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert any(f"{len(quarantine['entries'])} scans, pictures and labels in quarantine" in n for n in report["notes"])


def test_the_picture_of_a_bad_label_lies_beside_it(pictures: Pictures, tmp_path: Path) -> None:
    pictures.box(4, [1, float("nan"), 3, 4])
    _, quarantine = run(pictures.save(), tmp_path)
    label, picture = quarantine["entries"]
    assert (label["what"], label["copy"]) == ("label", "labels/instances.json")
    assert "annotation 6" in label["reason"]
    assert (picture["what"], picture["name"], picture["copy"]) == ("picture", "4.jpg", "pictures/images/4.jpg")
    assert (tmp_path / "aside/pictures/images/4.jpg").read_bytes() == jpeg(4)


@pytest.mark.long
def test_fail_on_decides_what_goes_aside(pictures: Pictures, tmp_path: Path) -> None:
    pictures.box(1, [WIDTH - 5, 5, 20, 20])  # sticks out
    pictures.box(3, [60, 60, -20, -30])  # reversed: mended by the reader
    source = pictures.save()
    kept, quarantine = run(source, tmp_path)
    assert (len(kept), quarantine["entries"]) == (6, [])
    named = '{fail_on: "error,sticks-out,reversed-corners"}'
    kept, quarantine = run(source, tmp_path / "named", policy=named)
    assert kept == {"0.jpg", "2.jpg", "4.jpg", "5.jpg"}
    assert quarantine["counts"] == {"reversed-corners": 2, "sticks-out": 1}
    # Where nothing fails, a box without area is left out as the user asked; what cannot be read goes aside all the same
    pictures.box(5, [5, 5, 0, 4])
    (pictures.root / "images/0.jpg").write_bytes(b"nothing")
    kept, quarantine = run(pictures.save(), tmp_path / "never", policy="{fail_on: never}")
    assert kept == {f"{number}.jpg" for number in range(1, 6)}
    assert list(quarantine["counts"]) == ["unreadable-picture"]


def test_a_problem_of_the_whole_set_still_ends_the_conversion(tmp_path: Path) -> None:
    root = tmp_path / "yolo"
    (root / "images").mkdir(parents=True)
    for number in range(4):
        (root / f"images/{number}.jpg").write_bytes(jpeg(number))
    (root / "data.yaml").write_text("train: images\nnames: [CAR]\n")
    with pytest.raises(LabelError, match="found none for any of 4"):
        run(str(root), tmp_path)
    assert not (tmp_path / "aside").exists()
    (root / "labels").mkdir()
    (root / "labels/0.txt").write_text("0 .5 .5 .2 .2\n")
    with pytest.raises(DatasetError, match="few-labels"):
        run(str(root), tmp_path)


def test_text_formats_lose_the_picture_of_the_bad_line_alone(tmp_path: Path) -> None:
    root = tmp_path / "yolo"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    lines = {0: "0 .5 .5 .2 .2", 1: "0 .5 .5 0 .2\n9 .5 .5 .2 .2", 2: "0 .5 .5 .2 .2", 3: "0 .5 .5 .2 .2\n0 .5 .5 0 .1"}
    for number, text in lines.items():
        (root / f"images/{number}.jpg").write_bytes(jpeg(number))
        (root / f"labels/{number}.txt").write_text(text)
    (root / "data.yaml").write_text("train: images\nnames: [CAR]\n")
    kept, quarantine = run(str(root), tmp_path)
    assert kept == {"0.jpg", "2.jpg"}
    found = [(entry["what"], entry["check"], entry["copy"]) for entry in quarantine["entries"]]
    assert found == [
        ("label", "unknown-class", "labels/labels/1.txt"),
        ("label", "no-area", "labels/labels/3.txt"),
        ("picture", "no-area", "pictures/images/3.jpg"),
    ]


@pytest.mark.long
def test_scans_and_recordings_go_aside(share: Share, tmp_path: Path) -> None:
    broken = share.site("D", 3)
    cut = share.site("E", 4, frames=2)
    share.label(cut, 1, [(0, BOX)])
    share.label(share.site("F", 5), 0, [(0, [1, 2, 0, 4]), (3, BOX)])
    share.save()
    broken.write_bytes(b"this is no HDF5 file")
    with h5py.File(cut, "r+") as file:
        data = bytes(file["SCAN_00000/Image"][()])
        del file["SCAN_00000/Image"]
        file["SCAN_00000/Image"] = np.frombuffer(data[:-50], np.uint8)
    options = ConvertOptions(
        source=str(share.recordings), labels=str(share.label_file), splits="none", quarantine=str(tmp_path / "aside")
    )
    summary = convert(options, tmp_path / "out")
    assert summary.counts["all_images"] == 10  # nine of three sites, one of E
    entries = listed(tmp_path / "aside")["entries"]
    found = {(entry["what"], entry["check"], entry["copy"]) for entry in entries}
    assert found == {
        ("recording", "unreadable-file", f"recordings/20210901_siteD/{broken.name}"),
        ("picture", "truncated-picture", f"pictures/{cut.stem}/SCAN_00000.jpg"),
        ("label", "no-area", f"labels/{_hashed(share.label_file)}-labels.json"),
        ("scan", "no-area", "pictures/20210901120500_0/SCAN_00000.jpg"),
    }
    assert (tmp_path / "aside/pictures/20210901120500_0/SCAN_00000.jpg").read_bytes() == jpeg(500)
    assert (tmp_path / f"aside/pictures/{cut.stem}/SCAN_00000.jpg").read_bytes() == data[:-50]
    # Whoever counts what a training would see counts the same
    counted = used_frames(options)
    assert len(counted.frames) == 10
    exported = ExportOptions(
        source=options.source, labels=options.labels, frames="labelled", to="coco", quarantine=str(tmp_path / "aside2")
    )
    assert export_labels(exported, tmp_path / "exported").num_pictures == 10
    assert {entry["check"] for entry in listed(tmp_path / "aside2")["entries"]} == {
        "unreadable-file",
        "truncated-picture",
        "no-area",
    }


def _hashed(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:8]


@pytest.mark.long
def test_shards_and_processes_give_the_same_data_set_and_the_same_quarantine(share: Share, tmp_path: Path) -> None:
    share.annotation(image_id=4, category_id=3, bbox=[1, 2, 0, 4])
    share.annotation(image_id=8, category_id=3, bbox=[WIDTH - 2, 2, 9, 9])
    share.save()
    (recording,) = share.recordings.rglob("20210901120100_0.h5")
    with h5py.File(recording, "r+") as file:
        del file["SCAN_00002/Image"]
        file["SCAN_00002/Image"] = np.frombuffer(jpeg(1)[:-50], np.uint8)

    def options(name: str) -> ConvertOptions:
        return ConvertOptions(
            source=str(share.recordings),
            labels=str(share.label_file),
            splits="none",
            quarantine=str(tmp_path / name),
            policy='{fail_on: "error,sticks-out"}',
        )

    convert(options("aside1"), tmp_path / "one")
    convert(options("aside3"), tmp_path / "three", processes=3)
    parts = []
    for index in range(2):
        convert_shard(options("aside2"), tmp_path / f"part{index}", Shard(index, 2))
        parts.append(tmp_path / f"part{index}")
    assert not (tmp_path / "aside2").exists()
    merge_shards(parts, tmp_path / "merged")
    first = listed(tmp_path / "aside1")
    assert {entry["check"] for entry in first["entries"]} == {"no-area", "sticks-out", "truncated-picture"}
    for name in ("aside2", "aside3"):
        assert _tree(tmp_path / name) == _tree(tmp_path / "aside1")
    for name in ("merged", "three"):
        assert _tree(tmp_path / name) == _tree(tmp_path / "one")


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_quarantine_gives_way_to_the_next_one_and_nothing_else_does(pictures: Pictures, tmp_path: Path) -> None:
    (pictures.root / "images/2.jpg").write_bytes(b"nothing")
    run(pictures.save(), tmp_path)
    (pictures.root / "images/2.jpg").write_bytes(jpeg(2))
    options = ConvertOptions(source=pictures.save(), splits="none", quarantine=str(tmp_path / "aside"))
    convert(options, tmp_path / "again")
    assert listed(tmp_path / "aside")["entries"] == []
    assert [path.name for path in (tmp_path / "aside").iterdir()] == [QUARANTINE_NAME]
    (tmp_path / "aside" / QUARANTINE_NAME).rename(tmp_path / "aside/other.json")
    with pytest.raises(StorageError, match="quarantine exists already"):
        convert(options, tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_a_failed_conversion_leaves_neither_data_set_nor_quarantine(pictures: Pictures, tmp_path: Path) -> None:
    for number in range(6):
        (pictures.root / f"images/{number}.jpg").write_bytes(b"nothing")
    with pytest.raises(DatasetError):
        run(pictures.save(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


@pytest.mark.parametrize("place", ["set", "set/aside", "out", "out/aside"])
def test_a_quarantine_inside_the_source_or_the_output_is_refused(
    place: str, pictures: Pictures, tmp_path: Path
) -> None:
    options = ConvertOptions(source=pictures.save(), splits="none", quarantine=str(tmp_path / place))
    with pytest.raises((OptionsError, StorageError)):
        convert(options, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_object_storage_can_be_no_quarantine() -> None:
    with pytest.raises(OptionsError, match="quarantine: s3://bucket/key: .*give a path or nas://"):
        ConvertOptions(source="x", quarantine="s3://bucket/key")


def test_the_command_line_says_how_much_went_aside(pictures: Pictures, tmp_path: Path) -> None:
    (pictures.root / "images/2.jpg").write_bytes(b"nothing")
    said = io.StringIO()
    arguments = ["convert", "--source", pictures.save(), "--splits", "none", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(said):
        main([*arguments, "--quarantine", str(tmp_path / "aside")])
    assert ended.value.code in (0, None)
    assert "note: 1 scans, pictures and labels in quarantine (unreadable-picture 1)" in said.getvalue()


def test_a_data_set_of_a_store_is_made_again_without_its_bad_pictures(pictures: Pictures, tmp_path: Path) -> None:
    (pictures.root / "images/2.jpg").write_bytes(b"nothing")
    places = {"data_store": str(tmp_path / "store"), "quarantine": str(tmp_path / "aside")}
    convert(ConvertOptions(source=pictures.save(), splits="none", **places), tmp_path / "out")
    fingerprint = DataSet.open(tmp_path / "out").fingerprint
    shutil.rmtree(tmp_path / "store" / fingerprint)
    shutil.rmtree(tmp_path / "aside")
    again = DataSet.open(tmp_path / "out")
    assert [image.path.name for image in again.split("all")] == ["0.jpg", "1.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert not (again.root / ".quarantine").exists()
    assert not (tmp_path / "aside").exists()


def test_the_file_of_a_message_is_the_longest_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a b: c.txt"
    path.write_text("")
    assert file_in(f"{path} line 3: expected 5 numbers, found 4") == path
    assert file_in("nothing: of the kind") is None
