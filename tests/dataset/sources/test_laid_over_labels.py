"""Label files of every format laid over recordings: the frame is found by its name, human labels replace the device's."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from traffic_yolo.atm.recording import Recording
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.export_labels import export_labels
from traffic_yolo.dataset.options import (
    LABEL_FORMAT_NAMES,
    WRITTEN_FORMATS,
    ConvertOptions,
    ExportOptions,
    SourceChoice,
)
from traffic_yolo.dataset.problems import Problem
from traffic_yolo.dataset.sources.label_formats import LABEL_FORMATS
from traffic_yolo.dataset.sources.label_writers import LABEL_WRITERS
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.errors import DatasetError, LabelError, RecordingInUseError, StorageError

BOXES = 1980  # as the README of the reference material states


def total(counts: dict[str, int], what: str) -> int:
    return sum(counts[f"{split}_{what}"] for split in ("train", "val", "test"))


@pytest.fixture(scope="module")
def straight(reference: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the real recordings have under their own labels."""
    recordings, labels = str(reference / "traffic/recordings"), str(reference / "traffic/human_labels.json")
    options = ConvertOptions(source=recordings, labels=labels, val_sites="B", test_sites="C")
    return convert(options, tmp_path_factory.mktemp("straight") / "out").counts


@pytest.mark.many(1)
@pytest.mark.parametrize("to", WRITTEN_FORMATS)
@pytest.mark.long
def test_real_labels_in_every_format_lie_over_the_real_recordings(
    reference: Path, straight: dict[str, int], tmp_path: Path, to: str
) -> None:
    recordings, labels = str(reference / "traffic/recordings"), str(reference / "traffic/human_labels.json")
    export_labels(ExportOptions(source=recordings, labels=labels, to=to, frames="labelled"), tmp_path / "labels")
    options = ConvertOptions(source=recordings, labels=str(tmp_path / "labels"), val_sites="B", test_sites="C")
    summary = convert(options, tmp_path / "out")
    assert (total(summary.counts, "images"), total(summary.counts, "boxes")) == (116, BOXES)
    assert summary.counts == straight


def test_pre_labels_of_the_device_come_back_from_cvat_as_human_labels(share: Any, tmp_path: Path) -> None:
    source = str(share.recordings)
    export_labels(ExportOptions(source=source, to="cvat", min_confidence=0.5), tmp_path / "for-cvat")
    options = ConvertOptions(
        source=source, labels=str(tmp_path / "for-cvat" / "annotations.xml"), label_source="human", val_sites="B"
    )
    summary = convert(options, tmp_path / "out")
    assert (total(summary.counts, "images"), total(summary.counts, "boxes")) == (9, 9)
    assert "all labels taken as human ones, whatever the file says" in summary.notes
    with pytest.raises(DatasetError, match="no human labels"):
        convert(ConvertOptions(source=source, labels=options.labels), tmp_path / "again")


@pytest.mark.parametrize(
    "name", ["{recording}/SCAN_{scan:05d}.jpg", "{recording}_SCAN_{scan:05d}.jpg", "{recording}-SCAN_{scan:05d}.png"]
)
def test_a_frame_is_known_by_the_name_of_its_picture(share: Any, tmp_path: Path, name: str) -> None:
    recordings = sorted(share.recordings.rglob("*.h5"))
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "label", "x", "y", "w", "h"])
        for path in recordings:
            for scan in range(3):
                rows.writerow([name.format(recording=path.stem, scan=scan), "CAR", 5, 6, 20, 10])
    mapping = {
        "file": "csv",
        "fields": {"image": "image", "class": "label", "box": ["x", "y", "w", "h"]},
        "box": {"order": "xywh"},
    }
    (tmp_path / "mapping.yaml").write_text(yaml.safe_dump(mapping))
    options = ConvertOptions(
        source=str(share.recordings), labels=str(tmp_path / "boxes.csv"), mapping=str(tmp_path / "mapping.yaml")
    )
    assert total(convert(options, tmp_path / "out").counts, "boxes") == 9


@pytest.mark.long
def test_labels_of_a_model_train_only_when_asked_and_never_reach_val_or_test(share: Any, tmp_path: Path) -> None:
    for name, scan in (("A", 0), ("B", 0), ("C", 0)):
        (path,) = share.recordings.rglob(f"*site{name}/*.h5")
        image = next(i for i in share.coco["images"] if i["recording"] == path.name and i["scan"] == scan)
        for confidence in (0.9, 0.3):
            share.annotation(
                image_id=image["id"], category_id=3, bbox=[1, 2, 20, 20], label_source="model", confidence=confidence
            )
    share.save()
    sites = {"val_sites": "B", "test_sites": "C"}
    base = {"source": str(share.recordings), "labels": str(share.label_file), **sites}
    never = convert(ConvertOptions(**base), tmp_path / "never")
    assert (never.counts["train_images"], never.counts["val_images"], never.counts["test_images"]) == (2, 2, 2)
    asked = convert(ConvertOptions(**base, device_labels="train", min_confidence=0.5), tmp_path / "asked")
    assert (asked.counts["train_images"], asked.counts["val_images"], asked.counts["test_images"]) == (3, 2, 2)
    assert asked.counts["train_boxes"] == never.counts["train_boxes"] + 3  # two human ones of the frame, and one of 0.9


@pytest.mark.parametrize("changed_at", [None, 1e9])  # now, and long ago: the file's state alone decides
def test_recording_that_is_cut_off_is_left_out_and_named(share: Any, tmp_path: Path, changed_at: float | None) -> None:
    path = share.site("D", 9)
    share.label(path, 0, [(3, [1, 1, 9, 9])])
    share.save()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])  # a device elsewhere is half through, or a copy was cut off
    if changed_at is not None:
        os.utime(path, (changed_at, changed_at))
    options = ConvertOptions(source=str(share.recordings), labels=str(share.label_file))
    summary = convert(options, tmp_path / "out")
    notes = " | ".join(summary.notes)
    assert (
        f"{path}: left out: still being written, or cut off ({len(whole) // 2} bytes, where its own header says {len(whole)})"
        in notes
    )
    assert "labels of 1 frames of recordings that are still being written left out" in notes
    assert total(summary.counts, "images") == 9


def test_recording_that_a_writer_on_this_machine_holds_is_left_out(
    share: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    path = share.site("D", 9)
    program = "import h5py, sys; f = h5py.File(sys.argv[1], 'a'); print('open', flush=True); sys.stdin.readline()"
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    try:
        options = ConvertOptions(source=str(share.recordings), labels=str(share.label_file))
        summary = convert(options, tmp_path / "out")
    finally:
        writer.communicate("\n")
    assert any("still being written, or cut off (its writer has it open)" in note for note in summary.notes)


def test_recording_that_grows_while_it_is_read_stops_the_run(
    share: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = share.recordings.rglob("*siteB/*.h5")
    read = Recording.scan

    def grow(self: Recording, number: int, **options: Any) -> Any:
        found = read(self, number, **options)
        if self.path == path and number == 1:
            with path.open("ab") as file:
                file.write(b"more")
        return found

    monkeypatch.setattr(Recording, "scan", grow)
    options = ConvertOptions(source=str(share.recordings), labels=str(share.label_file))
    with pytest.raises(RecordingInUseError, match="changed while it was read"):
        convert(options, tmp_path / "out", processes=1)
    assert not (tmp_path / "out").exists()


def test_only_unfinished_recordings_are_no_source(share: Any, tmp_path: Path) -> None:
    for path in share.recordings.rglob("*.h5"):
        path.write_bytes(b"")
    with pytest.raises(StorageError, match="no recording can be read: .*still being written"):
        convert(ConvertOptions(source=str(share.recordings), labels=str(share.label_file)), tmp_path / "out")


def test_labels_that_name_no_frame_are_refused_with_their_place(share: Any, tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "holiday.xml").write_text("<annotation></annotation>")
    options = ConvertOptions(source=str(share.recordings), labels=str(tmp_path))
    with pytest.raises(LabelError, match=r"holiday\.xml: expected 'recording' and 'scan'"):
        convert(options, tmp_path / "out")


def test_names_of_formats_are_those_of_readers_and_writers() -> None:
    assert tuple(LABEL_FORMATS) == LABEL_FORMAT_NAMES
    assert tuple(LABEL_WRITERS) == WRITTEN_FORMATS


def test_classes_of_the_labels_that_the_recordings_spell_otherwise_are_a_finding(share: Any, tmp_path: Path) -> None:
    share.coco["categories"] += [
        {"id": 9, "name": "long truck"},
        {"id": 10, "name": "Tram"},
        {"id": 11, "name": "tram"},
    ]
    share.save()
    told: list[Problem] = []
    choice = SourceChoice(str(share.recordings), labels=str(share.label_file))
    open_source(choice, SourceOptions(on_problem=told.append))
    messages = sorted(problem.message.partition("found ")[2] for problem in told if problem.kind == "classes-alike")
    assert messages == [
        "'LONG_TRUCK' and 'long truck'; they are two: rename one", "'Tram' and 'tram'; they are two: rename one",
    ]  # fmt: skip
    options = ConvertOptions(choice.source, labels=choice.labels, policy="{check_severities: alike-classes=error}")
    with pytest.raises(DatasetError, match=r"checks failed: .*: error: .*\[alike-classes\]"):
        convert(options, tmp_path / "out")
