"""Records of ours, each value changed in every odd way: read, or refused in one line that names the file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judged_runs import write_set
from value_mutations import MISSING, all_changed

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.reference import DatasetReference
from traffic_yolo.deepstream.run.deepstream_app import FRAMES_NAME, KITTI_FOLDER, read_app_run
from traffic_yolo.errors import TrafficYoloError
from traffic_yolo.katib.run.collector import ObservedMetric
from traffic_yolo.katib.run.journal import Journal
from traffic_yolo.snapshot.snapshot import read_snapshot, take_snapshot, write_snapshot
from traffic_yolo.trained_on import TrainedOn
from traffic_yolo.training.summary import SUMMARY_NAME, FinishedTraining
from traffic_yolo.tuning.shared_store import count_events, record_event
from traffic_yolo.verdict_file import read_verdict, write_verdict

ODD = (MISSING, None, True, -1, 1.5, "x", [], {}, [None])
Read = Callable[[], object]


def snapshot(folder: Path) -> tuple[Path, Read]:
    (folder / "source").mkdir()
    (folder / "source/a.jpg").write_bytes(b"x")
    write_snapshot(folder / "snapshot.json", take_snapshot(folder / "source"))
    return folder / "snapshot.json", lambda: read_snapshot(folder / "snapshot.json")


def trained_on(folder: Path) -> tuple[Path, Read]:
    path = folder / "trained_on.json"
    TrainedOn("f" * 64, ("a",), ("b",), "w", "").write(path)
    return path, lambda: TrainedOn.read(path)


def summary(folder: Path) -> tuple[Path, Read]:
    FinishedTraining("text", {"ap": 0.5}, ("better",), True).write(folder)
    return folder / SUMMARY_NAME, lambda: FinishedTraining.read(folder)


def verdict(folder: Path) -> tuple[Path, Read]:
    write_verdict(folder / "verdict.json", learnt=True, worse=("a",), details={})
    return folder / "verdict.json", lambda: read_verdict(folder)


def manifest(folder: Path) -> tuple[Path, Read]:
    write_set(folder / "set")

    def read() -> None:
        data_set = DataSet.open(folder / "set")
        assert sum(data_set.num_images.values()) or data_set.filled_splits
        data_set.split("test", missing_files=True)

    return folder / "set/manifest.json", read


def reference(folder: Path) -> tuple[Path, Read]:
    DatasetReference(str(folder / "set"), "d" * 64).write(folder)
    return folder / "reference.json", lambda: DatasetReference.of(folder)


def journal(folder: Path) -> tuple[Path, Read]:
    """The lines of the journal as one list, to be changed together."""
    made = Journal(folder / "journal.jsonl")
    made.begin({"a": 1})
    made.add("t1", {"x": "1"})
    made.note_process("t1", {"pid": 1})
    made.end("t1", "Succeeded", observation=[ObservedMetric("m", "1", "1", "1")], reports=(1.0,))
    made.cut_off("t1", "message")
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    (folder / "lines.json").write_text(json.dumps(lines))

    def read() -> None:
        lines = json.loads((folder / "lines.json").read_text())
        lines = lines if isinstance(lines, list) else [lines]
        (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        Journal(folder / "journal.jsonl")

    return folder / "lines.json", read


def event(folder: Path) -> tuple[Path, Read]:
    record_event(folder / "store", "trained", "k")
    (path,) = (folder / "store").rglob("*.json")
    return path, lambda: count_events(folder / "store")


def frames(folder: Path) -> tuple[Path, Read]:
    (folder / "9x5" / KITTI_FOLDER).mkdir(parents=True)
    (folder / "9x5" / KITTI_FOLDER / "00_000_000000.txt").write_text("")
    part = {"folder": "9x5", "width": 9, "height": 5, "image_ids": [7]}
    (folder / FRAMES_NAME).write_text(json.dumps({"parts": [part]}))
    return folder / FRAMES_NAME, lambda: read_app_run(folder, ["CAR"])


RECORDS = (snapshot, trained_on, summary, verdict, manifest, reference, journal, event, frames)


@pytest.mark.parametrize("make", RECORDS, ids=lambda make: make.__name__)
def test_any_value_that_is_another_is_read_or_refused_by_name(tmp_path: Path, make: Any) -> None:
    path, read = make(tmp_path)
    read()
    document = json.loads(path.read_text())
    refusals: dict[str, str] = {}
    for what, changed in all_changed(document, ODD):
        path.write_text(json.dumps(changed))
        try:
            read()
        except TrafficYoloError as error:
            refusals[what] = str(error)
    assert len(refusals) > 5
    assert [what for what, text in refusals.items() if "\n" in text or str(tmp_path) not in text] == []


@pytest.mark.parametrize(
    ("make", "where", "value", "words"),
    [
        (snapshot, ("totals", "frames"), "7", r"not a snapshot: totals\.frames: expected a whole number; found '7'"),
        (snapshot, ("totals", "frames"), -7, r"not a snapshot: totals: expected numbers from 0"),
        (snapshot, ("files", 0, 3), None, "not a snapshot: files: frames is a NoneType"),
        (trained_on, ("pictures",), "abc", "pictures: expected a list; found 'abc'"),
        (summary, ("numbers", "ap"), "0.5", r"numbers\.ap: expected a finite number; found '0\.5'"),
        (summary, ("is_improvement",), "no", "is_improvement: expected true or false; found 'no'"),
        (manifest, ("counts", "test", "images"), "6", r"counts\.test\.images: expected a whole number; found '6'"),
        (manifest, ("files", 0, "size"), None, "files: expected path, size and sha256 of each"),
        (
            journal,
            (1, "assignments"),
            ["x"],
            r"line 2: no event of a local Katib run \(assignments: expected an object",
        ),
        (journal, (3, "reports"), ["1"], r"line 4: .*reports\[0\]: expected a finite number; found '1'"),
        (journal, (2, "name"), "t2", "line 3: no event of a local Katib run"),
        (event, ("event",), "lost", "event: expected one of training, trained"),
        (
            frames,
            ("parts", 0, "image_ids", 0),
            7.5,
            r"not a frame manifest: parts\[0\]\.image_ids\[0\]: expected a whole number; found 7\.5",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, make: Any, where: tuple[Any, ...], value: Any, words: str) -> None:
    path, read = make(tmp_path)
    document = json.loads(path.read_text())
    holder = document
    for key in where[:-1]:
        holder = holder[key]
    holder[where[-1]] = value
    path.write_text(json.dumps(document))
    with pytest.raises(TrafficYoloError, match=words):
        read()
