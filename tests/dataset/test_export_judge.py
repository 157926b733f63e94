"""`export-labels --fail-on`: what readers find ends the export or is noted, as the user says; nothing goes silently."""

import json
from pathlib import Path
from typing import Any

import pytest
from small_shares import HEIGHT, WIDTH, jpeg

from traffic_yolo.cli import main
from traffic_yolo.dataset.checks.table import CHECKS
from traffic_yolo.dataset.export_judge import JUDGED, ExportJudge
from traffic_yolo.dataset.export_labels import ExportSummary, export_labels
from traffic_yolo.dataset.options import ExportOptions
from traffic_yolo.dataset.problems import KINDS, Problem
from traffic_yolo.errors import DatasetError, LabelError, OptionsError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three pictures, each with a car; the second has a box without area too, the third is cut off."""
    (tmp_path / "set/images").mkdir(parents=True)
    content: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "CAR"}]}
    for number in (1, 2, 3):
        data = jpeg(number)
        (tmp_path / f"set/images/{number}.jpg").write_bytes(data[:-40] if number == 3 else data)
        content["images"].append({"id": number, "file_name": f"{number}.jpg", "width": WIDTH, "height": HEIGHT})
        box = {"id": number, "image_id": number, "category_id": 1, "bbox": [1, 2, 30, 20]}
        content["annotations"].append(box)
    content["annotations"].append({"id": 9, "image_id": 2, "category_id": 1, "bbox": [5, 5, 0, 4]})
    (tmp_path / "set/instances.json").write_text(json.dumps(content))
    return tmp_path / "set"


def export(source: Path, fail_on: str, **more: str) -> ExportSummary:
    return export_labels(ExportOptions(str(source), to="kitti", fail_on=fail_on, **more), source.parent / "out")


def test_an_error_ends_the_export_and_leaves_nothing(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(LabelError, match="mend it, or choose another fail_on"):
        export(source, "error")
    with pytest.raises(SystemExit, match="2"):
        main(["export-labels", "--source", str(source), "--out", str(source.parent / "out")])
    assert "instances.json" in capfd.readouterr().err
    assert not (source.parent / "out").exists()


def test_never_leaves_out_and_says_what(source: Path) -> None:
    told = export(source, "never")
    assert (told.num_pictures, told.num_boxes) == (2, 2)
    assert "check no-area: 1 error" in told.notes
    assert "check truncated-picture: 1 error" in told.notes
    left_out = [note for note in told.notes if note.startswith("left out: ")]
    assert [str(source / "images/3.jpg") in note for note in left_out] == [True]


def test_checks_are_named_one_by_one(source: Path) -> None:
    with pytest.raises(DatasetError, match=r"3\.jpg"):
        export(source, "truncated-picture")
    with pytest.raises(LabelError, match="expected width and height above 0"):
        export(source, "never, no-area")


def test_what_fails_goes_aside_where_there_is_a_quarantine(source: Path) -> None:
    aside = source.parent / "aside"
    told = export(source, "error", quarantine=str(aside))
    assert (told.num_pictures, told.num_boxes) == (1, 1)
    entries = json.loads((aside / "quarantine.json").read_text())["entries"]
    assert {entry["check"] for entry in entries} == {"no-area", "truncated-picture"}


def test_words_that_an_export_cannot_judge_are_refused() -> None:
    with pytest.raises(OptionsError, match="fail_on: an export does not check sticks-out"):
        ExportJudge("sticks-out")
    with pytest.raises(OptionsError, match="fail_on: expected one of error, warning"):
        ExportJudge("bad")
    assert CHECKS.keys() >= JUDGED


def test_what_is_told_twice_counts_once_and_labels_of_no_frame_always_end_it() -> None:
    judge = ExportJudge("never")
    for _ in range(2):
        judge(Problem("classes-alike", "a: expected one spelling, found Car and CAR"))
    assert judge.notes() == ["check alike-classes: 1 warning"]
    for kind in ("label-broken", "picture-missing", "frame-twice", "picture-size"):
        with pytest.raises(KINDS[kind]):
            judge(Problem(kind, "a: no"))
