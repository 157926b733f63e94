"""Darknet's own program as a stage: what it writes is read, and what it cannot do is refused."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.parity.agreement import compare
from traffic_yolo.deepstream.waterfall.darknet_program import (
    COCO_IDS,
    VARIABLE,
    darknet_detections,
    darknet_program,
    read_valid_results,
)
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.model_folder import ModelFolder


def test_the_program_is_the_one_that_the_variable_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert darknet_program() is None
    monkeypatch.setenv(VARIABLE, "/bin/sh")
    assert darknet_program() == Path("/bin/sh").resolve()
    (tmp_path / "darknet").write_text("no program")
    for named in (tmp_path / "darknet", tmp_path / "none", tmp_path):
        monkeypatch.setenv(VARIABLE, str(named))
        with pytest.raises(OptionsError, match=r"TRAFFIC_YOLO_DARKNET=.* is no program that can be run"):
            darknet_program()


def test_results_are_read_with_classes_and_pictures_in_place() -> None:
    text = (
        '[\n{"image_id":1, "category_id":13, "bbox":[1.000000, 2.000000, 3.000000, 4.000000], "score":0.250000},\n'
        '{"image_id":0, "category_id":1, "bbox":[0.0, 0.0, 9.0, 9.0], "score":0.100000},\n'
        '{"image_id":1, "category_id":90, "bbox":[5.0, 5.0, 1.0, 1.0], "score":0.900000}\n]\n'
    )
    found = read_valid_results(text, [70, 80], where="x")
    assert found.image_ids.tolist() == [70, 80, 80]
    assert found.class_ids.tolist() == [0, 79, 11]
    assert found.boxes_xyxy.tolist() == [[0, 0, 9, 9], [5, 5, 6, 6], [1, 2, 4, 6]]
    assert found.scores.tolist() == pytest.approx([0.1, 0.9, 0.25])
    assert len(COCO_IDS) == 80


def test_a_program_that_finds_nothing_leaves_no_json_and_no_boxes() -> None:
    assert len(read_valid_results("\n]\n", [1], where="x")) == 0


@pytest.mark.parametrize(
    "text",
    [
        "[{",
        '[{"image_id":0}]',
        '[{"image_id":0, "category_id":12, "bbox":[0,0,1,1], "score":0.5}]',  # none of the numbers that it gives
        '[{"image_id":2, "category_id":1, "bbox":[0,0,1,1], "score":0.5}]',
        '[{"image_id":-1, "category_id":1, "bbox":[0,0,1,1], "score":0.5}]',
        '[{"image_id":0, "category_id":1, "bbox":[0,0,1], "score":0.5}]',
        '[{"image_id":0, "category_id":1, "bbox":[0,0,1,"x"], "score":0.5}]',
    ],
)
def test_other_results_are_refused_by_name(text: str) -> None:
    with pytest.raises(EvaluationError, match=r"^results: not "):
        read_valid_results(text, [5, 6], where="results")


def test_a_program_that_fails_is_told_with_its_last_words(model: Path, dataset: Path, tmp_path: Path) -> None:
    program = tmp_path / "darknet"
    program.write_text("#!/bin/sh\necho one; echo Couldn\\'t open file; exit 3\n")
    program.chmod(0o755)
    pictures = DataSet.open(dataset).split("test")
    with pytest.raises(EvaluationError, match=r"exit code 3 and without boxes: one \| Couldn't open file"):
        darknet_detections(program, ModelFolder.open(model), pictures)


@pytest.mark.long
@pytest.mark.reference
def test_what_darknet_really_wrote_is_read(reference: Path) -> None:
    path = reference / "golden" / "valid" / "coco-val.yolo-fastest-1.1.json.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    text = gzip.decompress(path.read_bytes()).decode()
    content = json.loads(text)
    image_ids = sorted({each["image_id"] for each in content})
    numbered = [{**each, "image_id": image_ids.index(each["image_id"])} for each in content]
    found = read_valid_results(json.dumps(numbered), image_ids, where="x")
    assert len(found) == len(content)
    assert set(found.image_ids.tolist()) == set(image_ids)
    assert found.scores.min() >= np.float32(0.001)


@pytest.mark.skipif(not os.environ.get(VARIABLE), reason=f"{VARIABLE} names no program of Darknet")
def test_darknets_program_finds_what_pytorch_finds(model: Path, dataset: Path) -> None:
    """On random pictures with a tiny network: the same boxes at the program's own NMS."""
    program = darknet_program()
    assert program is not None
    folder, data = ModelFolder.open(model), DataSet.open(dataset)
    found = darknet_detections(program, folder, data.split("test"))
    own = non_maximum_suppression(detect_split(folder, data, "test"), NmsOptions(0.001, 0.6, max_detections=10_000))
    # Its JPEG decoder differs in single bytes, so a few pairs fall on the other side of its NMS
    strong, mine = found.select(found.scores > 0.3), own.select(own.scores > 0.3)
    parity = compare(mine, strong, num_classes=2, confidence_threshold=0.3)
    assert parity.matched > 300
    assert parity.agreement > 0.97
    assert min(parity.iou_quantiles) > 0.9
