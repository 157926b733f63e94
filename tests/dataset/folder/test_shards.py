"""A conversion in shards, put together, is byte for byte the conversion in one piece."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.folder.shards import SHARD_NAME, Shard, convert_shard, merge_shards
from traffic_yolo.dataset.options import ConvertOptions, ExportOptions
from traffic_yolo.errors import DatasetError, OptionsError

THINNED = "{max_negatives: 0.1, thin_gap_s: 0.1, min_box_px: 30, network_width: 96, network_height: 64}"


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def shard_folders(options: ConvertOptions, tmp_path: Path, count: int) -> list[Path]:
    folders = [tmp_path / f"shard-{index}" for index in range(count)]
    for index, folder in enumerate(folders):
        convert_shard(options, folder, Shard(index, count))
    return folders


@pytest.fixture
def options(share: Any) -> ConvertOptions:
    """Recordings of three sites with labelled, empty and device-labelled frames, ignored boxes and a class dropped."""
    for number, name in enumerate("ABC", start=5):
        recording = share.site(name, number, frames=4, detections=[[3, 0.9, 48, 64, 64, 48]])
        share.label(recording, 0, [])
        share.label(recording, 1, [(1, [90, 60, 20, 20])])
    share.annotation(image_id=1, category_id=2, bbox=[1, 1, 9, 9], ignore=1, attributes={"occluded": True})
    share.save()
    return ConvertOptions(source=str(share.recordings), labels=str(share.label_file), device_labels="train")


@pytest.mark.many(1)
@pytest.mark.parametrize(("count", "policy"), [(2, ""), (9, ""), (3, THINNED)], ids=["2", "9", "3-thinned"])
def test_merge_of_recordings_is_the_single_run(
    options: ConvertOptions, tmp_path: Path, count: int, policy: str
) -> None:
    options = ConvertOptions(**{**vars(options), "policy": policy})
    whole = convert(options, tmp_path / "whole")
    merged = merge_shards(shard_folders(options, tmp_path, count)[::-1], tmp_path / "merged")
    assert merged == whole
    assert content(tmp_path / "merged") == content(tmp_path / "whole")
    assert whole.counts["train_images"] >= (2 if policy else 7)


@pytest.mark.long
@pytest.mark.parametrize("to", ["yolo", "cvat"])
def test_merge_of_pictures_in_files_is_the_single_run(options: ConvertOptions, tmp_path: Path, to: str) -> None:
    exported = ExportOptions(source=options.source, labels=options.labels, to=to, copy_pictures=True, frames="labelled")
    export_labels(exported, tmp_path / "files")
    files = ConvertOptions(source=str(tmp_path / "files"), source_format=to)
    whole = convert(files, tmp_path / "whole")
    assert merge_shards(shard_folders(files, tmp_path, 3), tmp_path / "merged") == whole
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


@pytest.mark.many(1)
@pytest.mark.parametrize("kind", ["recordings", "files"])
def test_processes_side_by_side_write_the_same_bytes(options: ConvertOptions, tmp_path: Path, kind: str) -> None:
    if kind == "files":
        export_labels(
            ExportOptions(source=options.source, labels=options.labels, to="coco", copy_pictures=True), tmp_path / "f"
        )
        options = ConvertOptions(source=str(tmp_path / "f"), device_labels="train")
    one = convert(options, tmp_path / "one", processes=1)
    assert convert(options, tmp_path / "three", processes=3) == one
    assert content(tmp_path / "three") == content(tmp_path / "one")


def test_merge_copies_where_files_cannot_be_linked(
    options: ConvertOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(options, tmp_path / "whole")
    folders = shard_folders(options, tmp_path, 2)

    def refuse(*_paths: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("os.link", refuse)
    merge_shards(folders, tmp_path / "merged")
    assert content(tmp_path / "merged") == content(tmp_path / "whole")


def test_shards_that_do_not_belong_together_are_refused(options: ConvertOptions, tmp_path: Path) -> None:
    first, second = shard_folders(options, tmp_path, 2)
    other = tmp_path / "other"
    convert_shard(ConvertOptions(**{**vars(options), "min_confidence": 0.1}), other, Shard(1, 2))
    for folders, words in (
        ([first], "shard 2/2 is missing"),
        ([first, second, second], "shard 2/2 is given twice"),
        ([first, other], "another options, classes or source"),
        ([first, tmp_path], "shard.json is missing"),
    ):
        with pytest.raises(DatasetError, match=words):
            merge_shards(folders, tmp_path / "merged")
    (second / SHARD_NAME).write_text(json.dumps({"schema_version": 0}))
    with pytest.raises(DatasetError, match="not a shard of schema version"):
        merge_shards([first, second], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("kind", ["images/**/*.jpg", "labels/**/*.txt"])
@pytest.mark.parametrize("harm", ["missing", "cut off"])
def test_shard_whose_files_did_not_come_through_is_refused(
    options: ConvertOptions, tmp_path: Path, kind: str, harm: str
) -> None:
    folders = shard_folders(options, tmp_path, 2)
    victim = next(path for path in sorted(folders[0].glob(kind)) if path.stat().st_size)
    data = victim.read_bytes()
    victim.unlink()
    if harm == "cut off":
        victim.write_bytes(data[:-1])
    found = "it is missing" if harm == "missing" else f"found {len(data) - 1}"
    with pytest.raises(DatasetError) as refusal:
        merge_shards(folders, tmp_path / "merged")
    assert str(refusal.value) == f"{victim}: expected {len(data)} bytes, {found}; copy or convert the shard again"
    assert not (tmp_path / "merged").exists()


def test_a_recording_that_came_between_two_shards_is_noticed(options: ConvertOptions, tmp_path: Path) -> None:
    convert_shard(options, tmp_path / "one", Shard(0, 2))
    (path,) = Path(options.source).rglob("20210901120500_0.h5")
    shutil.copy(path, path.with_name("20210901990000_0.h5"))
    convert_shard(options, tmp_path / "two", Shard(1, 2))
    with pytest.raises(DatasetError, match="not a shard of the same conversion"):
        merge_shards([tmp_path / "one", tmp_path / "two"], tmp_path / "merged")


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2", "1/2/3", "1/10001"])
def test_shard_without_sense_is_refused(text: str) -> None:
    with pytest.raises(OptionsError, match="expected K/N"):
        Shard.parse(text)


def test_shard_reads_as_it_is_written() -> None:
    assert str(Shard.parse("2/7")) == "2/7"
    assert Shard.parse("2/7") == Shard(1, 7)
