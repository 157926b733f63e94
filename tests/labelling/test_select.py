"""Pictures are selected, corrected in CVAT's XML and come back as human labels that know what they were."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_shares import HEIGHT, WIDTH, Share

from traffic_yolo.cli import main
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.errors import DatasetError, LabelError, OptionsError
from traffic_yolo.labelling.options import SelectOptions
from traffic_yolo.labelling.select import select


@pytest.fixture
def share(tmp_path: Path) -> Share:
    """Sites A and B without labels, C labelled; the device reports two cars a scan."""
    built = Share(tmp_path / "nas")
    cars = [[3, 0.9, 48, 64, 64, 48], [3, 0.2, 40, 40, 8, 8]]
    recordings = [built.site(name, number, detections=cars) for number, name in enumerate("ABC")]
    built.label(recordings[2], 0, [(3, [10, 8, 20, 16])])
    (tmp_path / "splits.yaml").write_text("level: site\nsplits: {A: test, B: train}\n")
    return built.save()


def options(share: Share, **given: Any) -> SelectOptions:
    known = {"labels": str(share.label_file), "keep_splits": str(share.root.parent / "splits.yaml"), **given}
    return SelectOptions(source=str(share.recordings), **known)


def taken(out: Path) -> list[dict[str, str]]:
    with (out / "selection.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def jsonl(path: Path, scores: dict[str, list[float]]) -> Path:
    lines = []
    for name, found in scores.items():
        recording, _, scan = name.partition("/SCAN_")
        boxes = [{"class_id": 0, "class_name": "BUS", "score": s, "xyxy": [4.0, 5.0, 24.0, 25.0]} for s in found]
        lines.append({"file_name": f"{recording}/SCAN_{scan}.jpg", "width": WIDTH, "height": HEIGHT, "source": "x.h5",
                      "frame": int(scan), "detections": boxes})  # fmt: skip
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_pictures_of_the_test_group_and_labelled_ones_are_never_taken(share: Share, tmp_path: Path) -> None:
    selection = select(options(share), tmp_path / "out")
    assert {(row["site"], row["hour"]) for row in taken(tmp_path / "out")} == {("B", "12"), ("C", "12")}
    assert len(selection.chosen) == 5
    assert dict(selection.left_out) == {"of groups of the val and test splits": 3, "were labelled by humans": 1}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cvat", "report.html", "selection.csv", "selection.json"]  # fmt: skip
    again = select(options(share), tmp_path / "again")
    assert again.chosen == selection.chosen
    for name in ("selection.csv", "cvat/annotations.xml", "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_what_a_data_set_has_is_never_taken_and_its_labels_say_what_is_rare(share: Share, tmp_path: Path) -> None:
    only = ConvertOptions(str(share.recordings), labels=str(share.label_file), splits="train")
    convert(only, tmp_path / "dataset")
    selection = select(options(share, labels="", keep_splits=str(tmp_path / "dataset")), tmp_path / "out")
    assert selection.left_out["are in the data set already"] == 1
    assert len(selection.chosen) == 8
    assert selection.labelled == {"CAR": 1.0}


def test_a_correction_in_cvat_comes_back_as_a_human_label_with_its_history(share: Share, tmp_path: Path) -> None:
    stem = "20210901120100_0"
    found = jsonl(tmp_path / "detections.jsonl", {f"{stem}/SCAN_00001": [0.25, 0.05], f"{stem}/SCAN_00002": [0.99]})
    out = tmp_path / "out"
    select(options(share, detections=str(found), budget=1, rare_weight=0.0), out)
    [row] = taken(out)
    assert row["picture"] == f"{stem}/SCAN_00001.jpg"
    assert "uncertain: BUS 0.25" in row["reason"]
    file = out / "cvat" / "annotations.xml"
    text = file.read_text()
    assert text.count("<box ") == 1  # the one below --min-confidence is no pre-label
    assert (out / "cvat" / "images" / row["picture"]).is_file()

    moved = text.replace('xtl="4"', 'xtl="6"').replace('source="auto"', 'source="semi-auto"')
    assert moved != text
    drawn = '<box label="CAR" source="manual" occluded="0" xtl="40" ytl="40" xbr="50" ybr="52" z_order="0">\n</box>\n'
    file.write_text(moved.replace("  </image>", f"{drawn}  </image>"))
    convert(
        ConvertOptions(str(share.recordings), labels=str(file), label_source="human", splits="train"), tmp_path / "back"
    )
    coco = json.loads((tmp_path / "back" / "annotations" / "instances_train.json").read_text())
    bus, car = sorted(coco["annotations"], key=lambda entry: entry["bbox"][0])
    assert (bus["bbox"], car["bbox"]) == ([6, 5, 18, 20], [40, 40, 10, 12])
    assert {bus["label_source"], car["label_source"]} == {"human"}
    assert bus.get("confidence") is None
    assert bus["attributes"] == {"prelabel_source": "model", "prelabel_confidence": 0.25}
    assert "prelabel_source" not in car.get("attributes", {})
    [image] = coco["images"]
    assert image["attributes"]["selected_rank"] == 1
    assert image["attributes"]["selected_for"] == row["reason"]


def test_the_radar_speaks_for_pictures_where_the_model_sees_nothing(small_data_set: Path, tmp_path: Path) -> None:
    recordings = small_data_set.parent / "nas" / "recordings"
    [site_b] = (recordings / "20240501_siteB").glob("*.h5")
    names = [f"{site_b.stem}/SCAN_{number:05d}" for number in range(3)]
    lines = [{"file_name": f"{name}.jpg", "width": 320, "height": 192, "source": "", "frame": number, "detections": []}
             for number, name in enumerate(names)]  # fmt: skip
    (tmp_path / "none.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    given = SelectOptions(
        source=str(recordings), keep_splits=str(small_data_set / "splits.yaml"), detections=str(tmp_path / "none.jsonl")
    )
    selection = select(given, tmp_path / "out")
    assert selection.chosen
    for one in selection.chosen:
        assert one.candidate.tracks > 0
        assert one.candidate.boxes == 0
        assert one.radar > 0
        assert one.uncertainty == one.rare == 0
        assert re.fullmatch(r"radar: \d+ tracks? without a box; number \d of B/10.0.0.11 14h", one.reason)


REFUSED: list[tuple[str, Callable[[Path], dict[str, Any]], type[Exception], str]] = [
    ("no detections", lambda path: {"detections": str(jsonl(path, {"other/SCAN_00001": [0.5]}))}, LabelError,
     "names none of the 5 pictures without human labels"),
    ("another size", lambda path: {"detections": str(_other_size(path))}, LabelError, "is 96x72 pixels, it says 97x72"),
    ("not a line", lambda path: {"detections": str(_written(path, '{"file_name": "a.jpg"}\n'))}, LabelError,
     "line 1: expected a line of predict's detections.jsonl: KeyError 'detections'"),
    ("a score above 1", lambda path: {"detections": str(jsonl(path, {"a/SCAN_00001": [1.5]}))}, LabelError,
     "line 1: expected a line of predict's detections.jsonl: confidence: expected a number in"),
    ("twice", lambda path: {"detections": str(_twice(path))}, LabelError, "line 2: picture a is there twice"),
    ("all held out", lambda path: {"keep_splits": str(
        _written(path.with_name("all.yaml"), "level: site\nsplits: {A: test, B: val, C: test}\n"))}, DatasetError,
     "no picture may be taken: 8 of groups of the val and test splits, 1 were labelled by humans"),
    ("no data set", lambda path: {"keep_splits": str(path.parent)}, OptionsError, "keep_splits: .* is no data set"),
]  # fmt: skip


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _other_size(path: Path) -> Path:
    jsonl(path, {"20210901120100_0/SCAN_00001": [0.5]})
    return _written(path, path.read_text().replace('"width": 96', '"width": 97'))


def _twice(path: Path) -> Path:
    jsonl(path, {"a/SCAN_00001": [0.5]})
    return _written(path, path.read_text() * 2)


@pytest.mark.parametrize(("given", "error", "message"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_cannot_be_is_refused_and_nothing_is_written(
    share: Share, tmp_path: Path, given: Callable[[Path], dict[str, Any]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        select(options(share, **given(tmp_path / "found.jsonl")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_labels_of_humans_are_no_detections(share: Share, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="a box of a human without a score"):
        select(options(share, detections=str(share.label_file)), tmp_path / "out")


def test_pictures_of_a_camera_and_hour_that_drifted_come_first(share: Share, tmp_path: Path) -> None:
    values = {"groups": [{"group": "siteless", "excess": 0.9, "has_drifted": True},
                         {"group": "C 12h", "excess": 0.8, "has_drifted": True},
                         {"group": "B 12h", "excess": 0.9, "has_drifted": False}]}  # fmt: skip
    (tmp_path / "drift.json").write_text(json.dumps(values))
    assert select(options(share, budget=1), tmp_path / "without").chosen[0].candidate.site == "B"
    [first] = select(options(share, budget=1, drift=str(tmp_path / "drift.json")), tmp_path / "with").chosen
    assert first.candidate.group == "C 12h"
    assert "drift of its camera and hour: 0.80" in first.reason


def test_a_model_that_spells_a_class_otherwise_is_refused(share: Share, tmp_path: Path) -> None:
    found = jsonl(tmp_path / "detections.jsonl", {"20210901120100_0/SCAN_00001": [0.25]})
    found.write_text(found.read_text().replace("BUS", "bus"))
    with pytest.raises(LabelError, match="expected one spelling of a class, found 'BUS' and 'bus'"):
        select(options(share, detections=str(found)), tmp_path / "out")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": 0}, "budget: expected at least 1"),
        ({"confidence_threshold": 1.0}, r"confidence_threshold: expected a number in \(0, 1\), found 1"),
        ({"uncertainty_weight": 0.0, "rare_weight": 0.0, "radar_weight": 0.0}, "all are 0"),
        ({"keep_splits": ""}, "keep_splits: expected a data set"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        SelectOptions(source="any", **{"keep_splits": "any", **given})


def test_the_command_says_what_it_took(share: Share, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["select", "--source", str(share.recordings), "--keep-splits", str(tmp_path / "splits.yaml"), "--budget",
              "2", "--out", str(tmp_path / "out"), "--json"])  # fmt: skip
    assert ended.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["command"] == "select"
    assert [one["site"] for one in printed["pictures"]] == ["B", "C"]
