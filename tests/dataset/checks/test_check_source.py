"""Checking whole sources: every kind of damage in a file becomes a finding under its own name, and the rest is still read."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from small_shares import jpeg

from traffic_yolo.atm.calibration import calibration_text, read_calibration
from traffic_yolo.atm.synthetic import SyntheticOptions, write_share
from traffic_yolo.cli import traffic_yolo
from traffic_yolo.dataset.checks.check_options import CheckOptions
from traffic_yolo.dataset.checks.check_source import SourceCheck, check_source
from traffic_yolo.dataset.checks.finding import DataFinding
from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.options import ConvertOptions, SourceChoice
from traffic_yolo.errors import OptionsError


def check(share: Any, **options: Any) -> SourceCheck:
    choice = SourceChoice(source=str(share.recordings), labels=str(share.label_file))
    return check_source(choice, CheckOptions(**options))


def found(outcome: SourceCheck, name: str) -> list[DataFinding]:
    return [finding for finding in outcome.findings if finding.rule == name]


def recording(share: Any, name: str) -> Path:
    (path,) = share.recordings.rglob(f"*_site{name}/*.h5")
    return Path(path)


def truncate_picture(share: Any) -> None:
    with h5py.File(recording(share, "A"), "a") as file:
        whole = file["SCAN_00001"]["Image"][()]
        del file["SCAN_00001"]["Image"]
        file["SCAN_00001"]["Image"] = whole[: len(whole) // 2]


def break_picture(share: Any) -> None:
    with h5py.File(recording(share, "A"), "a") as file:
        del file["SCAN_00001"]["Image"]
        file["SCAN_00001"]["Image"] = np.frombuffer(b"GIF89a and so on", np.uint8)


def break_recording(share: Any) -> None:
    path = recording(share, "A")
    path.write_bytes(b"this is no HDF5 file")


def cut_recording(share: Any) -> None:
    path = recording(share, "A")
    path.write_bytes(path.read_bytes()[:3000])


def device_row(share: Any, row: list[float]) -> None:
    """A row of the device's own detections, in a scan that nobody labelled."""
    path = share.site("A", 9, frames=1)
    with h5py.File(path, "a") as file:
        del file["SCAN_00000"]["AI"]
        file["SCAN_00000"]["AI"] = np.array([row, [0.0] * 6])


def remove_scan(share: Any) -> None:
    with h5py.File(recording(share, "A"), "a") as file:
        del file["SCAN_00001"]


def remove_picture(share: Any) -> None:
    with h5py.File(recording(share, "A"), "a") as file:
        del file["SCAN_00001"]["Image"]


def add(share: Any, **fields: Any) -> None:
    share.annotation(**({"image_id": 2, "category_id": 3, "bbox": [1, 1, 5, 5]} | fields))
    share.save()


def relabel(share: Any, **fields: Any) -> None:
    share.coco["images"][1].update(fields)
    share.save()


NAN = float("nan")
DAMAGE: dict[str, tuple[Callable[[Any], None], str, str]] = {
    "truncated picture": (truncate_picture, "truncated-picture", "SCAN_00001"),
    "no picture at all": (break_picture, "unreadable-picture", "SCAN_00001"),
    "broken recording": (break_recording, "unreadable-file", ""),
    "recording cut off": (cut_recording, "unfinished-recording", ""),
    "device's NaN": (lambda s: device_row(s, [3, 0.9, NAN, 9, 9, 9]), "not-a-number", "SCAN_00000"),
    "device's unknown class": (lambda s: device_row(s, [9, 0.9, 9, 9, 9, 9]), "unknown-class", "SCAN_00000"),
    "device's flat box": (lambda s: device_row(s, [3, 0.9, 0, 9, 9, 9]), "no-area", "SCAN_00000"),
    "label without scan": (remove_scan, "label-without-picture", ""),
    "label without picture": (remove_picture, "label-without-picture", ""),
    "another size": (lambda s: relabel(s, width=1920), "size-mismatch", ""),
    "labelled twice": (lambda s: relabel(s, scan=0), "labelled-twice", ""),
    "NaN": (lambda s: add(s, bbox=[1, NAN, 5, 5]), "not-a-number", "annotation 19"),
    "text for a number": (lambda s: add(s, bbox=[1, "x", 5, 5]), "broken-label", "annotation 19"),
    "unknown category": (lambda s: add(s, category_id=77), "unknown-class", "annotation 19"),
    "no area": (lambda s: add(s, bbox=[1, 1, 5, 0]), "no-area", "annotation 19"),
    "outside": (lambda s: add(s, bbox=[100, 1, 5, 5]), "outside-picture", "20210901120000_0/SCAN_00001.jpg"),
    "sticking out": (lambda s: add(s, bbox=[92, 1, 9, 5]), "sticks-out", "20210901120000_0/SCAN_00001.jpg"),
    "twice the same": (lambda s: add(s, bbox=[10.5, 8.25, 20, 16]), "duplicate-box", "20210901120000_0/SCAN_00001.jpg"),
    "two classes": (lambda s: add(s, bbox=[40, 20, 30.5, 40]), "two-classes", "20210901120000_0/SCAN_00001.jpg"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_by_its_check_and_everything_else_is_still_read(name: str, share: Any) -> None:
    assert not check(share).findings.fails("warning")
    damage, expected, frame = DAMAGE[name]
    damage(share)
    outcome = check(share)
    findings = found(outcome, expected)
    assert len(findings) == 1, list(map(str, outcome.findings))
    assert outcome.run.frames >= 6
    assert frame in findings[0].frame
    assert findings[0].file.endswith((".h5", ".json")), findings[0]
    assert findings[0].expected
    assert findings[0].found
    severe = {finding.rule for finding in outcome.findings if finding.severity != "info"}
    assert severe == {expected}  # labels of a recording that cannot be read are counted, not blamed


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("9 0.5 0.5 0.1 0.1", "unknown-class"),
        ("0 nan 0.5 0.1 0.1", "not-a-number"),
        ("0 0.5 0.5 0 0.1", "no-area"),
        ("0 0.5 0.5", "broken-label"),
    ],
)
def test_yolo_text_is_judged_by_the_same_names(line: str, expected: str, tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 255, (72, 96, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{index}.jpg"), pixels)
        (tmp_path / "labels" / f"{index}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "labels" / "1.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [CAR]\n")
    outcome = check_source(SourceChoice(source=str(tmp_path)), CheckOptions())
    (finding,) = [one for one in outcome.findings if one.severity == "error"]
    assert finding.rule == expected, finding
    assert finding.file.endswith("1.txt")
    assert finding.frame == "line 2"


def voc_label(index: int, width: str) -> tuple[str, str]:
    corners = f"<xmin>10</xmin><ymin>10</ymin><xmax>{width}</xmax><ymax>30</ymax>"
    size = "<size><width>96</width><height>72</height><depth>3</depth></size>"
    text = f"<annotation><filename>{index}.jpg</filename>{size}<object><name>CAR</name><bndbox>{corners}</bndbox>"
    return f"Annotations/{index}.xml", f"{text}</object></annotation>"


def kitti_label(index: int, right: str) -> tuple[str, str]:
    return f"label_2/{index}.txt", f"CAR 0 0 0 10 10 {right} 30 -1 -1 -1 -1000 -1000 -1000 -10\n"


def labelme_label(index: int, right: str) -> tuple[str, str]:
    points = f"[[10, 10], [{right.replace('nan', 'NaN')}, 30]]"
    shape = f'{{"label": "CAR", "shape_type": "rectangle", "points": {points}}}'
    return f"{index}.json", f'{{"shapes": [{shape}], "imagePath": "{index}.jpg", "imageWidth": 96, "imageHeight": 72}}'


PLACES = {"voc": "JPEGImages", "kitti": "image_2", "labelme": "."}


@pytest.mark.parametrize(("value", "expected"), [("10", "no-area"), ("nan", {"labelme": "not-a-number"})])
@pytest.mark.parametrize(
    ("source_format", "label"), [("voc", voc_label), ("kitti", kitti_label), ("labelme", labelme_label)]
)
def test_other_formats_name_their_flat_boxes_and_nans_too(
    source_format: str, label: Callable[[int, str], tuple[str, str]], value: str, expected: Any, tmp_path: Path
) -> None:
    for index in range(3):
        name, text = label(index, value if index == 1 else "40")
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        picture = tmp_path / PLACES[source_format] / f"{index}.jpg"
        picture.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(picture), np.random.default_rng(index).integers(0, 255, (72, 96, 3), dtype=np.uint8))
    if source_format == "voc" and value == "10":
        # Corners at 0 in most files: both corners no longer belong to the box
        for index in (0, 2):
            text = voc_label(index, "40")[1].replace("<ymin>10", "<ymin>0")
            (tmp_path / "Annotations" / f"{index}.xml").write_text(text)
    outcome = check_source(SourceChoice(source=str(tmp_path), source_format=source_format), CheckOptions())
    errors = [one for one in outcome.findings if one.severity == "error"]
    wanted = expected if isinstance(expected, str) else expected.get(source_format, "not-a-number")
    emptied = {"emptied-picture"} if wanted == "no-area" else set()  # its only box
    assert {finding.rule for finding in errors} == {wanted} | emptied, errors
    assert all("1." in Path(finding.file).name for finding in errors)


def test_every_doubled_id_and_picture_is_named_and_the_rest_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "images/other").mkdir(parents=True)
    images = []
    for number in range(8):
        (tmp_path / f"images/{number}.jpg").write_bytes(jpeg(number))
        image_id = {3: 1, 5: 4}.get(number, number)
        images.append({"id": image_id, "file_name": f"{number}.jpg", "width": 96, "height": 72})
    images += [{"id": 20 + number, "file_name": f"{number}.jpg", "width": 96, "height": 72} for number in (6, 7)]
    boxes = [{"id": number // 2, "image_id": number, "category_id": 1, "bbox": [1, 2, 30, 40]} for number in range(8)]
    categories = [{"id": 1, "name": "CAR"}]
    for name, content in {
        "instances_train.json": {"images": images, "annotations": boxes, "categories": categories},
        "instances_val.json": {"images": [], "annotations": [{"id": 1}], "categories": categories},
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "instances_test.json").write_text("{")
    outcome = check_source(SourceChoice(source=str(tmp_path)), CheckOptions(decode="none"))
    broken = [finding.found for finding in found(outcome, "broken-label")]
    doubled_images = [line for line in broken if "images with it" in line]
    assert len(doubled_images) == 2
    twice = "an earlier annotation has this id"
    assert sum(twice in line for line in broken) == 4
    assert len(found(outcome, "labelled-twice")) == 2
    files = {finding.file.rpartition("/")[2] for finding in found(outcome, "broken-label")}
    assert files == {"instances_train.json", "instances_val.json", "instances_test.json"}
    assert outcome.run.frames == 4  # 0, 2, 6 and 7, the doubles once


def test_every_frame_that_is_labelled_twice_is_named(share: Any) -> None:
    for scan in (0, 1):
        share.label(recording(share, "A"), scan, [(0, [1, 2, 30, 40])])
    share.save()
    twice = found(check(share), "labelled-twice")
    assert len(twice) == 2
    assert ["scan 0" in finding.found and "image 1 (" in finding.found for finding in twice] == [True, False]


def test_scans_without_a_picture_are_no_gap_and_gaps_are_named(share: Any) -> None:
    with h5py.File(recording(share, "B"), "a") as file:
        for number, picture in ((5, False), (6, True)):
            group = file.create_group(f"SCAN_{number:05d}")
            group["AI"] = np.zeros((1, 6))
            if picture:
                group["Image"] = file["SCAN_00000"]["Image"][()]
    outcome = check(share)
    assert [finding.frame for finding in found(outcome, "scan-without-picture")] == ["20210901120100_0/SCAN_00005"]
    (gap,) = found(outcome, "missing-scan")
    assert gap.found == "scans 3 to 4 missing"
    assert [finding.frame for finding in found(outcome, "picture-without-label")] == ["20210901120100_0/SCAN_00006.jpg"]


def test_a_source_s_own_splits_are_checked_for_leaks(share: Any, tmp_path: Path) -> None:
    options = ConvertOptions(source=str(share.recordings), labels=str(share.label_file), val_sites="B", test_sites="C")
    convert(options, tmp_path / "set")
    clean = check_source(SourceChoice(source=str(tmp_path / "set")), CheckOptions())
    assert clean.leaks is not None
    assert clean.leaks.num_leaks == 0
    pictures = sorted((tmp_path / "set" / "images").rglob("*.jpg"))
    shutil.copyfile(pictures[0], pictures[-1])
    outcome = check_source(SourceChoice(source=str(tmp_path / "set")), CheckOptions())
    assert [finding.severity for finding in found(outcome, "split-leak")] == ["error"]
    assert pictures[0].parent.name in found(outcome, "split-leak")[0].found


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One site with its calibration file, twelve frames."""
    folder = tmp_path_factory.mktemp("share") / "nas"
    write_share(folder, SyntheticOptions(1, 12, 1, (480, 270), 4))
    return folder


def radar_of(folder: Path, labels: Path, **options: Any) -> SourceCheck:
    return check_source(SourceChoice(source=str(folder / "recordings"), labels=str(labels)), CheckOptions(**options))


def lonely(outcome: SourceCheck, kind: str) -> set[tuple[str, int]]:
    assert outcome.radar is not None
    return {(one.frame, one.number) for one in outcome.radar.lonely if one.kind == kind}


@pytest.mark.long
def test_boxes_removed_from_the_label_file_come_up_with_their_tracks(rendered: Path, tmp_path: Path) -> None:
    """Through the whole command: recordings, calibration beside them, labels. One box a frame is removed."""
    before = radar_of(rendered, rendered / "human_labels.json")
    assert before.radar is not None
    (verdict,) = before.radar.verdicts.values()
    assert verdict.plausible
    labels = json.loads((rendered / "human_labels.json").read_text())
    removed, gone = 0, set()
    for image in labels["images"]:
        frame = f"{Path(image['recording']).stem}/SCAN_{image['scan']:05d}.jpg"
        alone = {number for name, number in lonely(before, "box") if name == frame}
        clear = [
            a for a in labels["annotations"]
            if a["image_id"] == image["id"] and not a["ignore"] and a["attributes"]["visible"] > 0.95
            and not a["attributes"]["truncated"]
            and a["id"] not in alone and a["bbox"][3] > 20
        ]  # fmt: skip
        if clear:
            gone.add(max(clear, key=lambda a: a["bbox"][3])["id"])
            removed += 1
    labels["annotations"] = [a for a in labels["annotations"] if a["id"] not in gone]
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    after = radar_of(rendered, tmp_path / "labels.json")
    assert removed >= 8
    new = lonely(after, "track") - lonely(before, "track")
    assert len(new) == removed
    assert len({frame for frame, _ in new}) == removed
    assert lonely(after, "box") <= lonely(before, "box")
    assert len(found(after, "track-without-box")) == len(lonely(after, "track"))


@pytest.mark.long
def test_tracks_removed_from_a_recording_come_up_as_boxes(rendered: Path, tmp_path: Path) -> None:
    shutil.copytree(rendered, tmp_path / "nas")
    before = radar_of(rendered, rendered / "human_labels.json")
    (path,) = (tmp_path / "nas").rglob("*.h5")
    removed = 0
    with h5py.File(path, "a") as file:
        for name in list(file)[:4]:
            removed += len(file[name]["Object"])
            del file[name]["Object"]
            file[name]["Object"] = np.zeros((1, 21), np.float32)  # a track at the camera's own foot: out of sight
    after = radar_of(tmp_path / "nas", tmp_path / "nas" / "human_labels.json")
    assert removed > 8
    frames = {frame for frame, _ in lonely(after, "box") - lonely(before, "box")}
    assert len(frames) == 4
    labels = json.loads((rendered / "human_labels.json").read_text())
    for frame in frames:
        (image,) = [i["id"] for i in labels["images"] if frame.startswith(i["file_name"][:-4])]
        counted = {a["id"] for a in labels["annotations"] if a["image_id"] == image and not a["ignore"]}
        assert {number for name, number in lonely(after, "box") if name == frame} == counted


def test_a_calibration_turned_by_five_degrees_is_found_out(rendered: Path, tmp_path: Path) -> None:
    (path,) = rendered.rglob("camera_calibration.yaml")
    known = read_calibration(path)
    turned = dataclasses.replace(known.camera_model, yaw_deg=known.camera_model.yaw_deg + 5)
    (tmp_path / "turned.yaml").write_text(calibration_text(turned, site=known.site, name=known.camera))
    outcome = radar_of(rendered, rendered / "human_labels.json", calibration=str(tmp_path / "turned.yaml"))
    (finding,) = found(outcome, "implausible-calibration")
    assert "yaw -5" in finding.found or "yaw -4.9" in finding.found


def command(*arguments: str) -> Any:
    return CliRunner().invoke(traffic_yolo, ["check", *arguments])


def test_command_writes_its_files_and_says_by_the_exit_code_whether_it_is_bad(share: Any, tmp_path: Path) -> None:
    base = [str(share.recordings), "--labels", str(share.label_file)]
    clean = command(*base, "--out", str(tmp_path / "a"))
    assert clean.exit_code == 0, clean.output
    assert "9 frames, 18 boxes: 0 error" in clean.output
    add(share, bbox=[92, 1, 9, 5])
    assert command(*base).exit_code == 0
    warned = command(*base, "--fail-on", "warning", "--out", str(tmp_path / "b"))
    assert warned.exit_code == 1
    assert "sticks-out: 1, the first: " in warned.output
    described = json.loads((tmp_path / "b" / "findings.json").read_text())
    assert described["by_check"]["sticks-out"] == {"severity": "warning", "count": 1}
    assert "sticks-out" in (tmp_path / "b" / "report.html").read_text()
    assert command(*base, "--severities", "sticks-out=off", "--fail-on", "warning").exit_code == 0


def test_command_lists_what_to_label(rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = command(str(rendered / "recordings"), "--labels", str(rendered / "human_labels.json"), "--out", str(out))
    assert done.exit_code == 0, done.output
    assert "calibration A: feet agree" in done.output
    header, *rows = (out / "to_label.csv").read_text().splitlines()
    assert header.startswith("rank_score,kind,file,frame,number,class,left")
    scores = [float(row.split(",")[0]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    page = (out / "report.html").read_text()
    assert "Radar against labels" in page
    assert len(page) < 2_000_000


@pytest.mark.parametrize(
    ("decode", "count", "decoded"), [("full", 2, ""), ("sampled", 1, "2 of 23 "), ("none", 0, "0 of 23 ")]
)
def test_damage_inside_pictures_is_found_in_those_that_are_decoded(
    tmp_path: Path, decode: str, count: int, decoded: str
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for number in range(23):
        data = jpeg(number)
        if number in (3, 20):  # the 21st is among the sample
            data = data[: len(data) // 2] + b"\xff\xd9"
        (tmp_path / f"images/{number:02}.jpg").write_bytes(data)
        (tmp_path / f"labels/{number:02}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [CAR]\n")
    outcome = check_source(SourceChoice(source=str(tmp_path)), CheckOptions(decode=decode))
    named = [finding for finding in outcome.findings if finding.rule == "unreadable-picture"]
    assert len(named) == count
    assert all("pictures/" in finding.frame and "premature end" in finding.found for finding in named)
    assert [note.startswith(decoded) for note in outcome.notes if "pictures decoded" in note] == [True] * bool(decoded)


@pytest.mark.parametrize("wrong", [{"decode": "some"}, {"fail_on": "doom"}, {"near_distance": 99}], ids=str)
def test_senseless_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionsError):
        CheckOptions(**wrong)


def test_real_recordings_have_no_error(reference: Path) -> None:
    traffic = reference / "traffic"
    choice = SourceChoice(source=str(traffic / "recordings"), labels=str(traffic / "human_labels.json"))
    outcome = check_source(choice, CheckOptions())
    assert not outcome.findings.fails("warning")  # the labels are sound: each would be a false alarm
    assert (outcome.run.frames, outcome.run.boxes) == (116, 1980)
