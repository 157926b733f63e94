"""One recording, one video, an evaluation-only set, labels without pictures: each becomes a data set that opens."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from traffic_yolo.dataset.convert import ConvertSummary, convert, prepare, write_frames
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.folder.shards import Shard, convert_shard, merge_shards
from traffic_yolo.dataset.formats.darknet_data import read_darknet_data
from traffic_yolo.dataset.formats.yolo_set import read_data_yaml
from traffic_yolo.dataset.observers import PlugIns
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.splits.pins import read_pins
from traffic_yolo.errors import DatasetError, LabelError, OptionsError

SPLITS = ["auto", "train", "test", "none", "0.5/0.25/0.25", "val=0.5,test=0.5"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def images(summary: ConvertSummary) -> dict[str, int]:
    return {name.removesuffix("_images"): n for name, n in summary.counts.items() if name.endswith("_images")}


@pytest.fixture
def one(share: Any) -> Path:
    """One recording of a share, whose labels are of three."""
    found: Path = min(share.recordings.rglob("2021090112*.h5"))
    return found


def convert_one(one: Path, share: Any, out: Path, **options: Any) -> ConvertSummary:
    return convert(ConvertOptions(source=str(one), labels=str(share.label_file), **options), out)


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        ("auto", {"train": 3, "val": 0, "test": 0}),
        ("test", {"train": 0, "val": 0, "test": 3}),
        ("none", {"all": 3}),
    ],
)
def test_one_recording_becomes_a_coco_and_yolo_data_set(
    one: Path, share: Any, tmp_path: Path, splits: str, expected: dict[str, int]
) -> None:
    out = tmp_path / "out"
    summary = convert_one(one, share, out, splits=splits)
    assert images(summary) == expected
    assert any(note == "labels of 6 frames of other recordings left out" for note in summary.notes)
    assert any("EMPTY" in note or "empty-split" in note for note in summary.notes) == (splits == "auto")
    data = DataSet.open(out)
    assert data.splits == tuple(expected)
    for split, count in expected.items():
        truth = COCO(str(out / f"annotations/instances_{split}.json"))
        assert len(truth.imgs) == count
        assert len(truth.anns) == 2 * count
        listed = (out / f"{split}.txt").read_text().split()
        assert all((out / name).is_file() for name in listed)
        assert len(listed) == len(data.split(split)) == count
    assert {p.name for p in out.glob("*.txt")} == {f"{split}.txt" for split in expected}
    assert {p.name for p in (out / "annotations").iterdir()} == {f"instances_{split}.json" for split in expected}
    assert "<html" in (out / "report.html").read_text()
    filled = next(split for split, count in expected.items() if count)
    lists = {"all": ("train", "val")}.get(filled, (filled,))
    assert {k for k, v in read_data_yaml(out / "data.yaml").pictures.items() if v} == set(lists)
    darknet = {k for k, v in read_darknet_data(out / "darknet.data").pictures.items() if v}
    assert darknet == {"test": {"val"}}.get(filled, set(lists))
    if splits == "none":
        assert not (out / "splits.yaml").exists()  # nothing that a later data set could keep
    else:
        assert read_pins(out).splits == {"A": filled}


def test_empty_splits_are_a_finding_unless_they_were_asked_for(one: Path, share: Any, tmp_path: Path) -> None:
    summary = convert_one(one, share, tmp_path / "auto")
    assert "check empty-split: 2 warnings" in summary.notes
    assert "note: val and test are EMPTY: 1 labelled site for 3 splits (A in train); choose with splits" in summary.text
    assert "EMPTY" in summary.markdown
    assert "EMPTY" in (tmp_path / "auto" / "report.html").read_text()
    with pytest.raises(DatasetError, match=r"failed: split val: error: expected pictures, found none \[empty-split\]"):
        convert_one(one, share, tmp_path / "out", policy="{check_severities: empty-split=error}")
    assert not (tmp_path / "out").exists()


def test_a_split_that_a_data_set_lacks_is_refused_by_name(one: Path, share: Any, tmp_path: Path) -> None:
    convert_one(one, share, tmp_path / "none", splits="none")
    convert_one(one, share, tmp_path / "test", splits="test")
    with pytest.raises(
        DatasetError, match="no split 'test', for it was converted with splits none; ask for split 'all'"
    ):
        DataSet.open(tmp_path / "none").split("test")
    with pytest.raises(DatasetError, match="split 'all': expected one of train, val, test"):
        DataSet.open(tmp_path / "test").split("all")
    assert DataSet.open(tmp_path / "test").split("train") == []
    assert DataSet.open(tmp_path / "test").filled_splits.startswith("only test has any; convert with")


@pytest.mark.parametrize("splits", ["test", "none"])
def test_labels_of_a_device_are_in_the_train_split_or_nowhere(share: Any, tmp_path: Path, splits: str) -> None:
    share.site("D", 9, frames=2, detections=[[3, 0.9, 48, 64, 64, 48]])
    options = ConvertOptions(
        source=str(share.recordings), labels=str(share.label_file), device_labels="train", splits=splits
    )
    convert(options, tmp_path / "out")
    split = {"none": "all"}.get(splits, splits)
    labels = json.loads((tmp_path / "out" / "annotations" / f"instances_{split}.json").read_text())["annotations"]
    assert {label["label_source"] for label in labels} == {"human"}
    with pytest.raises(DatasetError, match="no human labels, and others are for the train split only"):
        convert(ConvertOptions(str(share.recordings), device_labels="train", splits=splits), tmp_path / "device")


@pytest.mark.parametrize(("splits", "labels_only"), [("none", True), ("test", False)])
def test_merge_of_shards_is_the_single_run(share: Any, tmp_path: Path, splits: str, labels_only: bool) -> None:
    options = ConvertOptions(
        source=str(share.recordings), labels=str(share.label_file), splits=splits, labels_only=labels_only
    )
    whole = convert(options, tmp_path / "whole")
    for index in range(2):
        convert_shard(options, tmp_path / f"{index}", Shard(index, 2))
    assert merge_shards([tmp_path / "1", tmp_path / "0"], tmp_path / "merged") == whole
    assert files(tmp_path / "merged") == files(tmp_path / "whole")
    assert sum(images(whole).values()) == 9


def coco_of(structure: dict[int, tuple[str, int]]) -> dict[str, Any]:
    """A COCO file without pictures: (site, pictures) of each recording."""
    names = [(number, site, scan) for number, (site, scans) in structure.items() for scan in range(scans)]
    return {
        "images": [
            {"id": i, "file_name": f"r{n}/{scan}.jpg", "width": 64, "height": 48, "recording": f"r{n}", "site": site}
            for i, (n, site, scan) in enumerate(names)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 2, 3 + i % 5, 4]} for i in range(len(names))
        ],
        "categories": [{"id": 1, "name": "CAR"}],
    }


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.integers(0, 9), st.tuples(st.sampled_from("ABCD"), st.integers(1, 4)), min_size=1, max_size=6),
    st.sampled_from(SPLITS),
    st.integers(1, 4),
)
def test_shards_of_any_structure_write_the_frames_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, structure: dict[int, tuple[str, int]], splits: str, count: int
) -> None:
    """The first stage alone: what the merge makes of equal frames in equal order cannot differ."""
    folder = tmp_path_factory.mktemp("structure")
    (folder / "labels.json").write_text(json.dumps(coco_of(structure)))
    options = ConvertOptions(str(folder / "labels.json"), splits=splits, labels_only=True)

    def spooled(index: int, of: int) -> list[list[Any]]:
        prepared = prepare(options, PlugIns(), None)
        (folder / f"{index}-{of}").mkdir(exist_ok=True)
        spool = folder / f"{index}-{of}" / "frames.jsonl"
        write_frames(prepared, spool, options, PlugIns(), shard=(index, of))
        return [json.loads(line) for line in spool.read_text().splitlines()]

    whole = spooled(0, 1)
    assert [row for index in range(count) for row in spooled(index, count)] == whole
    assert Counter(row[1] for row in whole) == {f"r{number}": scans for number, (_, scans) in structure.items()}
    splits_of = {recording: {row[0] for row in whole if row[1] == recording} for recording in {row[1] for row in whole}}
    assert all(len(found) == 1 for found in splits_of.values())


@pytest.mark.parametrize("splits", ["auto", "test"])
def test_our_own_data_set_converted_again_keeps_its_splits(one: Path, share: Any, tmp_path: Path, splits: str) -> None:
    first = convert_one(one, share, tmp_path / "one", splits=splits)
    again = convert(ConvertOptions(str(tmp_path / "one")), tmp_path / "two")
    assert images(again) == images(first)


def test_labels_alone_make_a_data_set_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(coco_of({0: ("A", 2), 1: ("B", 1), 2: ("C", 3)})))
    out = tmp_path / "out"
    summary = convert(ConvertOptions(str(tmp_path / "labels.json"), labels_only=True), out)
    assert sum(images(summary).values()) == 6
    assert not (out / "images").exists()
    assert len(list((out / "labels").rglob("*.txt"))) == 6
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["labels_only"] is True
    assert not any(entry["path"].startswith("images/") for entry in manifest["files"])
    assert (out / "labels" / "r0" / "1.txt").read_text() == "0 0.04687500 0.08333333 0.06250000 0.08333333\n"
    image = COCO(str(out / "annotations/instances_train.json")).dataset["images"][0]
    assert (image["width"], image["height"]) == (64, 48)
    assert "labels only: no picture was compared, so splits may share pictures that look alike" in summary.notes
    with pytest.raises(DatasetError, match="converted with labels_only, it has no pictures; convert again with them"):
        DataSet.open(out).split("train")
    again = convert(ConvertOptions(str(out), labels_only=True), tmp_path / "again")
    assert images(again) == images(summary)


def test_recordings_may_leave_their_pictures_behind_too(share: Any, tmp_path: Path) -> None:
    with_pictures, alone = tmp_path / "with", tmp_path / "alone"
    options = {"source": str(share.recordings), "labels": str(share.label_file)}
    convert(ConvertOptions(**options), with_pictures)
    convert(ConvertOptions(**options, labels_only=True), alone)
    kept = {name: data for name, data in files(with_pictures).items() if not name.startswith("images/")}
    found = files(alone)
    assert set(found) == set(kept)
    different = {name for name in kept if kept[name] != found[name]}
    assert different <= {"manifest.json", "report.html", "report.json"}


def test_labels_that_state_no_size_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data.yaml").write_text("names: [CAR]\ntrain: list.txt\n")
    (tmp_path / "list.txt").write_text("images/a.jpg\n")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(LabelError, match=r"labels/a\.txt: labels_only takes the size .*\(coco, cvat, voc, labelme\)"):
        convert(ConvertOptions(str(tmp_path), labels_only=True), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_thinning_by_looks_is_refused_where_nothing_can_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(coco_of({0: ("A", 2)})))
    with pytest.raises(OptionsError, match="thin_distance compares pictures, and labels_only reads none"):
        convert(
            ConvertOptions(str(tmp_path / "labels.json"), labels_only=True, policy="{thin_distance: 4}"), tmp_path / "o"
        )


def test_pictures_of_two_splits_that_are_called_alike_stay_two(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for split in ("train", "val"):
        content = coco_of({0: ("", 1)})
        content["images"] = [{"id": 0, "file_name": "0001.jpg", "width": 64, "height": 48}]
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    convert(ConvertOptions(str(tmp_path), labels_only=True), tmp_path / "out")
    assert (tmp_path / "out" / "train.txt").read_text() == "./images/train/0001.jpg\n"
    assert (tmp_path / "out" / "val.txt").read_text() == "./images/val/0001.jpg\n"
