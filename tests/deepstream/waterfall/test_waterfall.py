"""What is said of a waterfall: sums as shown, gates, named causes, and the page; and the step and the command with it."""

import dataclasses
import functools
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from kfp import dsl

from traffic_yolo.commands.validate import command
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.component import validate as validate_component
from traffic_yolo.deepstream.parity.agreement import Counts, compare
from traffic_yolo.deepstream.validate import validate
from traffic_yolo.deepstream.verdict import ValidationSummary
from traffic_yolo.deepstream.waterfall.options import WaterfallOptions
from traffic_yolo.deepstream.waterfall.report import waterfall_figure, waterfall_sections
from traffic_yolo.deepstream.waterfall.stages import run_waterfall
from traffic_yolo.deepstream.waterfall.waterfall import (
    ClassNumbers,
    Judge,
    RuleRow,
    Stage,
    Waterfall,
    gate,
    in_units,
    rule_row,
    stage_of,
)
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import GateError, ModelError
from traffic_yolo.metrics.bootstrap import Interval, groups_of
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.paired import Difference
from traffic_yolo.model_folder import ModelFolder


def test_steps_as_shown_add_up_to_the_drop_as_shown() -> None:
    """Rounded each for itself, three steps of 0.00004 would be 0 each, and the drop 0.0001."""
    assert in_units([0.5, 0.49996, 0.49992, 0.49988]) == [0, -1, 0]
    values = np.random.default_rng(0).random(50).tolist()
    for first, last in itertools.combinations(range(50), 2):
        assert sum(in_units(values[first : last + 1])) == in_units([values[first], values[last]])[0]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> GroundTruth:
    """Eight pictures with two cars and a bus each, at fixed places."""
    boxes = [([10, 10, 20, 20], 1), ([50, 10, 20, 20], 1), ([10, 60, 30, 30], 2)]
    annotations = [
        {"id": 3 * picture + index + 1, "image_id": picture, "category_id": category, "bbox": box,
         "area": box[2] * box[3], "iscrowd": 0}
        for picture in range(8)
        for index, (box, category) in enumerate(boxes)
    ]  # fmt: skip
    images = [{"id": picture, "file_name": f"{picture}.jpg", "width": 100, "height": 100} for picture in range(8)]
    categories = [{"id": 1, "name": "CAR"}, {"id": 2, "name": "BUS"}]
    path = tmp_path_factory.mktemp("truth") / "truth.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return read_ground_truth(path, ("CAR", "BUS"))


@pytest.fixture(scope="module")
def judge(truth: GroundTruth) -> Judge:
    return Judge(truth, groups_of([""] * 8, of="picture"), resamples=100)


def found(truth: GroundTruth, *, skip: int = 0, swap: bool = False, score: float = 0.9) -> Detections:
    """What is true, less the first `skip` boxes; with the labels swapped."""
    boxes = np.array(truth.boxes_xywh, np.float32)
    boxes[:, 2:] += boxes[:, :2]
    class_ids = 1 - truth.class_ids if swap else truth.class_ids
    image_ids = np.asarray(truth.image_ids)[truth.truth_pictures]
    return Detections(image_ids, boxes, np.full(len(boxes), score, np.float32), class_ids).select(
        np.arange(skip, len(boxes))
    )


def test_a_stage_that_loses_a_box_is_counted_by_class_and_held_to_the_limit(judge: Judge, truth: GroundTruth) -> None:
    whole = judge.state(found(truth), (0.5, 0.5))
    assert whole.values == {"ap": 1.0, "ap50": 1.0, "f1": 1.0}
    one_less = judge.state(found(truth, skip=1), (0.5, 0.5))
    # 23 of 24: F1 = 46 / 47. Cars 15 of 16: of 101 recalls, 0 to 0.93 are reached, so AP is 94 / 101.
    assert one_less.values["f1"] == pytest.approx(46 / 47)
    assert one_less.values["ap50"] == pytest.approx((94 / 101 + 1) / 2)
    row = rule_row(judge, "edge", "", before=whole, after=one_less, start=whole, alone=one_less)
    assert (row.lost.value, row.gained) == (1, Interval(0, 0, 0))
    assert row.steps == row.alone
    shown = stage_of(judge, "simulator", "nvinfer", one_less, before=("onnx", whole), rows=[row])
    car, bus = shown.per_class
    assert (car.lost, car.gained, bus.lost, bus.gained) == (1, 0, 0, 0)
    assert (car.ap50, bus.ap50) == (pytest.approx(94 / 101), 1.0)
    assert (car.f1, bus.f1) == (pytest.approx(30 / 31), 1.0)
    assert gate(judge, whole, one_less, 0.04, hold_boxes=False) == ()
    (ap, ap50, f1) = gate(judge, whole, one_less, 0.02, hold_boxes=False)
    assert ap50 == "AP50 falls from 1.0000 to 0.9653, expected by at most 0.02"
    assert (ap[:8], f1[:8]) == ("AP falls", "F1 falls")


def test_a_cause_is_named_only_where_its_interval_excludes_nothing(judge: Judge, truth: GroundTruth) -> None:
    """One box of 24 lies in one picture of eight, which a third of the resamples leave out; eight boxes are in all."""
    whole = judge.state(found(truth), (0.5, 0.5))
    one_less = judge.state(found(truth, skip=1), (0.5, 0.5))
    assert rule_row(judge, "a", "", before=whole, after=one_less, start=whole, alone=None).named_for == ()
    buses = judge.state(found(truth).select(found(truth).class_ids == 0), (0.5, 0.5))
    row = rule_row(judge, "b", "", before=whole, after=buses, start=whole, alone=None)
    assert row.named_for == ("ap", "ap50", "f1", "lost")
    assert row.lost == Interval(8, 8, 8)  # one in every picture, so that all resamples have eight
    assert row.alone == ()
    back = rule_row(judge, "c", "", before=buses, after=whole, start=whole, alone=None)
    assert back.named_for == ("ap", "ap50", "f1", "gained")  # what wins is a cause as well


def test_boxes_that_come_and_go_name_a_rule_that_moves_no_number(judge: Judge, truth: GroundTruth) -> None:
    """Each picture loses a wrong box and gains another: AP and F1 stay, and no resample is without either."""
    right = found(truth)

    def with_wrong(place: float) -> Detections:
        boxes = np.tile(np.array([place, 80, place + 9, 89], np.float32), (8, 1))
        wrong = Detections(np.arange(8), boxes, np.full(8, 0.6, np.float32), np.zeros(8, np.int64))
        return Detections.concatenate([right, wrong])

    before, after = judge.state(with_wrong(10), (0.5, 0.5)), judge.state(with_wrong(70), (0.5, 0.5))
    row = rule_row(judge, "resize", "", before=before, after=after, start=before, alone=after)
    assert row.named == ()
    assert row.named_for == ("lost", "gained")
    assert (row.lost, row.gained) == (Interval(8, 8, 8), Interval(8, 8, 8))


def test_boxes_of_few_pictures_name_nothing_and_of_a_single_group_neither(truth: GroundTruth) -> None:
    """Boxes of one picture of eight are missing from a third of the resamples; those of four from hardly one."""
    of_eight = Judge(truth, groups_of([""] * 8, of="picture"), resamples=1000)
    one, four = of_eight.count(np.array([3, 3])), of_eight.count(np.array([0, 2, 4, 6]))
    assert (one.value, one.low) == (2, 0)
    assert one.high > 4
    assert four.value == 4
    assert 0 < four.low < 4 < four.high
    alone = Judge(truth, dataclasses.replace(groups_of([""] * 8, of="site"), places=np.zeros(8, np.int64), count=1))
    whole, less = alone.state(found(truth), (0.5, 0.5)), alone.state(found(truth, skip=9), (0.5, 0.5))
    assert rule_row(alone, "a", "", before=whole, after=less, start=whole, alone=less).named_for == ()


def test_thresholds_move_f1_and_no_ap(judge: Judge, truth: GroundTruth) -> None:
    below = judge.state(found(truth), (0.5, 0.95))
    assert below.values == {"ap": 1.0, "ap50": 1.0, "f1": pytest.approx(32 / 40)}
    assert len(below.reported) == 16


def test_swapped_labels_fail_by_name_whatever_the_limit(judge: Judge, truth: GroundTruth) -> None:
    whole = judge.state(found(truth), (0.5, 0.5))
    swapped = judge.state(found(truth, swap=True), (0.5, 0.5))
    told = gate(judge, whole, swapped, 1.0, hold_boxes=False)
    assert any("CAR (" in problem and "shifted or swapped" in problem for problem in told)
    assert any(problem.startswith("AP50 of single classes falls") for problem in told)


def test_two_stages_that_report_nothing_are_not_equal(judge: Judge) -> None:
    nothing = judge.state(Detections.none(), (0.5, 0.5))
    assert gate(judge, nothing, nothing, 0.02, hold_boxes=False) == (
        "neither side reports a single box, so nothing was compared",
    )


def moved(name: str, first: float, second: float, low: float, high: float) -> Difference:
    return Difference(name, first, second, Interval(second - first, low, high))


@pytest.fixture
def waterfall() -> Waterfall:
    steps = (moved("ap", 0.3, 0.26, -0.06, -0.02), moved("ap50", 0.5, 0.49, -0.03, 0.01), moved("f1", 0.6, 0.6, 0, 0))
    values = {"ap": 0.26, "ap50": 0.49, "f1": 0.6}
    row = RuleRow("filter", "nearest instead of bilinear", values, steps, steps, Interval(5, 2, 9), Interval(2, 0, 4))
    classes = (ClassNumbers("CAR", 0.3, 0.5, 0.6, 0, 0), ClassNumbers("traffic <light>", None, None, 0.0, 0, 0))
    start = {"ap": 0.3, "ap50": 0.5, "f1": 0.6}
    first = Stage("onnx", "ONNX", start, start, classes)
    second = Stage(
        "simulator", "nvinfer's rules", values, start, classes, before="onnx", rows=(row,), together=steps,
        boxes=Counts(90, 5, 2), problems=("AP falls from 0.3000 to 0.2600, expected by at most 0.02",),
    )  # fmt: skip
    return Waterfall("test", 12, groups_of(["a"] * 12, of="site"), (first, second), 0.02, 2)


def test_what_is_nothing_as_shown_is_no_cause() -> None:
    """Sure, and too small to print: +0.0000 would be named otherwise."""
    steps = (moved("ap", 0.3, 0.30004, 0.00002, 0.00006), moved("f1", 0.3, 0.30006, 0.00002, 0.00009))
    row = RuleRow("edge", "", {"ap": 0.30004, "f1": 0.30006}, steps, (), Interval(0, 0, 0), Interval(3, 0.4, 8))
    assert row.named_for == ("f1",)  # 3 boxes, 0 to 8 as shown


def test_the_text_names_causes_with_their_numbers_and_the_gate_that_failed(waterfall: Waterfall) -> None:
    lines = waterfall.text.split("\n")
    assert "    filter: -0.0400 AP (-0.0600 to -0.0200), 5 (2 to 9) boxes lost" in lines
    assert "nvinfer's rules" in lines[2]
    assert "5 boxes lost, 2 gained" in lines[2]
    assert lines[-1].startswith("WATERFALL FAILED: nvinfer's rules: AP falls from 0.3000")
    scalars = waterfall.scalars
    assert scalars["waterfall_passed"] == 0
    assert scalars["waterfall_ap50_simulator"] == pytest.approx(-0.01)
    assert scalars["waterfall_f1_simulator"] == 0


def test_a_failed_stage_ends_the_step_unless_it_is_to_be_kept(waterfall: Waterfall, tmp_path: Path) -> None:
    none = Detections.none()
    parity = compare(none, none, num_classes=2, confidence_threshold=0.5)
    summary = ValidationSummary(tmp_path, "test", 12, parity, {}, (), waterfall=waterfall)
    summary.check_waterfall("keep")
    with pytest.raises(GateError, match="nvinfer's rules: AP falls from 0.3000 to 0.2600"):
        summary.check_waterfall("stop")


def test_the_page_shows_stages_rules_classes_and_one_picture(waterfall: Waterfall) -> None:
    text = "".join(body for _, body in waterfall_sections(waterfall))
    assert text.count("<svg") == 1
    for shown in (
        "together",
        "-0.0600 to -0.0200",
        "AP, boxes lost",
        "5 (2 to 9)",
        "traffic &lt;light&gt;",
        "FAILED",
        "nearest instead of bilinear",
    ):
        assert shown in text
    assert waterfall_figure(waterfall) == waterfall_figure(waterfall)


@pytest.fixture
def tuning(tmp_path: Path, model: Path) -> Path:
    point = {
        "confidence_threshold": 0.4,
        "iou_threshold": 0.9,
        "model": {"weights_sha256": ModelFolder.open(model).sha256("model.weights")},
    }
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning" / "operating_point.json").write_text(json.dumps(point))
    return tmp_path / "tuning"


def bad_config(model: Path, path: Path) -> Path:
    from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config

    config = deploy_config(ModelFolder.open(model), DeployOptions(confidence_threshold=0.4, iou_threshold=0.9))
    path.write_text(config.with_values("property", {"model-color-format": "1"}).to_text())
    return path


def test_the_step_leaves_the_waterfall_and_the_command_ends_with_1_where_a_gate_fails(
    model: Path, unscaled_dataset: Path, tuning: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRAFFIC_YOLO_DARKNET", raising=False)
    few = functools.partial(run_waterfall, resamples=60)  # AP falls so far that they are enough
    monkeypatch.setattr("traffic_yolo.deepstream.validate.run_waterfall", few)
    given = ["--model", model, "--dataset", unscaled_dataset, "--tuning", tuning]
    flags = [*map(str, given), "--waterfall", "--nvinfer-config", str(bad_config(model, tmp_path / "config.txt"))]
    done = CliRunner().invoke(command, [*flags, "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, GateError)  # which the command line ends with exit code 1
    assert "nvinfer's rules: AP falls from" in str(done.exception)
    document = json.loads((tmp_path / "out" / "waterfall.json").read_text())
    assert document["passed"] is False
    (simulator,) = [stage for stage in document["stages"] if stage["key"] == "simulator"]
    assert "colour" in {rule["cause"] for rule in simulator["rules"] if rule["named_for"]}
    assert (tmp_path / "out" / "waterfall.svg").read_text().startswith("<svg")
    assert "From Darknet to DeepStream" in (tmp_path / "out" / "report.html").read_text()
    assert json.loads((tmp_path / "out" / "parity.json").read_text())["passed"] is True  # of our own configuration
    done = CliRunner().invoke(command, [*flags, "--require-parity", "--out", str(tmp_path / "strict")])
    assert isinstance(done.exception, ModelError)
    assert not (tmp_path / "strict").exists()


def test_without_a_waterfall_the_folder_and_the_numbers_are_as_before(
    model: Path, unscaled_dataset: Path, tuning: Path, tmp_path: Path
) -> None:
    point = tuning / "operating_point.json"
    summary = validate(model, unscaled_dataset, point, tmp_path / "out", waterfall=WaterfallOptions())
    assert not list((tmp_path / "out").glob("waterfall*"))
    assert not [name for name in summary.scalars if name.startswith("waterfall")]
    summary.check_waterfall("stop")


@pytest.mark.long
def test_the_component_fails_on_a_stage_once_its_numbers_and_page_are_there(
    model: Path,
    unscaled_dataset: Path,
    tuning: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("TRAFFIC_YOLO_DARKNET", raising=False)
    few = functools.partial(run_waterfall, resamples=20)
    monkeypatch.setattr("traffic_yolo.deepstream.validate.run_waterfall", few)
    evaluation = tmp_path / "evaluation"
    evaluation.mkdir()
    detect_split(ModelFolder.open(model), DataSet.open(unscaled_dataset), "test").save(
        evaluation / "detections_test.npz"
    )
    config = bad_config(model, tmp_path / "config.txt")

    metrics = dsl.Metrics(uri=str(tmp_path / "metrics"))
    with pytest.raises(SystemExit) as caught:
        validate_component.python_func(
            model=dsl.Model(uri=str(model)),
            dataset=dsl.Dataset(uri=str(unscaled_dataset)),
            evaluation=dsl.Artifact(uri=str(evaluation)),
            tuning=dsl.Artifact(uri=str(tuning)),
            validation=dsl.Artifact(uri=str(tmp_path / "validation")),
            metrics=metrics,
            report=dsl.HTML(uri=str(tmp_path / "report.html")),
            waterfall=True,
            settings=f"nvinfer_config: {config}",
        )
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("gates failed: nvinfer's rules: AP falls from")
    assert "    colour: " in said.out  # a server keeps no outputs of the task: its log says why
    assert metrics.metadata["waterfall_passed"] == 0
    assert metrics.metadata["parity_passed"] == 1
    assert metrics.metadata["waterfall_ap50_simulator"] < -0.1
    assert "What each loss is due to" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "validation" / "waterfall.json").is_file()
