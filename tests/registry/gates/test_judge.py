"""Measuring versions on the same pictures: real networks for what is inferred, imagined ones for what is shared."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from judged_runs import CLASSES, detections, write_set
from judged_runs import publish as publish_at_hand
from written_data_set import state_again

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import Protocol
from traffic_yolo.errors import EvaluationError
from traffic_yolo.evaluation.compare import compare
from traffic_yolo.evaluation.evaluate import evaluate
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.metrics.bootstrap import ap_of_resamples, class_ap_of_resamples
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.match_table import match_table
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.registry.gates import judge as judging
from traffic_yolo.registry.gates.gate import UNDECIDED
from traffic_yolo.registry.gates.numbers import mean_of_defined, numbers_of
from traffic_yolo.registry.gates.rules import GateRules
from traffic_yolo.registry.zoo import Published, publish
from traffic_yolo.storage import sha256_of_file

MakeRun = Callable[..., dict[str, Path]]


def run_of(model: Path, dataset: Path, root: Path) -> dict[str, Path]:
    """The folders of a run of a real network: evaluated for real; what tune, export and validate add is made up."""
    shutil.copytree(model, root / "model")
    (root / "model" / "model.onnx").write_bytes(b"graph")
    names = (model / "classes.names").read_text()
    (root / "model" / "labels.txt").write_text(names.replace(" ", "_"))
    (root / "model" / "export.json").write_text("{}")
    evaluate(root / "model", dataset, root / "evaluation")
    for folder in ("tuning", "validation"):
        (root / folder).mkdir()
    thresholds = {"confidence_threshold": 0.3, "iou_threshold": 0.45}
    hashes = {f"{name}_sha256": sha256_of_file(root / "model" / f"model.{name}") for name in ("cfg", "weights")}
    point = {**thresholds, "model": hashes, "test": {"precision": 0.5, "recall": 0.5, "f1": 0.5}}
    (root / "tuning" / "operating_point.json").write_text(json.dumps(point))
    parity = {"passed": True, "problems": [], "agreement": 1.0, "nms": thresholds, "protocol": hashes}
    (root / "validation" / "parity.json").write_text(json.dumps(parity))
    for name in ("config_infer_primary.txt", "config_infer_primary_darknet.txt"):
        (root / "validation" / name).write_text("[property]\n")
    return {folder: root / folder for folder in ("model", "evaluation", "tuning", "validation")}


@pytest.fixture(scope="module")
def dataset(untrained_model: Path, small_data_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures whose truth is what a network of random weights sees in them, so that it is a good one for them."""
    root = Path(shutil.copytree(small_data_set, tmp_path_factory.mktemp("seen") / "dataset"))
    data = DataSet.open(root)
    found = non_maximum_suppression(detect_split(ModelFolder.open(untrained_model), data, "test"), NmsOptions())
    path = root / "annotations" / "instances_test.json"
    content = json.loads(path.read_text())
    content["annotations"] = [
        {"id": row, "image_id": int(image_id), "category_id": int(class_id) + 1, "iscrowd": 0,
         "bbox": [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]}
        for row, (image_id, class_id, box) in enumerate(
            zip(found.image_ids, found.class_ids, found.boxes_xyxy, strict=True), start=1
        )
    ]  # fmt: skip
    path.write_text(json.dumps(content))
    state_again(root)
    return root


@pytest.fixture(scope="module")
def runs(untrained_model: Path, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Path]]:
    """Runs of two networks of one cfg, the second a little off the first."""
    root = tmp_path_factory.mktemp("runs")
    other = shutil.copytree(untrained_model, root / "other")
    network = Network(Cfg.read(other / "model.cfg"), seed=5)
    network.load_weights(other / "model.weights")
    for head in network.heads:
        network.layers[head.layer_index - 1].conv.weight.data *= 0.8
    network.save_weights(other / "model.weights")
    return [run_of(model, dataset, root / name) for name, model in (("a", untrained_model), ("b", other))]


def change_of(published: Published, name: str) -> float:
    (found,) = (gate.measured for gate in published.gates if gate.name == name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "at_hand", [pytest.param(False, id="inferred", marks=pytest.mark.long), pytest.param(True, id="at hand")]
)
def test_the_version_in_use_is_measured_as_evaluate_measures_it(
    runs: list[dict[str, Path]], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_hand: bool
) -> None:
    inferred: list[str] = []
    really = judging.Judge._detected
    monkeypatch.setattr(judging.Judge, "_detected", lambda *given: inferred.append("once") or really(*given))
    earlier = tuple(str(run["evaluation"]) for run in reversed(runs)) if at_hand else ()
    rules = GateRules(accept_few=True, earlier_detections=earlier)
    given = {"dataset": dataset, "zoo": tmp_path / "zoo", "name": "m", "rules": rules}
    publish(**runs[0], **given)  # type: ignore[arg-type]
    published = publish(**runs[1], **given)  # type: ignore[arg-type]
    compared = compare(runs[0]["evaluation"], runs[1]["evaluation"], dataset)
    (ap50,) = (each for each in compared.differences if each.name == "ap50")
    assert ap50.first > ap50.second > 0
    assert change_of(published, "in_use_map50") == ap50.second - ap50.first
    assert f"{ap50.second:.3f} instead of {ap50.first:.3f}" in published.text
    assert len(inferred) == (0 if at_hand else 1)


def test_f1_is_that_of_the_thresholds_each_version_is_deployed_with(make_run: MakeRun, tmp_path: Path) -> None:
    """Scores of .9 all of them: a version deployed at .95 finds nothing, one with .95 for a class only that class not."""
    zoo = tmp_path / "zoo"
    publish_at_hand(**make_run(0, boxes=5), zoo=zoo, name="m")
    for seed, point, expected in ((1, {"confidence_threshold": 0.95}, 0.0),
                                  (2, {"class_thresholds": {"CAR": 0.95}}, 2 / 3)):  # fmt: skip
        run = make_run(seed, boxes=5)
        path = run["tuning"] / "operating_point.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **point}))
        parity = run["validation"] / "parity.json"
        content = json.loads(parity.read_text())
        content["nms"] |= {key: value for key, value in point.items() if key in content["nms"]}
        parity.write_text(json.dumps(content))
        rules = GateRules(metric="f1")
        assert change_of(publish_at_hand(**run, zoo=zoo, name="m", rules=rules), "in_use_f1") == pytest.approx(
            expected - 1
        )


def test_only_classes_that_both_know_count_and_the_others_are_named(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    publish_at_hand(**make_run(0, boxes=10), zoo=zoo, name="m")
    run = with_a_third_class(make_run(1, boxes=10), found={"CAR": 1.0, "traffic light": 1.0, "BUS": 0.0})
    known = {"CAR": 1.0, "traffic light": 1.0, "BUS": 0.0}
    with_a_third_class(make_run(0, boxes=10), found=known, keep_model=True)  # what the old one finds here is at hand
    published = publish_at_hand(**run, zoo=zoo, name="m")
    assert change_of(published, "in_use_map50") == 0  # BUS, of which it finds none, does not count
    assert "classes of one alone do not count: BUS" in published.text
    assert not [gate for gate in published.gates if "BUS" in gate.name]


def with_a_third_class(run: dict[str, Path], *, found: dict[str, float], keep_model: bool = False) -> dict[str, Path]:
    """A run on a data set that has BUS too; the model knows it, or (`keep_model`) is the one that it was."""
    classes = (*CLASSES, "BUS")
    shutil.rmtree(run["model"].parent / "dataset")
    fingerprint = "e" * 64
    data = write_set(run["model"].parent / "dataset", fingerprint, boxes=10, classes=classes)
    record = EvaluationRecord.read(run["evaluation"] / "record.json")
    protocol = {**record.protocol, "images_fingerprint": f"{fingerprint}/test"}
    if not keep_model:
        cfg = run["model"] / "model.cfg"
        cfg.write_text(cfg.read_text().replace("filters=14", "filters=16").replace("classes=2", "classes=3"))
        (run["model"] / "classes.names").write_text("".join(f"{name}\n" for name in classes))
        (run["model"] / "labels.txt").write_text("CAR\ntraffic_light\nBUS\n")
        protocol["cfg_sha256"] = sha256_of_file(cfg)
        for path in (run["tuning"] / "operating_point.json", run["validation"] / "parity.json"):
            content = json.loads(path.read_text())
            content["model" if path.name.startswith("op") else "protocol"]["cfg_sha256"] = protocol["cfg_sha256"]
            path.write_text(json.dumps(content))
    judged_by = {"fingerprint": fingerprint, "ground_truth_sha256": sha256_of_file(data.coco_path("test"))}
    record = dataclasses.replace(record, classes=classes, protocol=protocol, data={**record.data, **judged_by})
    record.write(run["evaluation"] / "record.json")
    made = detections(data, Protocol(**protocol), found)
    made = dataclasses.replace(made, classes=CLASSES) if keep_model else made  # of BUS it has no score
    made.save(run["evaluation"] / "detections_test.npz")
    return run


def test_a_version_without_a_class_in_common_leaves_the_gate_undecided(make_run: MakeRun, tmp_path: Path) -> None:
    zoo = tmp_path / "zoo"
    old = make_run(0)
    for name, text in (("classes.names", "TRAM\nSHIP\n"), ("labels.txt", "TRAM\nSHIP\n")):
        (old["model"] / name).write_text(text)
    publish_at_hand(**old, zoo=zoo, name="m")
    published = publish_at_hand(**make_run(1), zoo=zoo, name="m")
    verdicts = {gate.name: gate.verdict for gate in published.gates}
    assert verdicts["in_use_map50"] == UNDECIDED
    assert "it has no class in common with the new version" in published.text


def test_detections_of_other_pictures_than_the_record_says_are_refused(make_run: MakeRun, tmp_path: Path) -> None:
    run, other = make_run(0), make_run(1)
    shutil.copyfile(other["evaluation"] / "detections_test.npz", run["evaluation"] / "detections_test.npz")
    with pytest.raises(EvaluationError, match=r"detections_test\.npz: not of the model and the pictures of the record"):
        publish_at_hand(**run, zoo=tmp_path / "zoo", name="m")


def test_the_numbers_on_a_resample_are_those_of_the_pictures_repeated() -> None:
    """Against `ap_of_resamples`, whose oracle is pycocotools."""
    rng = np.random.default_rng(3)
    owners = np.repeat(np.arange(8), 3)
    boxes = np.concatenate([rng.uniform(0, 90, (24, 2)), rng.uniform(8, 30, (24, 2))], axis=1)
    truth = GroundTruth(("CAR", "BUS", "TRAM"), np.arange(1, 9), owners, boxes, rng.integers(0, 2, 24),
                        boxes[:, 2] * boxes[:, 3], np.zeros(24, bool))  # fmt: skip
    moved = boxes + rng.normal(0, 2, boxes.shape)
    found = Detections(truth.image_ids[owners], np.c_[moved[:, :2], moved[:, :2] + moved[:, 2:]].astype(np.float32),
                       rng.random(24).astype(np.float32), truth.class_ids)  # fmt: skip
    weights = rng.multinomial(8, np.full(8, 1 / 8), size=6)
    weights[0] = 0
    weights[0, truth.truth_pictures[truth.class_ids == 0][0]] = 8  # a resample with few truths
    table = match_table(found, truth)
    ap, ap50 = ap_of_resamples(table, weights)
    by_class = class_ap_of_resamples(table, weights)
    assert by_class.shape == (6, 10, 3)
    assert np.isnan(by_class[:, :, 2]).all()  # no truth of TRAM
    np.testing.assert_allclose(mean_of_defined(by_class, (1, 2)), ap, atol=1e-12)
    np.testing.assert_allclose(mean_of_defined(by_class[:, :1], (1, 2)), ap50, atol=1e-12)
    for metric, expected in (("map", ap), ("map50", ap50)):
        numbers = numbers_of(found, found, truth, metric=metric, thresholds=[0.5] * 3, weights=weights)
        np.testing.assert_allclose(numbers.samples, expected, atol=1e-12)
        np.testing.assert_allclose(numbers.class_samples["CAR"], by_class[:, 0, 0], atol=1e-12)
        assert set(numbers.class_ap50) == {"CAR", "BUS"}
