"""What is new between two snapshots, in words and as the gate of a retraining; expected values are counted by hand."""

import dataclasses
from pathlib import Path

import pytest

from traffic_yolo.errors import OptionsError
from traffic_yolo.snapshot.changes import NEW, TOO_FEW, UNCHANGED, Changes, GateOptions, compare, gate, growth_text
from traffic_yolo.snapshot.snapshot import Snapshot, SnapshotFile, Totals, fingerprint_of, take_snapshot
from traffic_yolo.storage import Skipped


def snapshot(files: dict[str, tuple[str, int]], sites: str = "", detections: dict[str, int] | None = None) -> Snapshot:
    """`files`: path -> content (stands for the hash), frames."""
    rows = tuple(SnapshotFile(path, 1, content * 64, frames) for path, (content, frames) in files.items())
    frames = sum(row.frames for row in rows)
    totals = Totals(len(rows), frames, tuple(sites), detections or {})
    return Snapshot("s", "", fingerprint_of(rows), totals, (), rows)


BEFORE = snapshot({"A/1.h5": ("a", 100), "A/2.h5": ("b", 50)}, "A", {"CAR": 1000, "MOTORCYCLE": 100})
AFTER = snapshot(
    {"A/1.h5": ("a", 100), "B/3.h5": ("c", 1000), "C/4.h5": ("d", 240), "A/2.h5": ("b", 50)},
    "ABC",
    {"CAR": 1003, "MOTORCYCLE": 138, "BUS": 7},
)


def test_summary_reads_as_people_would_say_it() -> None:
    changes = compare(BEFORE, AFTER)
    assert changes.summary == "+1,240 frames, 2 new sites (B, C), BUS new (+7), MOTORCYCLE +38 %; files: 2 new"
    assert changes.detections == {"CAR": (1000, 1003), "MOTORCYCLE": (100, 138), "BUS": (0, 7)}
    assert changes.new_recordings == 2


def test_same_content_is_no_new_data() -> None:
    assert compare(BEFORE, BEFORE).summary == "no new data"
    assert gate(compare(BEFORE, BEFORE), GateOptions()) == UNCHANGED


def test_without_a_previous_snapshot_everything_is_new() -> None:
    changes = compare(None, BEFORE)
    assert changes.new_files == ("A/1.h5", "A/2.h5")
    assert changes.summary == "+150 frames, 1 new site (A); files: 2 new"
    assert gate(changes, GateOptions(min_new_frames=150, min_new_sites=0)) == NEW


def test_removed_and_changed_files_are_said() -> None:
    now = snapshot({"A/1.h5": ("z", 90)}, "A", {"CAR": 500})
    changes = compare(BEFORE, now)
    assert (changes.changed_files, changes.removed_files, changes.new_files) == (("A/1.h5",), ("A/2.h5",), ())
    assert (changes.new_frames, changes.removed_frames) == (90, 150)
    assert changes.summary == "+90 frames, -150 frames, CAR -50 %, MOTORCYCLE -100 %; files: 1 changed, 1 removed"


def test_moved_files_bring_no_frames() -> None:
    now = snapshot({"X/1.h5": ("a", 100), "X/2.h5": ("b", 50)}, "X", BEFORE.totals.detections)
    changes = compare(BEFORE, now)
    assert changes.moved_files == (("A/1.h5", "X/1.h5"), ("A/2.h5", "X/2.h5"))
    assert (changes.new_frames, changes.removed_frames, changes.new_files, changes.removed_files) == (0, 0, (), ())
    assert changes.summary == "1 new site (X), 1 site gone (A); files: 2 moved"


def test_second_copy_of_a_recording_is_counted_once_more() -> None:
    now = snapshot({"A/1.h5": ("a", 100), "A/2.h5": ("b", 50), "A/copy.h5": ("a", 100)}, "A")
    assert compare(BEFORE, now).new_frames == 100
    assert compare(now, BEFORE).removed_frames == 100


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (GateOptions(min_new_frames=1240, min_new_sites=0), NEW),
        (GateOptions(min_new_frames=1241, min_new_sites=0), TOO_FEW),
        (GateOptions(min_new_frames=0, min_new_sites=2), NEW),
        (GateOptions(min_new_frames=0, min_new_sites=3), TOO_FEW),
        (GateOptions(min_new_frames=0, min_new_sites=0, min_class_growth=38), NEW),
    ],
)
def test_gate_opens_at_its_threshold(options: GateOptions, word: str) -> None:
    now = snapshot(
        {file.path: (file.sha256[0], file.frames) for file in AFTER.files}, "ABC", {"CAR": 1003, "MOTORCYCLE": 138}
    )
    assert gate(compare(BEFORE, now), options) == word


def test_gate_stays_shut_below_the_growth_that_is_asked() -> None:
    now = snapshot({"A/1.h5": ("x", 100)}, "A", {"CAR": 1003, "MOTORCYCLE": 137})
    options = GateOptions(min_new_frames=0, min_new_sites=0, min_class_growth=38)
    assert gate(compare(BEFORE, now), options) == TOO_FEW


def test_changed_labels_open_the_gate_unless_told_otherwise() -> None:
    labelled = snapshot({"A/1.h5": ("a", 100), "A/2.h5": ("b", 50), "labels:l.json": ("l", 0)}, "A")
    other = snapshot({"A/1.h5": ("a", 100), "A/2.h5": ("b", 50), "labels:l.json": ("m", 0)}, "A")
    changes = compare(labelled, other)
    assert changes.labels_changed
    assert changes.summary == "labels changed; files: 1 changed"
    assert gate(changes, GateOptions()) == NEW
    assert gate(changes, GateOptions(new_labels=False)) == TOO_FEW


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"min_new_frames": -1}, "min_new_frames: expected at least 0, found -1"),
        ({"min_class_growth": float("nan")}, "min_class_growth: expected a finite number, found nan"),
        ({"min_new_frames": 0, "min_new_sites": 0, "new_labels": False}, "nothing could open the gate"),
    ],
)
def test_thresholds_that_make_no_sense_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(OptionsError, match=words):
        GateOptions(**values)  # type: ignore[arg-type]


def test_growth_of_nothing_is_said_as_new() -> None:
    assert growth_text("BUS", 0, 12) == "BUS new (+12)"
    assert growth_text("BUS", 12, 0) == "BUS -100 %"


def test_markdown_names_the_first_files_and_what_was_left_out() -> None:
    many = snapshot({f"A/{number}.h5": (f"{number:x}"[0], 1) for number in range(12)}, "A")
    changes = dataclasses.replace(compare(None, many), skipped=(Skipped("A/z`.h5", "is being written"),))
    assert "New (the first 5 of 12):" in changes.markdown
    assert "- `A/z'.h5: is being written`" in changes.markdown


def test_changes_as_json_are_plain_values(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "a.jpg").write_bytes(b"x")
    value = compare(None, take_snapshot(str(tmp_path / "s"))).as_json()
    assert value["new_frames"] == 1
    assert set(value) == {"summary", "labels_changed", *(field.name for field in dataclasses.fields(Changes))}
