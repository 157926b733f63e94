"""No finding is beyond the reach of fail_on: naming its check stops a conversion with nothing published."""

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from picture_tags import with_orientation
from small_shares import HEIGHT, WIDTH, jpeg

from traffic_yolo.cli import main
from traffic_yolo.dataset.checks.finding import CHECK_NAMES, FailOn, Findings
from traffic_yolo.dataset.checks.observer import NOT_IN_CONVERSION
from traffic_yolo.dataset.checks.source_problems import CHECK_OF_KIND
from traffic_yolo.dataset.checks.table import CHECKS
from traffic_yolo.dataset.problems import KEPT_OF_A_KIND, KINDS, NOTED, Noted, Problem
from traffic_yolo.errors import LabelError, OptionsError

SPLITS = ("train", "val", "test")
Content = dict[str, Any]
BOX = [10, 20, 30, 40]


class CocoSet:
    """A COCO set of two pictures a split, each with one box, to be damaged; the first is picture 0 of `train`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.splits: dict[str, Content] = {}
        for place, split in enumerate(SPLITS):
            (root / f"images/{split}").mkdir(parents=True)
            content: Content = {"images": [], "annotations": [], "categories": []}
            content["categories"] = [{"id": 1, "name": "CAR"}, {"id": 2, "name": "BUS"}]
            for number in (0, 1):
                name = f"{split}/{number}.jpg"
                (root / "images" / name).write_bytes(jpeg(10 * place + number))
                image = {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT, "attributes": {}}
                content["images"].append(image)
                content["annotations"].append({"id": number, "image_id": number, "category_id": 1, "bbox": BOX})
            self.splits[split] = content

    def add(self, bbox: list[Any], category: int = 1) -> None:
        """One more box in the first picture."""
        found = self.splits["train"]["annotations"]
        found.append({"id": len(found), "image_id": 0, "category_id": category, "bbox": bbox})

    def put(self, name: str, data: bytes) -> None:
        (self.root / "images" / name).write_bytes(data)

    def save(self) -> Path:
        for split, content in self.splits.items():
            (self.root / f"instances_{split}.json").write_text(json.dumps(content))
        return self.root


def same_bytes(coco: CocoSet) -> None:
    coco.put("train/1.jpg", jpeg(0))


def box_outside_alone(coco: CocoSet) -> None:
    coco.splits["train"]["annotations"][0]["bbox"] = [WIDTH + 5, 5, 9, 9]


def times_back(coco: CocoSet) -> None:
    for image, time in zip(coco.splits["train"]["images"], (20.0, 10.0), strict=True):
        image["attributes"]["time"] = time


def a_giant(coco: CocoSet) -> None:
    for image in coco.splits["train"]["images"]:
        image["site"] = "A"  # boxes of one place are compared
    for number in range(40):
        coco.add([2 * number, 20 + number % 3, 12, 10])
    coco.add([5, 4, 80, 28])  # as near as the others, by its foot


# What a conversion goes on from unless it is told otherwise, in a COCO set
COCO: dict[str, Callable[[CocoSet], Any]] = {
    "split-leak": lambda coco: coco.put("test/0.jpg", jpeg(0)),
    "broken-label": lambda coco: coco.add([1, "x", 5, 5]),
    "unreadable-picture": lambda coco: coco.put("train/0.jpg", b"GIF89a and so on"),
    "truncated-picture": lambda coco: coco.put("train/0.jpg", jpeg(0)[:-400]),
    "turned-picture": lambda coco: coco.put("train/0.jpg", with_orientation(jpeg(0), 6)),
    "size-mismatch": lambda coco: coco.splits["train"]["images"][0].update(width=1920),
    "label-without-picture": lambda coco: (coco.root / "images/train/0.jpg").unlink(),
    "unknown-class": lambda coco: coco.add([1, 1, 5, 5], category=77),
    "not-a-number": lambda coco: coco.add([1, float("nan"), 5, 5]),
    "no-area": lambda coco: coco.add([1, 1, 5, 0]),
    "emptied-picture": box_outside_alone,
    "alike-classes": lambda coco: [
        content["categories"].append({"id": 3, "name": "Car"}) for content in coco.splits.values()
    ],
    "reversed-corners": lambda coco: coco.add([60, 60, -20, -30]),
    "outside-picture": lambda coco: coco.add([WIDTH + 5, 5, 9, 9]),
    "sticks-out": lambda coco: coco.add([WIDTH - 5, 5, 9, 9]),
    "duplicate-box": lambda coco: coco.add(BOX),
    "two-classes": lambda coco: coco.add(BOX, category=2),
    "size-outlier": a_giant,
    "time-backwards": times_back,
    "frozen-picture": same_bytes,
    "near-duplicate": same_bytes,
    "empty-frame": lambda coco: coco.splits["train"]["annotations"].pop(0),
}
STOP_ANYWAY = {
    "broken-label", "unreadable-picture", "truncated-picture", "turned-picture", "size-mismatch", "label-without-picture",
    "unknown-class", "not-a-number",
}  # fmt: skip
OTHER_SOURCES = {
    "unreadable-file", "unfinished-recording", "labelled-twice", "shape-left-out", "picture-without-label", "empty-split", "picture-left-out",
    "few-labels", "mixed-origins",
}  # fmt: skip


def convert(source: Path, out: Path, *more: str) -> tuple[int, str]:
    said = io.StringIO()
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        main(["convert", "--source", str(source), "--out", str(out), *more])
    code = ended.value.code
    return code if isinstance(code, int) else 0, said.getvalue()


def assert_stops(name: str, source: Path, out: Path, *more: str) -> None:
    code, output = convert(source, out, "--fail-on", name, *more)
    assert (code, out.exists()) == (2, False), output
    told = name if name not in (*STOP_ANYWAY, *OTHER_SOURCES, "split-leak") else ""
    assert told in output


def test_every_check_is_stopped_on_below_and_every_problem_is_a_check() -> None:
    assert tuple(CHECKS) == CHECK_NAMES
    assert {*COCO, *OTHER_SOURCES, *NOT_IN_CONVERSION} == set(CHECK_NAMES)
    assert set(CHECK_OF_KIND) == set(KINDS)
    assert set(CHECK_OF_KIND.values()) <= set(CHECK_NAMES)
    assert set(KINDS) >= NOTED


@pytest.mark.parametrize("name", COCO)
def test_naming_a_check_stops_the_conversion_with_nothing_published(tmp_path: Path, name: str) -> None:
    coco = CocoSet(tmp_path / "source")
    COCO[name](coco)
    assert_stops(name, coco.save(), tmp_path / "out")


def test_what_is_mended_or_left_out_passes_where_nobody_asks_to_stop(tmp_path: Path) -> None:
    coco = CocoSet(tmp_path / "source")
    for name in sorted(set(COCO) - STOP_ANYWAY - {"emptied-picture", "empty-frame", "split-leak"}):
        COCO[name](coco)
    code, output = convert(coco.save(), tmp_path / "out", "--fail-on", "never")
    assert code == 0, output
    report = json.loads((tmp_path / "out/report.json").read_text())
    found = report["findings"]["checks"]["by_check"]
    assert found["no-area"] == {"severity": "error", "count": 1}
    assert found["reversed-corners"] == {"severity": "warning", "count": 1}
    boxes = json.loads((tmp_path / "out/annotations/instances_train.json").read_text())["annotations"]
    assert [40.0, 30.0, 20.0, 30.0] in [box["bbox"] for box in boxes]
    code, output = convert(coco.root, tmp_path / "again")
    assert (code, (tmp_path / "again").exists()) == (2, False)
    assert ": error: expected " in output
    assert "[no-area]" in output


@pytest.mark.parametrize("name", NOT_IN_CONVERSION)
def test_naming_what_a_conversion_cannot_judge_is_refused(tmp_path: Path, name: str) -> None:
    code, output = convert(CocoSet(tmp_path / "source").save(), tmp_path / "out", "--fail-on", name)
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert f"does not check {name}" in output
    assert "traffic-yolo check" in output


@pytest.mark.parametrize("name", ["unreadable-file", "unfinished-recording", "labelled-twice"])
def test_naming_a_check_of_recordings_stops_the_conversion(share: Any, tmp_path: Path, name: str) -> None:
    if name == "labelled-twice":
        share.coco["images"][0]["scan"] = 1
    else:
        path = next(iter(share.recordings.rglob("*.h5")))
        path.write_bytes(b"this is no HDF5 file" if name == "unreadable-file" else path.read_bytes()[:3000])
    share.save()
    assert_stops(name, share.recordings, tmp_path / "out", "--labels", str(share.label_file))


def test_naming_shapes_that_are_left_out_stops_the_conversion(tmp_path: Path) -> None:
    for number in range(3):
        shapes = [{"label": "CAR", "points": [[1, 2], [30, 40]], "shape_type": "rectangle"}]
        shapes += [{"label": "CAR", "points": [[5, 5]], "shape_type": "point"}]
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
        (tmp_path / f"{number}.json").write_text(json.dumps({"shapes": shapes, "imagePath": f"{number}.jpg"}))
    assert_stops("shape-left-out", tmp_path, tmp_path.with_name("out-of-shapes"))


def test_naming_pictures_without_labels_stops_the_conversion(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        (tmp_path / f"images/{number}.jpg").write_bytes(jpeg(number))
        if number:
            (tmp_path / f"labels/{number}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [CAR]\n")
    assert_stops("picture-without-label", tmp_path, tmp_path.with_name("out-of-unlabelled"))


def test_naming_mixed_origins_stops_the_conversion(tmp_path: Path) -> None:
    for number in range(4):
        corners = zip(("xmin", "ymin", "xmax", "ymax"), (0 if number == 3 else 9, 9, 30, 40), strict=True)
        box = "".join(f"<{name}>{value}</{name}>" for name, value in corners)
        text = f"<annotation><object><name>CAR</name><bndbox>{box}</bndbox></object></annotation>"
        (tmp_path / f"{number}.xml").write_text(text)
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
    out = tmp_path.with_name("out-of-two-minds")
    assert_stops("mixed-origins", tmp_path, out)
    assert convert(tmp_path, out, "--fail-on", "mixed-origins", "--voc-origin", "1")[0] == 0


@pytest.mark.parametrize("name", ["picture-left-out", "label-without-picture", "few-labels"])
def test_what_lies_beside_a_yolo_set_stops_the_conversion(tmp_path: Path, name: str) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        (tmp_path / f"images/{number}.jpg").write_bytes(jpeg(number))
        if name != "few-labels" or not number:
            (tmp_path / f"labels/{number}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    if name == "picture-left-out":
        (tmp_path / "images/9.gif").write_bytes(b"GIF89a")
    elif name == "label-without-picture":
        (tmp_path / "labels/9.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [CAR]\n")
    out = tmp_path.with_name(f"out-{name}")
    assert_stops(name, tmp_path, out)
    code, output = convert(tmp_path, out)  # as bad as an error, too
    assert (code, out.exists()) == (2, False), output
    assert convert(tmp_path, out, "--check-severities", f"{name}=info")[0] == 0


def test_naming_an_empty_split_stops_a_conversion_that_leaves_one(tmp_path: Path) -> None:
    content = CocoSet(tmp_path / "made").splits["train"]
    content["images"], content["annotations"] = content["images"][:1], content["annotations"][:1]
    (tmp_path / "source").mkdir()
    (tmp_path / "made/images").rename(tmp_path / "source/images")
    (tmp_path / "source/instances.json").write_text(json.dumps(content))
    assert_stops("empty-split", tmp_path / "source", tmp_path / "out")
    assert convert(tmp_path / "source", tmp_path / "out")[0] == 0


@pytest.mark.parametrize("wrong", ["", "doom", "error,doom", "error,warning", ","])
def test_words_that_are_neither_severity_nor_check_are_refused(wrong: str) -> None:
    with pytest.raises(OptionsError, match="fail_on: expected one of error, warning, info, never, or names of checks"):
        FailOn.parse(wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--fail-on", "split-leak", "--leak-check", "report"], "--leak-check is report"),
        (["--fail-on", "unreadable-picture", "--leak-check", "off"], "does not check unreadable-picture"),
        (["--fail-on", "sticks-out", "--check-severities", "sticks-out=off"], "--check-severities turns off"),
    ],
)
def test_a_check_that_is_named_and_turned_off_is_refused(tmp_path: Path, options: list[str], words: str) -> None:
    code, output = convert(CocoSet(tmp_path / "source").save(), tmp_path / "out", *options)
    assert (code, words in output) == (2, True), output


def test_a_severity_and_names_go_together() -> None:
    both = FailOn.parse("warning, empty-frame")
    assert both.includes("sticks-out", "warning")
    assert both.includes("empty-frame", "info")
    assert not both.includes("missing-scan", "info")
    assert not FailOn.parse("never").includes("no-area", "error")
    assert not Findings().fails("info")


def test_notes_are_all_counted_and_come_back_from_their_file() -> None:
    noted = Noted()
    for number in range(3 * KEPT_OF_A_KIND):
        noted(Problem("box-reversed", f"a.json: annotation {number}: expected x, found y"))
    again = Noted.of_dict(json.loads(json.dumps(noted.as_dict())))
    assert again == noted
    assert (again.counts["box-reversed"], len(again.kept)) == (3 * KEPT_OF_A_KIND, KEPT_OF_A_KIND)
    with pytest.raises(LabelError, match="broken"):
        noted(Problem("label-broken", "broken"))
