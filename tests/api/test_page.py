"""docs/python.md runs, block after block, and its results show what the steps wrote."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import traffic_yolo as ty
from traffic_yolo.darknet.darknet_files import Linted
from traffic_yolo.errors import DarknetFormatError, EvaluationError, StorageError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


@pytest.fixture(scope="module")
def page(small_data_set: Path, untrained_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page's names stand for after its last block."""
    folder, share = tmp_path_factory.mktemp("page"), small_data_set.parent / "nas"
    shutil.copytree(share / "recordings", folder / "recordings")
    shutil.copy(share / "human_labels.json", folder / "labels.json")
    for name in ("model.cfg", "model.weights"):
        shutil.copy(untrained_model / name, folder / name.replace("model", "yolov4-tiny"))
    shutil.copytree(untrained_model, folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        values: dict[str, Any] = {"folder": folder}
        blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        assert len(blocks) == 5
        for number, block in enumerate(blocks):
            if "street.jpg" in block:
                picture = min((folder / "dataset" / "images").rglob("*.jpg"))
                shutil.copy(picture, folder / "street.jpg")
            exec(compile(block, f"block {number + 1} of {PAGE.name}", "exec"), values)
    values["data"] = ty.Converted(folder / "dataset", values["data"].summary)
    values["found"] = ty.Evaluated(folder / "evaluation", values["found"].record)
    return values


def test_darknet_files_show_their_layers(page: dict[str, Any]) -> None:
    files = page["files"]
    lines = repr(files).splitlines()
    assert lines[0] == "yolov4-tiny.cfg"
    assert lines[1] == (
        f"160 x 96, {len(files.layers)} layers, {files.table.num_weights:,} weights, {files.table.bflops:.3f} BFLOPs"
    )
    assert len(lines) == 4 + len(files.layers)
    assert files.network_hw == (96, 160)
    assert page["network"].num_weights == files.table.num_weights
    assert ">convolutional</td>" in files._repr_html_()
    assert not isinstance(page["report"], bool)
    assert page["report"].as_dict()["target"] == "deepstream-yolo"


def test_findings_of_lint_show_in_both_forms(tmp_path: Path, untrained_model: Path) -> None:
    text = (untrained_model / "model.cfg").read_text()
    (tmp_path / "odd.cfg").write_text(text.replace("[net]", "[net]\nletter_box=2", 1))
    found = ty.darknet.read(tmp_path / "odd.cfg").lint("opencv")
    assert isinstance(found, Linted)
    assert repr(found) == found.report.to_text()
    assert found._repr_html_().count("<tr>") == len(found.report.findings) + bool(found.report.findings)


def test_a_data_set_shows_its_splits(page: dict[str, Any]) -> None:
    data, folder = page["data"], page["folder"]
    rows = [line.split() for line in repr(data).splitlines()[-3:]]
    counts = json.loads((folder / "dataset" / "manifest.json").read_text())["counts"]
    assert rows == [
        [split, str(counts[split]["images"]), str(counts[split]["boxes"]), str(counts[split]["ignored"]), site]
        for split, site in (("train", "B"), ("val", "A"), ("test", "C"))
    ]
    assert data.truth("val").is_file()
    assert data.report.is_file()
    assert data.data_set.manifest["policy"] == {"thin_gap_s": 0.01}


def test_an_evaluation_shows_its_numbers_and_classes(page: dict[str, Any]) -> None:
    found = page["found"]
    assert found.metrics == page["again"].metrics
    assert found.record.nms["confidence_threshold"] == 0.3
    text = repr(found)
    assert text.splitlines()[0] == f"split test: 3 pictures, {found.record.data['truths']} true boxes"
    assert f"AP {found.metrics['ap']:.4f}, AP50 {found.metrics['ap50']:.4f}" in text
    assert "Whether the weights have seen these pictures is not known" in text
    for each in found.per_class:
        assert re.search(rf"^{each['class_name']} .* {each['num_truths']}$", text, re.MULTILINE)
    assert found._repr_html_().count("<tr>") == 1 + len(found.per_class)
    assert found.detections("val").is_file()
    assert found.report.is_file()
    with pytest.raises(EvaluationError, match=r"name the split when evaluating: also=\['train'\]"):
        found.detections("train")


def test_a_sweep_is_an_operating_point_for_load(page: dict[str, Any]) -> None:
    chosen = page["chosen"]
    assert chosen.summary.text.splitlines() == repr(chosen).splitlines()[: len(chosen.summary.text.splitlines())]
    assert page["model"].reporting.nms.iou_threshold == chosen.iou_threshold
    assert "<td>PEDESTRIAN</td>" in chosen._repr_html_()
    assert isinstance(page["picture"], np.ndarray)


@pytest.mark.long
def test_a_pair_is_evaluated_as_its_folder_is(page: dict[str, Any], tmp_path: Path) -> None:
    folder = page["folder"]
    (folder / "yolov4-tiny.names").write_bytes((folder / "model" / "classes.names").read_bytes())
    found = ty.evaluate(str(folder / "yolov4-tiny.weights"), folder / "dataset", tmp_path / "pair", split="val")
    assert found.detections().read_bytes() == page["found"].detections("val").read_bytes()


@pytest.mark.long
def test_every_option_of_an_evaluation_reaches_it(page: dict[str, Any], tmp_path: Path) -> None:
    folder = page["folder"]
    shown = [
        ty.evaluate(folder / "model", folder / "dataset", tmp_path / word, pictures=word)
        for word in ("blurred", "none")
    ]
    assert ["data:image/jpeg" in found.report.read_text() for found in shown] == [True, False]


def test_mistakes_are_one_line(page: dict[str, Any], tmp_path: Path) -> None:
    folder = page["folder"]
    for call, error, message in (
        (lambda: ty.darknet.read(tmp_path / "no.cfg"), StorageError, "cfg not found"),
        (
            lambda: ty.darknet.read(folder / "yolov4-tiny.cfg", folder / "labels.json"),
            DarknetFormatError,
            "labels.json",
        ),
        (lambda: ty.convert(tmp_path / "no", tmp_path / "out"), ty.TrafficYoloError, "no"),
        (lambda: ty.evaluate("zoo://x", folder / "dataset", tmp_path / "out"), ty.TrafficYoloError, "zoo: "),
        (
            lambda: ty.sweep(folder / "no.npz", folder / "no.json", tmp_path / "out", objective="f2"),
            ty.TrafficYoloError,
            "sweep: objective: expected one of",
        ),
    ):
        with pytest.raises(error, match=message) as caught:
            call()
        assert isinstance(caught.value, ty.TrafficYoloError)
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
