"""Labelled pictures on which labels and radar disagree: as a CVAT task, corrected there, and back with the others."""

import dataclasses
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from radar_share import CAMERA, PLACES, radar_share, seen_box, set_tracks
from small_shares import Share

from traffic_yolo.atm.calibration import calibration_text
from traffic_yolo.cli import main, traffic_yolo
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions


@pytest.fixture
def share(tmp_path: Path) -> Share:
    """Frame 2 lacks the label of a car, frame 5 of two; in frame 7 the radar does not see the third one.

    Frame 3 has no label at all: it is not this task's, whatever the radar sees there.
    """
    built = radar_share(tmp_path / "nas")
    (recording,) = built.recordings.glob("20210901_siteA/*.h5")
    built.coco["images"] = [one for one in built.coco["images"] if one["id"] != 4]
    removed = {(3, 0), (6, 0), (6, 1), (4, 0), (4, 1), (4, 2)}  # image id, box
    built.coco["annotations"] = [
        one for one in built.coco["annotations"] if (one["image_id"], (one["id"] - 1) % 3) not in removed
    ]
    set_tracks(recording, 7, PLACES[:2])
    (tmp_path / "north.yaml").write_text(calibration_text(CAMERA, site="A"))
    return built.save()


def check(share: Share, out: Path, *more: str) -> Any:
    calibration = str(share.root.parent / "north.yaml")
    words = [str(share.recordings), "--labels", str(share.label_file), "--calibration", calibration, "--out", str(out)]
    return CliRunner().invoke(traffic_yolo, ["check", *words, *more])


def images(task: Path) -> list[ElementTree.Element]:
    return ElementTree.parse(task / "annotations.xml").findall("image")


def named(image: ElementTree.Element) -> int:
    return int(image.attrib["name"][-9:-4])


def attributes(box: ElementTree.Element) -> dict[str, str]:
    return {one.attrib["name"]: one.text or "" for one in box.findall("attribute")}


def test_pictures_with_most_to_look_at_are_taken_and_marked(share: Share, tmp_path: Path) -> None:
    done = check(share, tmp_path / "out", "--cvat-pictures", "2")
    assert done.exit_code == 0, done.output
    assert "2 of 3 labelled pictures on which labels and radar disagree: 3 tracks without a box" in done.output
    task = tmp_path / "out" / "radar-task" / "cvat"
    found = {named(image): image for image in images(task)}
    assert list(found) == [2, 5]
    assert sorted(path.name for path in task.rglob("*.jpg")) == ["SCAN_00002.jpg", "SCAN_00005.jpg"]
    drawn, *proposed = found[5].findall("box")
    assert attributes(drawn) == {}
    assert [box.attrib["source"] for box in (drawn, *proposed)] == ["manual", "auto", "auto"]
    for box in proposed:
        told = {"label_source": "device", "radar": "no box", "prelabel_source": "radar", "distance_m": "20.1"}
        assert attributes(box) == told
        assert box.attrib["label"] == "CAR"
    left, top, width, height = seen_box(*PLACES[0])
    corners = [float(proposed[0].attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr")]
    mirrored = [float(proposed[1].attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr")]
    assert [left, top, left + width, top + height] in [pytest.approx(one, abs=0.1) for one in (corners, mirrored)]
    lines = [json.loads(line) for line in (task / "sidecar.jsonl").read_text().splitlines()[1:]]
    ranks = {line["picture"][-5:]: line["frame"]["attributes"] for line in lines}
    assert ranks["00005"] == {
        "selected_rank": 1,
        "selected_for": "radar: 2 tracks without a box, 0 boxes without a track",
    }
    assert ranks["00002"]["selected_rank"] == 2


def test_a_box_without_a_track_is_marked_and_stays_a_human_s(share: Share, tmp_path: Path) -> None:
    assert check(share, tmp_path / "out", "--cvat-pictures", "9").exit_code == 0
    found = {named(image): image for image in images(tmp_path / "out" / "radar-task" / "cvat")}
    assert sorted(found) == [2, 5, 7]
    assert [attributes(box).get("radar") for box in found[7].findall("box")] == [None, None, "no track"]
    assert {box.attrib["source"] for box in found[7].findall("box")} == {"manual"}


def test_corrected_labels_and_the_others_come_back_as_one_data_set(share: Share, tmp_path: Path) -> None:
    assert check(share, tmp_path / "out", "--cvat-pictures", "1").exit_code == 0
    folder = tmp_path / "out" / "radar-task"
    listed = yaml.safe_load((folder / "sources.yaml").read_text())["sources"]
    assert [one["name"] for one in listed] == ["corrected", "others"]
    tree = ElementTree.parse(folder / "cvat" / "annotations.xml")
    (image,) = tree.findall("image")
    image.remove(image.findall("box")[2])  # the annotator sees no second car
    tree.write(folder / "cvat" / "annotations.xml")
    options = ConvertOptions(str(folder / "sources.yaml"), splits="none", policy="{leak_check: report}")
    convert(options, tmp_path / "set", processes=1)
    content = json.loads((tmp_path / "set/annotations/instances_all.json").read_text())
    pictures = {one["id"]: one for one in content["images"]}
    assert len(pictures) == 9  # of ten, the one without labels is not there
    boxes = {number: [one for one in content["annotations"] if one["image_id"] == number] for number in pictures}
    counts = {(one["site"], one["scan"][-1]): len(boxes[number]) for number, one in pictures.items()}
    assert counts == {("A", "0"): 3, ("A", "1"): 3, ("A", "2"): 2, ("A", "4"): 3, ("A", "5"): 2, ("A", "6"): 3,
                      ("A", "7"): 3, ("B", "0"): 3, ("B", "1"): 3}  # fmt: skip
    assert {one["label_source"] for one in content["annotations"]} == {"human"}
    (fifth,) = [number for number, one in pictures.items() if (one["site"], one["scan"][-1]) == ("A", "5")]
    assert [one["attributes"].get("prelabel_source") for one in boxes[fifth]] == [None, "radar"]
    assert pictures[fifth]["attributes"]["selected_rank"] == 1


def test_nothing_is_written_where_nothing_disagrees(tmp_path: Path) -> None:
    sound = radar_share(tmp_path / "nas")
    (tmp_path / "north.yaml").write_text(calibration_text(CAMERA, site="A"))
    done = check(sound, tmp_path / "out", "--cvat-pictures", "5")
    assert done.exit_code == 0, done.output
    assert "0 of 0 labelled pictures" in done.output
    assert not (tmp_path / "out" / "radar-task").exists()
    assert not list((tmp_path / "out").glob(".*"))


def test_a_camera_whose_calibration_is_implausible_proposes_nothing(tmp_path: Path) -> None:
    built = radar_share(tmp_path / "nas")
    del built.coco["annotations"][0]
    built.save()
    (tmp_path / "north.yaml").write_text(calibration_text(dataclasses.replace(CAMERA, pitch_deg=3.0), site="A"))
    done = check(built, tmp_path / "out", "--cvat-pictures", "5")
    assert "camera A left out: its calibration is implausible" in done.output
    assert not (tmp_path / "out" / "radar-task").exists()


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit, match="2"):
        main(["check", *words])
    return capsys.readouterr().err


def test_a_task_that_could_not_be_written_is_refused_before_anything_is_read(
    share: Share, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, wanted = str(share.recordings), ["--cvat-pictures", "3"]
    assert "cvat-pictures: the task needs a folder: give --out" in refusal(capsys, source, *wanted)
    (tmp_path / "out" / "radar-task").mkdir(parents=True)
    (tmp_path / "out" / "radar-task" / "mine").touch()
    assert "radar-task" in refusal(capsys, source, *wanted, "--out", str(tmp_path / "out"))
    listed = tmp_path / "sources.yaml"
    listed.write_text(f"sources: [{{name: a, source: '{source}'}}]\n")
    assert "the source lists several" in refusal(capsys, str(listed), *wanted, "--out", str(tmp_path / "b"))
    assert not (tmp_path / "b").exists()
