"""The step evaluate: its folder, its numbers against a plain recomputation, its report, its refusals."""

import dataclasses
import json
import math
import re
import shutil
from pathlib import Path

import pytest
from written_data_set import state_again

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import DatasetError, EvaluationError
from traffic_yolo.evaluation.evaluate import EvaluationInputs, EvaluationSummary, evaluate
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.metrics.coco import NUMBER_NAMES, evaluate_coco
from traffic_yolo.metrics.ground_truth import read_ground_truth
from traffic_yolo.metrics.matching import match
from traffic_yolo.metrics.operating_point import confusion_matrix, operating_point
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.trainer import train
from traffic_yolo.tuning.tune import tune

NMS = NmsOptions(confidence_threshold=0.4, iou_threshold=0.5, max_detections=2000)


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, untrained_model: Path, small_data_set: Path
) -> EvaluationSummary:
    out = tmp_path_factory.mktemp("evaluation") / "out"
    return evaluate(untrained_model, small_data_set, out, nms=NMS)


def test_the_folder_holds_what_the_next_steps_read(evaluated: EvaluationSummary) -> None:
    assert {path.name for path in evaluated.path.iterdir()} == {
        *("detections_test.npz", "record.json", "report.html", "metrics.json")
    }
    assert EvaluationRecord.read(evaluated.path / "record.json") == evaluated.record
    assert json.loads((evaluated.path / "metrics.json").read_text()) == evaluated.scalars


def test_the_record_is_what_a_plain_evaluation_of_the_stored_detections_gives(
    evaluated: EvaluationSummary, small_data_set: Path
) -> None:
    data = DataSet.open(small_data_set)
    raw = RawDetections.load(evaluated.path / "detections_test.npz")
    truth_path = data.coco_path("test")
    floor = non_maximum_suppression(raw, dataclasses.replace(NMS, confidence_threshold=0.001))
    coco = evaluate_coco(truth_path, floor, classes=data.classes)
    record = evaluated.record
    assert {name: record.metrics[name] for name in NUMBER_NAMES} == coco.twelve()
    truth = read_ground_truth(truth_path, data.classes)
    reported = non_maximum_suppression(raw, NMS)
    assert 0 < len(reported) < len(floor)
    point = operating_point(match(reported, truth), data.classes, confidence_threshold=0.4, iou_threshold=0.5)
    for name in ("precision", "recall", "f1", "true_positives", "false_positives", "false_negatives"):
        assert record.metrics[name] == getattr(point, name)
    assert record.confusion["counts"] == confusion_matrix(reported, truth).counts.tolist()
    assert [entry["num_truths"] for entry in record.per_class] == truth.num_truths.tolist()


def test_the_record_names_everything_that_moves_the_numbers(evaluated: EvaluationSummary, small_data_set: Path) -> None:
    record = evaluated.record
    assert record.nms == dataclasses.asdict(NMS)
    assert record.matching == {"iou": 0.5, "coco_max_detections": 100}
    assert record.protocol["network_hw"] == (96, 160)
    assert record.protocol["resize"] == "stretch"
    assert record.protocol["runtime"] == "pytorch"
    assert record.protocol["images_fingerprint"] == f"{DataSet.open(small_data_set).fingerprint}/test"
    assert re.fullmatch("[0-9a-f]{64}", record.protocol["weights_sha256"])
    assert record.training is not None
    assert record.training["width"] == 160
    assert {"python", "torch", "numpy", "pycocotools"} <= set(record.software)
    assert record.data["pictures"] == 3


def test_the_report_is_small_and_self_contained(evaluated: EvaluationSummary) -> None:
    report = (evaluated.path / "report.html").read_text()
    assert len(report) < 1_000_000
    assert report.count("<svg") == 7
    assert report.count("data:image/jpeg;base64,") == 3
    assert report.count("<script") == 1
    targets = [one for one in re.findall(r'(?:src|href)="([^"]*)"', report) if not one.startswith(("#", "data:"))]
    assert [(evaluated.path / target).resolve().parts[-2:] for target in targets] == [("dataset", "report.html")]
    for entry in evaluated.record.per_class:
        assert entry["class_name"] in report


@pytest.mark.long
def test_evaluating_again_gives_the_same_bytes(
    evaluated: EvaluationSummary, untrained_model: Path, small_data_set: Path, tmp_path: Path
) -> None:
    evaluate(untrained_model, small_data_set, tmp_path / "again", nms=NMS)
    for path in evaluated.path.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_the_summary_speaks_to_people_and_to_kubeflow(evaluated: EvaluationSummary) -> None:
    assert "| class | AP | AP50 |" in evaluated.markdown
    assert "**Split test**: 3 pictures" in evaluated.markdown
    assert set(evaluated.scalars) == {"ap", "ap50", "ap75", "ar100", "precision", "recall", "f1"}
    assert evaluated.record.confusion["labels"] == [*evaluated.record.classes, "background"]
    size = len(evaluated.record.classes) + 1
    assert [len(row) for row in evaluated.record.confusion["counts"]] == [size] * size


@pytest.mark.long
def test_another_split_can_be_evaluated(untrained_model: Path, small_data_set: Path, tmp_path: Path) -> None:
    summary = evaluate(untrained_model, small_data_set, tmp_path / "out", split="val", nms=NMS)
    assert summary.record.split == "val"
    assert summary.record.protocol["images_fingerprint"].endswith("/val")
    assert not (tmp_path / "out" / "detections_test.npz").exists()  # nobody asked for it


@pytest.mark.long
def test_what_lies_there_is_reused_and_what_is_wanted_besides_is_made(
    evaluated: EvaluationSummary,
    untrained_model: Path,
    small_data_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detected = []

    def counting(model: ModelFolder, data: DataSet, split: str, *rest: object) -> RawDetections:
        detected.append(split)
        return detect_split(model, data, split, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("traffic_yolo.detection.detect_split.detect_split", counting)
    inputs = EvaluationInputs(detections=evaluated.path)
    again = evaluate(untrained_model, small_data_set, tmp_path / "out", also=["val"], nms=NMS, inputs=inputs)
    assert detected == ["val"]
    assert evaluated.record.detections == {"test": "made"}
    assert again.record.detections == {"test": "reused", "val": "made"}
    assert "Raw detections made for val; reused for test." in again.markdown
    assert again.record.metrics == evaluated.record.metrics
    name = "detections_test.npz"
    assert (again.path / name).read_bytes() == (evaluated.path / name).read_bytes()
    assert RawDetections.load(again.path / "detections_val.npz").protocol.images_fingerprint.endswith("/val")


def test_detections_that_do_not_serve_are_refused_and_never_made_again_silently(
    evaluated: EvaluationSummary, untrained_model: Path, small_data_set: Path, tmp_path: Path
) -> None:
    inputs = EvaluationInputs(detections=tmp_path)
    with pytest.raises(EvaluationError, match="no raw detections of the splits asked for; expected detections_test"):
        evaluate(untrained_model, small_data_set, tmp_path / "out", inputs=inputs)
    other = shutil.copytree(untrained_model, tmp_path / "model")
    weights = bytearray((other / "model.weights").read_bytes())
    weights[-1] ^= 1
    (other / "model.weights").write_bytes(weights)
    with pytest.raises(EvaluationError, match="made under another protocol: weights_sha256 is"):
        evaluate(other, small_data_set, tmp_path / "out", inputs=EvaluationInputs(detections=evaluated.path))
    with pytest.raises(DatasetError, match="split 'vall': expected one of train, val, test"):
        evaluate(untrained_model, small_data_set, tmp_path / "out", also=["vall"])
    assert not (tmp_path / "out").exists()


def test_a_model_of_other_classes_is_refused(untrained_model: Path, small_data_set: Path, tmp_path: Path) -> None:
    model = shutil.copytree(untrained_model, tmp_path / "model")
    names = (model / "classes.names").read_text().replace("BUS", "TRAM")
    (model / "classes.names").write_text(names)
    with pytest.raises(EvaluationError, match=r"the model's classes \(.*TRAM.*\) are not the data set's \(.*BUS.*\)"):
        evaluate(model, small_data_set, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_without_pictures_is_refused(untrained_model: Path, small_data_set: Path, tmp_path: Path) -> None:
    data = shutil.copytree(small_data_set, tmp_path / "dataset")
    path = data / "annotations" / "instances_test.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"images": [], "annotations": []}))
    state_again(data)
    with pytest.raises(EvaluationError, match="split 'test' has no pictures to evaluate on"):
        evaluate(untrained_model, data, tmp_path / "out")


def without_splits(data_set: Path, out: Path) -> Path:
    """The test split of a data set as one that was converted without splits."""
    data = shutil.copytree(data_set, out)
    manifest = json.loads((data / "manifest.json").read_text())
    manifest["counts"] = {"all": manifest["counts"]["test"]}
    for entry in manifest["files"]:
        entry["path"] = entry["path"].replace("instances_test.json", "instances_all.json")
    (data / "manifest.json").write_text(json.dumps(manifest))
    (data / "annotations" / "instances_test.json").rename(data / "annotations" / "instances_all.json")
    for split in ("train", "val"):
        (data / "annotations" / f"instances_{split}.json").unlink()
    return data


@pytest.mark.long
def test_a_data_set_without_splits_is_evaluated_as_a_whole(
    untrained_model: Path, small_data_set: Path, tmp_path: Path
) -> None:
    data = without_splits(small_data_set, tmp_path / "dataset")
    summary = evaluate(untrained_model, data, tmp_path / "out", split="all")
    assert summary.record.split == "all"
    assert [path.name for path in (tmp_path / "out").glob("*.npz")] == ["detections_all.npz"]
    with pytest.raises(DatasetError, match="no split 'test', for it was converted with splits none"):
        evaluate(untrained_model, data, tmp_path / "refused")
    with pytest.raises(EvaluationError, match=r"split 'val' has no pictures.*only all has any"):
        tune(tmp_path / "out", data, tmp_path / "tuned")
    with pytest.raises(DatasetError, match="no split 'train', for it was converted with splits none"):
        train(data, tmp_path / "run", TrainingOptions(device="cpu", max_batches=1))
    assert not any((tmp_path / name).exists() for name in ("refused", "tuned", "run"))


def test_a_record_of_another_kind_is_refused(evaluated: EvaluationSummary, tmp_path: Path) -> None:
    content = json.loads((evaluated.path / "record.json").read_text())
    path = tmp_path / "record.json"
    for change, message in (
        ({"schema_version": 9}, "schema version 9, this program reads 2"),
        ({"colour": "red"}, r"record.json: the record: .*'colour' was unexpected"),
        ({"engine": "guess"}, "record.json: engine: 'guess' is not one of"),
        ({"metrics": content["metrics"] | {"ap": "high"}}, "record.json: metrics.ap: 'high' is not of type"),
        ({"metrics": content["metrics"] | {"ap": math.nan}}, "NaN is no JSON"),
        ({"metrics": content["metrics"] | {"f1": 1.5}}, "record.json: metrics.f1: 1.5 is greater than the maximum"),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(EvaluationError, match=message):
            EvaluationRecord.read(path)
    del content["nms"]
    path.write_text(json.dumps(content))
    with pytest.raises(EvaluationError, match="'nms' is a required property"):
        EvaluationRecord.read(path)
    path.write_text("[]")
    with pytest.raises(EvaluationError, match="not an evaluation record"):
        EvaluationRecord.read(path)
