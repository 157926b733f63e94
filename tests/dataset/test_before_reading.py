"""What a conversion looks at before it decodes anything: its places, the snapshot's bytes, and what else lies there."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from small_shares import HEIGHT, WIDTH, Share, jpeg

from traffic_yolo.dataset import convert as module
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.folder.shards import Shard, convert_shard
from traffic_yolo.dataset.options import ConvertOptions, ExportOptions
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.snapshot.options import SnapshotOptions
from traffic_yolo.snapshot.snapshot import take_snapshot, write_snapshot


def chosen(share: Share, **more: Any) -> ConvertOptions:
    return ConvertOptions(source=str(share.recordings), labels=str(share.label_file), **more)


def test_an_output_that_cannot_be_is_refused_before_the_source_is_looked_at(
    share: Share, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_source", lambda *_: pytest.fail("the source was opened"))
    full = tmp_path / "full"
    full.mkdir()
    (full / "something").write_text("")
    (tmp_path / "file").write_text("")
    for out, message in ((full, "output exists already"), (tmp_path / "file/out", "is a file, not a folder")):
        with pytest.raises(StorageError, match=message):
            convert(chosen(share), out)
        with pytest.raises(StorageError, match=message):
            convert_shard(chosen(share), out, Shard(0, 2))
        exported = ExportOptions(source=str(tmp_path / "not there"))
        with pytest.raises(StorageError, match=message):
            export_labels(exported, out)
    with pytest.raises(StorageError, match="is a file, not a folder"):
        convert(chosen(share, data_store=str(tmp_path / "file/store")), tmp_path / "out")


def test_bytes_that_changed_under_their_size_are_not_those_of_the_snapshot(share: Share, tmp_path: Path) -> None:
    look = SnapshotOptions(source=str(share.recordings), labels=str(share.label_file))
    write_snapshot(tmp_path / "s.json", take_snapshot(look.source, labels=look.labels))
    (recording,) = share.recordings.rglob("20210901120100_0.h5")
    state, data = recording.stat(), bytearray(recording.read_bytes())
    data[-1] ^= 1
    recording.write_bytes(data)
    os.utime(recording, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(StorageError, match=f"{recording}: expected SHA-256 .* it was changed since: take a new snap"):
        convert(chosen(share), tmp_path / "out", snapshot_path=tmp_path / "s.json")
    data[-1] ^= 1
    recording.write_bytes(data)
    share.label_file.write_text(share.label_file.read_text().replace("10.5", "11.5"))
    with pytest.raises(StorageError, match=f"{share.label_file}: expected SHA-256"):
        convert(chosen(share), tmp_path / "out", snapshot_path=tmp_path / "s.json")
    share.save()
    assert convert(chosen(share), tmp_path / "out", snapshot_path=tmp_path / "s.json").counts["train_images"]


def test_the_snapshot_s_cache_spares_the_reading_and_is_no_way_around_it(
    share: Share, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from traffic_yolo.dataset.sources import unchanged_files

    read: list[str] = []
    hash_files = unchanged_files.hash_files

    def watched(tasks: Any, **how: Any) -> Any:
        read.extend(task.name for task in tasks)
        return hash_files(tasks, **how)

    cache = str(tmp_path / "cache")
    snapshot = take_snapshot(str(share.recordings), labels=str(share.label_file), cache=cache)
    write_snapshot(tmp_path / "s.json", snapshot)
    monkeypatch.setattr(unchanged_files, "hash_files", watched)
    how = {"snapshot_path": tmp_path / "s.json", "snapshot_cache": cache}
    convert(chosen(share), tmp_path / "one", **how)  # type: ignore[arg-type]
    assert read == []
    (recording,) = share.recordings.rglob("20210901120100_0.h5")
    data = bytearray(recording.read_bytes())
    data[-1] ^= 1
    recording.write_bytes(data)
    with pytest.raises(StorageError, match="expected SHA-256"):
        convert(chosen(share), tmp_path / "two", **how)  # type: ignore[arg-type]
    assert read == [str(recording.relative_to(share.recordings))]


def coco(name: str) -> str:
    image = {"id": 1, "file_name": name, "width": WIDTH, "height": HEIGHT}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}
    return json.dumps({"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "CAR"}]})


def notes_of(folder: Path, out: Path, **more: Any) -> list[str]:
    return list(convert(ConvertOptions(source=str(folder), splits="none", **more), out).notes)


def test_auto_says_what_it_took_and_what_it_left(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    (folder / "annotations").mkdir(parents=True)
    (folder / "images").mkdir()
    (folder / "images/a.jpg").write_bytes(jpeg(1))
    (folder / "annotations/instances.json").write_text(coco("a.jpg"))
    assert not any("auto" in note or "taken" in note for note in notes_of(folder, tmp_path / "alone"))
    (folder / "more.json").write_text(coco("a.jpg"))
    (folder / "settings.json").write_text("{}")
    (folder / "data.yaml").write_text("train: images\nnames: [CAR]\n")
    notes = notes_of(folder, tmp_path / "out")
    assert (
        "format auto took coco, and left what may be yolo (a YOLO data set (data.yaml or *.data)): --format names "
        "another" in notes
    )
    taken = "COCO files taken: annotations/instances.json; left: more.json; give one of them as source to take it"
    assert taken in notes
    assert not any("auto" in note for note in notes_of(folder, tmp_path / "named", source_format="coco"))
    # Our own data set is COCO and YOLO at once, and nothing of it is left
    assert not any("auto" in note for note in notes_of(tmp_path / "out", tmp_path / "again"))


def test_a_cache_without_its_snapshot_is_refused(share: Share, tmp_path: Path) -> None:
    from traffic_yolo.commands.convert import command

    wanted = ["--source", str(share.recordings), "--out", str(tmp_path / "o"), "--snapshot-cache", str(tmp_path / "c")]
    with pytest.raises(OptionsError, match="give --snapshot too"):
        command.main(wanted, standalone_mode=False)
