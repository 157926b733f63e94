"""`make bench-published`: the table beside the published numbers says where the two may not be compared."""

import dataclasses
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.errors import EvaluationError, StorageError
from traffic_yolo.published_weights import PublishedFile, PublishedModel, PublishedNumbers

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "published"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name.strip("_"), FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


measured, comparison = loaded("measured"), loaded("comparison")

FILE = PublishedFile("https://x/street.weights", 5, "a" * 64)
NUMBERS = PublishedNumbers(0.4, 0.6, (416, 256), "COCO test-dev2017")
STREET = PublishedModel("street", "https://x", "free", "coco", FILE, FILE, FILE, NUMBERS)
UNCHECKED = dataclasses.replace(STREET, weights=dataclasses.replace(FILE, sha256=""))


def record(*, verdict: str = "may have seen", network_hw: tuple[int, int] = (256, 416), ap50: float = 0.55) -> Any:
    return SimpleNamespace(
        protocol={"network_hw": network_hw},
        metrics={"ap": 0.35, "ap50": ap50},
        provenance={"verdict": verdict, "pictures": 7, "of": 9},
    )


def test_a_model_known_by_its_content_stands_beside_its_numbers() -> None:
    line = comparison.line_of("my-name", record(), "a" * 64, {"street": STREET})
    assert (line.model, line.network_wh, line.published) == ("my-name", (416, 256), NUMBERS)
    assert line.difference == pytest.approx(-0.05)
    assert line.is_contaminated
    assert line.seen == "may be, 7 of 9"


@pytest.mark.parametrize(
    ("name", "sha256", "model", "hw", "note"),
    [
        ("tram", "b" * 64, STREET, (256, 416), "not in the catalogue"),
        ("street", "b" * 64, STREET, (256, 416), "other weights than the published ones"),
        ("street", "a" * 64, STREET, (608, 608), "published at 416 x 256"),
    ],
    ids=["unknown", "other content", "other size"],
)
def test_numbers_of_something_else_are_not_set_beside(
    name: str, sha256: str, model: PublishedModel, hw: tuple[int, int], note: str
) -> None:
    line = comparison.line_of(name, record(network_hw=hw), sha256, {"street": model})
    assert (line.published, line.difference, line.note) == (None, None, note)
    assert note in comparison.markdown([line], pictures=5000, failed={})


def test_without_a_known_checksum_the_name_counts_and_is_said() -> None:
    line = comparison.line_of("street", record(), "b" * 64, {"street": UNCHECKED})
    assert (line.published, line.note) == (NUMBERS, "by its name alone")
    assert "- street: by its name alone" in comparison.markdown([line], pictures=5000, failed={})


@pytest.mark.parametrize(
    ("verdict", "seen", "star"),
    [("seen", "yes, 7 of 9", True), ("may have seen", "may be, 7 of 9", True), ("not seen", "no", False),
     ("unknown", "not known", False)],
)  # fmt: skip
def test_contaminated_rows_are_marked(verdict: str, seen: str, star: bool) -> None:
    line = comparison.line_of("street", record(verdict=verdict), "a" * 64, {"street": STREET})
    text = comparison.markdown([line], pictures=5000, failed={})
    assert line.seen == seen
    assert ("| street * |" in text) == ("Their numbers flatter" in text) == star


def test_a_part_of_the_pictures_and_what_failed_are_said() -> None:
    line = comparison.line_of("street", record(), "a" * 64, {"street": STREET})
    part = comparison.markdown([line], pictures=164, failed={"odd": "not measured: odd.weights: no cfg"})
    assert "164 of 5,000 pictures. A difference from the published numbers says nothing" in part
    assert "- odd: not measured: odd.weights: no cfg" in part
    assert "A part of val2017" not in comparison.markdown([line], pictures=5000, failed={})
    assert "| street * | 416 x 256 | 0.350 | 0.550 | 0.400 | 0.600 | COCO test-dev2017 | -0.050 |" in part


def test_names_in_darknets_words_are_cocos_classes() -> None:
    classes = ("person", "motorcycle", "traffic_light", "couch")
    measured.check_names(("person", "motorbike", "traffic light", "sofa"), classes, "x.names")
    measured.check_names(classes, classes, "x.names")
    with pytest.raises(EvaluationError, match="x.names line 2: expected COCO's motorcycle, found car"):
        measured.check_names(("person", "car", "traffic light", "sofa"), classes, "x.names")
    with pytest.raises(EvaluationError, match="expected COCO's 4 classes, found 3"):
        measured.check_names(classes[:3], classes, "x.names")


def test_the_nms_is_that_of_detector_valid() -> None:
    text = "[net]\nwidth=64\nheight=64\nchannels=3\n[convolutional]\nfilters=18\nsize=1\nactivation=linear\n[yolo]\nclasses=1\n"
    assert measured.nms_of_valid(Cfg.parse(text))["kind"] == "default"
    found = measured.nms_of_valid(Cfg.parse(text + "nms_kind=diounms\nbeta_nms=0.7\n"))
    assert (found["kind"], found["beta"], found["iou_threshold"]) == ("diounms", 0.7, 0.6)


@pytest.mark.long
def test_from_a_folder_of_coco_to_the_table(
    small_data_set: Path,
    untrained_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = json.loads((small_data_set / "annotations" / "instances_test.json").read_text())
    coco, zoo = tmp_path / "coco", tmp_path / "weights"
    (coco / "val2017").mkdir(parents=True)
    (coco / "annotations").mkdir()
    for number, image in enumerate(content["images"], start=1):
        data = (small_data_set / "images" / image["file_name"]).read_bytes()
        image["file_name"] = f"{number:012d}.jpg"
        if number > 1:  # the first picture is not at hand
            (coco / "val2017" / image["file_name"]).write_bytes(data)
    (coco / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    zoo.mkdir()
    for name, file in (("model.cfg", "a.cfg"), ("model.weights", "a.weights"), ("classes.names", "a.names")):
        (zoo / file).write_bytes((untrained_model / name).read_bytes())
    (zoo / "b.weights").write_bytes(b"no cfg")
    main = loaded("__main__").main
    arguments = ["--coco", str(coco), "--weights", str(zoo), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    pictures = len(content["images"]) - 1
    assert f"{pictures} of 5,000 pictures" in printed
    assert "| a | 160 x 96 |" in printed
    assert "not in the catalogue" in printed
    assert "- b: not measured: " in printed
    assert (tmp_path / "out" / "table.md").read_text() == printed

    def once_more(*_: object, **__: object) -> None:
        raise AssertionError("evaluated again")

    monkeypatch.setattr("traffic_yolo.evaluate", once_more, raising=False)
    assert main(arguments) == 0
    assert capsys.readouterr().out == printed


def test_what_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="annotations of val2017 not found; expected one of"):
        measured.coco_data_set(tmp_path, tmp_path / "out")
    (tmp_path / "instances_val.json").write_text(json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}]}))
    (tmp_path / "val2017").mkdir()
    with pytest.raises(StorageError, match="none of the pictures that"):
        measured.coco_data_set(tmp_path, tmp_path / "out")


@pytest.mark.skipif(not os.environ.get("TRAFFIC_YOLO_SLOW"), reason="set TRAFFIC_YOLO_SLOW: 164 pictures")
def test_on_real_pictures_the_numbers_are_darknets_own(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(reference / "weights")
    arguments = ["yolo-fastest-1.1", "--coco", str(reference / "coco"), "--weights", weights, "--out", str(tmp_path)]
    assert loaded("__main__").main(arguments) == 0
    assert "| yolo-fastest-1.1 * | 320 x 320 | 0.143 | 0.279 | – | 0.244 | COCO val2017 |" in capsys.readouterr().out
