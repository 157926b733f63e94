"""The step validate: what it writes, what it measures, and when it says no."""

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.parity.agreement import Counts, Parity
from traffic_yolo.deepstream.parity.limits import beyond_chance, class_falls, problems_of_class_aps, problems_of_classes
from traffic_yolo.deepstream.simulate.simulator import FrameOutput, Simulator
from traffic_yolo.deepstream.validate import best_class_only, validate
from traffic_yolo.deepstream.verdict import SINGLE_LABEL, cause_of_padding, problems_of
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.inference_options import InferenceOptions
from traffic_yolo.detection.raw_detections import Protocol, RawDetections
from traffic_yolo.errors import EvaluationError, ModelError, StorageError
from traffic_yolo.metrics.coco import ClassMetrics
from traffic_yolo.model_folder import ModelFolder


@pytest.fixture
def point(tmp_path: Path, model: Path) -> Path:
    path = tmp_path / "operating_point.json"
    stated = {
        "confidence_threshold": 0.4,
        "iou_threshold": 0.9,  # nvinfer overlaps boxes cut at the edge, PyTorch whole ones: here it makes no difference
        "nms": {"kind": "default", "beta": 0.6, "max_detections": 300},
        "model": {"weights_sha256": ModelFolder.open(model).sha256("model.weights")},
    }
    path.write_text(json.dumps(stated))
    return path


def test_a_good_model_passes_and_leaves_what_a_node_needs(
    model: Path, unscaled_dataset: Path, point: Path, tmp_path: Path
) -> None:
    out = tmp_path / "validation"
    summary = validate(model, unscaled_dataset, point, out, require_parity=True)
    assert sorted(path.name for path in out.iterdir()) == [
        "config_infer_primary.txt",
        "config_infer_primary_darknet.txt",
        "labels.txt",
        "parity.json",
        "report.html",
    ]
    assert summary.passed
    assert "PARITY FAILED" not in summary.text
    config = NvinferConfig.read(out / "config_infer_primary.txt")
    attributes = config.class_attributes(0)
    assert (attributes.pre_cluster_threshold, attributes.nms_iou_threshold) == (0.4, 0.9)
    assert NvinferConfig.read(out / "config_infer_primary_darknet.txt").has("custom-network-config")
    assert (out / "labels.txt").read_bytes() == (model / "labels.txt").read_bytes()

    parity = json.loads((out / "parity.json").read_text())
    assert parity["passed"] is True
    assert parity["pictures"] == 12
    assert parity["parity"]["matched"] > 20
    assert parity["explained_agreement"] == pytest.approx(summary.scalars["parity_explained_agreement"])
    # Without scaling, all that is left is nvinfer's one class a box, and float32 noise.
    assert parity["explained_agreement"] == 1
    assert parity["parity"]["only_left"] == parity["parity"]["second_labels"]
    assert np.abs(parity["parity"]["score_difference_quantiles"]).max() < 1e-5
    assert parity["metrics"]["pytorch"]["ap50"] > 0.9
    assert parity["metrics"]["deepstream"]["ap50"] == pytest.approx(parity["metrics"]["pytorch"]["ap50"], abs=1e-6)
    assert summary.scalars["ap50_deepstream"] == parity["metrics"]["deepstream"]["ap50"]
    report = (out / "report.html").read_text()
    assert "within the limits" in report
    assert (report.count(">within</span>"), report.count(">BEYOND</span>")) == (4, 0)
    assert "crop-objects-to-roi-boundary=1" in report


def test_the_same_input_gives_the_same_bytes(model: Path, dataset: Path, point: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        validate(model, dataset, point, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_the_raw_detections_of_an_evaluation_save_the_inference_and_change_nothing(
    model: Path, dataset: Path, point: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate(model, dataset, point, tmp_path / "own")
    detect_split(ModelFolder.open(model), DataSet.open(dataset), "test").save(tmp_path / "detections_test.npz")
    monkeypatch.delattr("traffic_yolo.deepstream.validate.detect_split")
    validate(model, dataset, point, tmp_path / "given", evaluation=tmp_path)
    for path in (tmp_path / "own").iterdir():
        found = (tmp_path / "given" / path.name).read_bytes()
        if path.name == "report.html":  # which says in its header where they were from
            found = re.sub(rb"<div><dt>detections</dt>.*?</div>\n", b"", found)
            found = re.sub(rb"; detections: [^;]*", b"", found)
        assert path.read_bytes() == found, path.name


def test_another_runtime_than_pytorch_is_called_by_its_name(
    model: Path, dataset: Path, point: Path, tmp_path: Path
) -> None:
    options = InferenceOptions(runtime="onnxruntime", batch=2)
    summary = validate(model, dataset, point, tmp_path / "out", inference=options)
    assert "in onnxruntime," in summary.text
    assert json.loads((tmp_path / "out" / "parity.json").read_text())["left"] == "onnxruntime"
    report = (tmp_path / "out" / "report.html").read_text()
    assert "by onnxruntime only" in report
    assert "PyTorch" not in report


def test_an_evaluation_of_something_else_is_refused(model: Path, dataset: Path, point: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"raw detections not found: .*detections_test\.npz; make them with"):
        validate(model, dataset, point, tmp_path / "out", evaluation=tmp_path)
    raw = detect_split(ModelFolder.open(model), DataSet.open(dataset), "test")
    other = dataclasses.replace(raw.protocol, images_fingerprint="other/test")
    dataclasses.replace(raw, protocol=other).save(tmp_path / "detections_test.npz")
    with pytest.raises(EvaluationError, match="made under another protocol: images_fingerprint is other/test"):
        validate(model, dataset, point, tmp_path / "out", evaluation=tmp_path)
    coarse = dataclasses.replace(raw.protocol, confidence_floor=0.1)
    dataclasses.replace(raw, protocol=coarse).save(tmp_path / "detections_test.npz")
    with pytest.raises(EvaluationError, match=r"confidence_threshold 0.001 is below 0.1, the floor"):
        validate(model, dataset, point, tmp_path / "out", evaluation=tmp_path)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration with the colour planes swapped, as a hand-written one may have them."""
    from traffic_yolo.deepstream import validate as module

    right = module.deploy_config

    def wrong(*arguments: object) -> NvinferConfig:
        config = right(*arguments)  # type: ignore[arg-type]
        return config.with_values("property", {"model-color-format": "1", "net-scale-factor": "0.01"})

    monkeypatch.setattr(module, "deploy_config", wrong)


@pytest.mark.usefixtures("swapped")
def test_a_poor_parity_is_said_and_recorded(model: Path, dataset: Path, point: Path, tmp_path: Path) -> None:
    summary = validate(model, dataset, point, tmp_path / "validation")
    assert not summary.passed
    assert "PARITY FAILED" in summary.text
    assert summary.scalars["parity_passed"] == 0
    assert json.loads((tmp_path / "validation" / "parity.json").read_text())["passed"] is False
    report = (tmp_path / "validation" / "report.html").read_text()
    assert "NOT within the limits" in report
    words = ("a class's agreement", "AP50 of single classes", "have no partner", "with one class a box falls")
    exceeded = sum(any(word in problem for problem in summary.problems) for word in words)
    assert report.count(">BEYOND</span>") == exceeded > 0


@pytest.mark.usefixtures("swapped")
def test_a_poor_parity_stops_the_step_where_parity_is_required(
    model: Path, dataset: Path, point: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"boxes have no partner .* do not deploy this model"):
        validate(model, dataset, point, tmp_path / "validation", require_parity=True)
    assert not (tmp_path / "validation").exists()


def test_labels_that_are_swapped_on_the_way_fail_and_name_the_classes(
    model: Path, unscaled_dataset: Path, point: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two classes a shift by one is a swap: every box is there, under the other name."""
    run = Simulator.run

    def swapped(self: Simulator, pictures: object) -> list[FrameOutput]:
        frames = run(self, pictures)  # type: ignore[arg-type]
        for frame in frames:
            frame.rows[:, 5] = 1 - frame.rows[:, 5]
        return frames

    monkeypatch.setattr(Simulator, "run", swapped)
    summary = validate(model, unscaled_dataset, point, tmp_path / "out")
    assert summary.parity.second_labels < 5  # near ties between the two classes, of more than 500 boxes
    assert [problem for problem in summary.problems if "shifted or swapped" in problem and "CAR (" in problem]
    assert [problem for problem in summary.problems if problem.startswith("AP50 of single classes falls: ")]
    with pytest.raises(ModelError, match="look whether labels are shifted or swapped"):
        validate(model, unscaled_dataset, point, tmp_path / "strict", require_parity=True)


def test_an_onnx_file_of_other_class_names_is_refused(
    model: Path, dataset: Path, point: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = Simulator.__init__

    def renamed(self: Simulator, *arguments: object) -> None:
        init(self, *arguments)  # type: ignore[arg-type]
        self.metadata["classes"] = "traffic_light,CAR"

    monkeypatch.setattr(Simulator, "__init__", renamed)
    with pytest.raises(ModelError, match="made for the classes traffic_light,CAR, not CAR,traffic_light; export again"):
        validate(model, dataset, point, tmp_path / "out")


def test_the_colour_of_the_padding_is_named_where_it_costs_a_letterbox_model_its_parity(
    export_tiny: Callable[..., Path], tall_dataset: Callable[[Path], Path], point: Path, tmp_path: Path
) -> None:
    model = export_tiny(letterbox=True)
    dataset = tall_dataset(model)
    content = json.loads(point.read_text())
    content["model"]["weights_sha256"] = ModelFolder.open(model).sha256("model.weights")
    point.write_text(json.dumps(content))
    summary = validate(model, dataset, point, tmp_path / "out")
    assert not summary.passed
    (named,) = [problem for problem in summary.problems if problem.startswith("letter_box=1: nvinfer pads in black")]
    black, grey = map(float, re.findall(r"would be ([0-9.]+) for ([0-9.]+);", named)[0][::-1])
    assert black == pytest.approx(summary.parity.explained_agreement, abs=1e-3)
    assert grey > black + 0.05
    assert "train on stretched pictures (letter_box=0)" in named


def test_padding_that_costs_nothing_is_no_cause() -> None:
    assert cause_of_padding(parity(90, 10), parity(90, 10)) == ()
    assert cause_of_padding(parity(90, 10), parity(80, 20)) == ()


@pytest.mark.parametrize(
    ("counts", "bad"),
    [
        (Counts(0, 3, 0), False),  # three places by chance: 0.26 ** 3 is 0.018
        (Counts(0, 4, 0), True),  # 0.26 ** 4 is 0.0046
        (Counts(10, 5, 0), False),  # 0.80 of 25 boxes, as a healthy class had
        (Counts(85, 30, 0), False),  # exactly the limit
        (Counts(850, 360, 0), True),  # below it, and many
        (Counts(85, 33, 0), False),  # below it, and by chance
        (Counts(0, 2, 2, 4, 0), False),  # all of them explained
        (Counts(3000, 3000, 3000), True),
        (Counts(0, 0, 0), False),
    ],
)
def test_a_class_fails_where_chance_does_not_explain_it(counts: Counts, bad: bool) -> None:
    assert beyond_chance(counts) is bad


def test_the_worst_classes_are_named_first_and_not_all() -> None:
    per_class = (Counts(50, 0, 0), *(Counts(index, 20, 0) for index in range(7)))
    told = problems_of_classes(dataclasses.replace(parity(1, 0), per_class=per_class), "abcdefgh")
    assert len(told) == 1
    assert told[0].startswith("boxes without partner in b (20 of 20), c (20 of 22), d (20 of 24), e (20 of 26), f (20 ")
    assert " and 2 more: a class's agreement is expected to be at least 0.85" in told[0]


def test_a_class_whose_ap50_falls_by_more_than_two_boxes_is_named() -> None:
    before = [ClassMetrics("car", 0.5, 0.8, 100), ClassMetrics("bus", 0.5, 0.8, 4), ClassMetrics("van", None, None, 0)]
    after = [ClassMetrics("car", 0.5, 0.74, 100), ClassMetrics("bus", 0.5, 0.3, 4), ClassMetrics("van", None, None, 0)]
    assert problems_of_class_aps(before, after) == ()
    nearest, other = class_falls(before, after)  # 0.06 of 0.07 for the car, 0.5 of 0.55 for the bus
    assert (nearest.class_name, other.class_name) == ("car", "bus")
    assert (nearest.lost, nearest.most) == pytest.approx((0.06, 0.05 + 2 / 100))
    after[0] = ClassMetrics("car", 0.5, 0.72, 100)
    assert problems_of_class_aps(before, after) == (
        "AP50 of single classes falls: car from 0.8000 to 0.7200; expected by at most 0.05 and what 2 boxes are worth",
    )


def test_comparing_nothing_is_no_success() -> None:
    metrics: dict[str, dict[str, float | None]] = {SINGLE_LABEL: {"ap50": 0.0}, "deepstream": {"ap50": 0.0}}
    assert problems_of(parity(0, 0), metrics) == ("neither side reports a single box, so nothing was compared",)


def parity(matched: int, unexplained: int) -> Parity:
    return Parity(
        matched=matched,
        only_left=unexplained,
        only_right=0,
        iou_quantiles=(),
        score_difference_quantiles=(),
        per_class=(Counts(matched, unexplained, 0),),
        score_pairs=np.zeros((0, 2), np.float32),
        only_left_images=np.zeros(0, np.int64),
        only_right_images=np.zeros(0, np.int64),
    )


@pytest.mark.parametrize(
    ("unexplained", "after", "count"), [(10, 0.59, 0), (11, 0.59, 1), (0, 0.575, 1), (50, 0.3, 2), (0, None, 0)]
)
def test_each_limit_gives_one_problem(unexplained: int, after: float | None, count: int) -> None:
    metrics: dict[str, dict[str, float | None]] = {SINGLE_LABEL: {"ap50": 0.6}, "deepstream": {"ap50": after}}
    assert len(problems_of(parity(95, unexplained), metrics)) == count


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"confidence_threshold": 0.3}', "not an operating point"),
        ("[1, 2]", "not an operating point"),
        ('{"confidence_threshold": "high", "iou_threshold": 0.5}', "not an operating point"),
        (
            '{"confidence_threshold": 0.3, "iou_threshold": 0.5, "model": {"weights_sha256": "0"}}',
            "was chosen for other weights",
        ),
    ],
    ids=["one", "list", "text", "other weights"],
)
def test_a_wrong_operating_point_is_refused(
    model: Path, dataset: Path, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "point.json"
    path.write_text(content)
    with pytest.raises(EvaluationError, match=message):
        validate(model, dataset, path, tmp_path / "validation")


def test_a_missing_operating_point_is_named(model: Path, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="operating point"):
        validate(model, dataset, tmp_path / "none.json", tmp_path / "validation")


def test_an_empty_split_is_refused(model: Path, dataset: Path, point: Path, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="split 'val' has no pictures"):
        validate(model, dataset, point, tmp_path / "validation", split="val")


def test_a_model_without_onnx_is_refused(model: Path, dataset: Path, point: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "model.onnx").unlink()
    with pytest.raises(ModelError, match="run the export step on this model first"):
        validate(tmp_path / "model", dataset, point, tmp_path / "validation")


def test_an_onnx_file_of_other_weights_is_refused(model: Path, dataset: Path, point: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    weights = tmp_path / "model" / "model.weights"
    data = bytearray(weights.read_bytes())
    data[16] += 1  # the count of pictures seen
    weights.write_bytes(data)
    content = json.loads(point.read_text())
    del content["model"]
    point.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"was not made of model.weights beside it"):
        validate(tmp_path / "model", dataset, point, tmp_path / "validation")


def test_thresholds_of_classes_go_straight_into_their_groups(
    model: Path, unscaled_dataset: Path, point: Path, tmp_path: Path
) -> None:
    names = ModelFolder.open(model).classes
    one_for_all = validate(model, unscaled_dataset, point, tmp_path / "one", require_parity=True)
    own = dict(zip(names, (0.55, 0.3), strict=False))
    content = json.loads(point.read_text())
    point.write_text(json.dumps(content | {"class_thresholds": own}))
    summary = validate(model, unscaled_dataset, point, tmp_path / "own", require_parity=True)
    text = (tmp_path / "own" / "config_infer_primary.txt").read_text()
    assert f"[class-attrs-0]\n# {names[0]}\npre-cluster-threshold=0.55\n" in text
    config = NvinferConfig.read(tmp_path / "own" / "config_infer_primary.txt")
    found = [config.class_attributes(index).pre_cluster_threshold for index in range(len(names))]
    assert found == [own.get(name, 0.4) for name in names]
    # Both sides apply them, so they still agree, on other boxes than before.
    assert summary.passed
    assert [counts.matched for counts in summary.parity.per_class] != [
        counts.matched for counts in one_for_all.parity.per_class
    ]
    assert json.loads((tmp_path / "own" / "parity.json").read_text())["class_thresholds"] == own


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"TRAM": 0.5}, "class_thresholds: 'TRAM' is no class of the model; it has "),
        ({"CAR": "high"}, "class_thresholds: expected a number for each class name"),
        ([0.5], "class_thresholds: expected a number for each class name"),
    ],
)
def test_thresholds_of_no_class_are_refused(
    model: Path, unscaled_dataset: Path, point: Path, tmp_path: Path, thresholds: object, message: str
) -> None:
    point.write_text(json.dumps(json.loads(point.read_text()) | {"class_thresholds": thresholds}))
    with pytest.raises(EvaluationError, match=message):
        validate(model, unscaled_dataset, point, tmp_path / "out")


def test_best_class_only_keeps_one_score_a_box_and_the_first_of_equals() -> None:
    scores = np.array([[0.2, 0.7, 0.1], [0.4, 0.0, 0.4], [0.0, 0.0, 0.3]], dtype=np.float32)
    raw = RawDetections.from_dense(
        image_ids=np.array([1], dtype=np.int64),
        image_hw=np.array([[10, 10]], dtype=np.int32),
        offsets=np.array([0, 3], dtype=np.int64),
        boxes_xyxy=np.tile(np.array([[1, 1, 5, 5]], dtype=np.float32), (3, 1)),
        objectness=np.full(3, 0.8, dtype=np.float32),
        class_scores=scores,
        classes=("a", "b", "c"),
        protocol=Protocol("0", "0", (32, 32), "stretch", "x/test"),
    )
    kept = best_class_only(raw).class_scores_of(slice(None))
    assert kept.tolist() == [[0, scores[0, 1], 0], [scores[1, 0], 0, 0], [0, 0, scores[2, 2]]]
    assert raw.class_scores_of(slice(None)).tolist() == scores.tolist()
