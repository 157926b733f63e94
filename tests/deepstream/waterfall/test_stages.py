"""The waterfall as a whole on a tiny network: sums, causes, gates, how many inferences, and every stage that runs here."""

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from kitti_dump import write_kitti
from onnx import TensorProto, helper

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.simulate.simulator import Simulator
from traffic_yolo.deepstream.validate import at_floor
from traffic_yolo.deepstream.waterfall.options import WaterfallOptions
from traffic_yolo.deepstream.waterfall.sources import open_sources
from traffic_yolo.deepstream.waterfall.stages import run_waterfall
from traffic_yolo.deepstream.waterfall.waterfall import Stage, Waterfall
from traffic_yolo.detection.deployed_thresholds import DeployedThresholds
from traffic_yolo.detection.detect_split import detect_split
from traffic_yolo.detection.nms import Detections, NmsOptions
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError, ModelError, OptionsError, StorageError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.storage import write_json

DEPLOYED = DeployedThresholds(NmsOptions(0.4, 0.45), {})
Run = Callable[..., Waterfall]


@pytest.fixture
def run(model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A waterfall of the tiny model; `on`: another data set, `of`: another model folder."""
    monkeypatch.delenv("TRAFFIC_YOLO_DARKNET", raising=False)

    def waterfall(
        *, on: Path = dataset, of: Path = model, deployed: DeployedThresholds = DEPLOYED, **options: object
    ) -> Waterfall:
        folder, data = ModelFolder.open(of), DataSet.open(on)
        nms = deployed.nms
        config = deploy_config(folder, DeployOptions(nms.confidence_threshold, nms.iou_threshold))
        wanted = WaterfallOptions(waterfall=True, **options)  # type: ignore[arg-type]
        sources = open_sources(folder, config, data.split("test"), wanted)
        raw = detect_split(folder, data, "test")
        return run_waterfall(folder, data, "test", raw, deployed, sources, wanted, resamples=60)

    return waterfall


def stage(found: Waterfall, key: str) -> Stage:
    (one,) = [each for each in found.stages if each.key == key]
    return one


def test_every_stage_that_runs_here_is_there_and_the_rules_add_up(run: Run) -> None:
    found = run()
    assert [each.key for each in found.stages] == ["pytorch", "weights", "onnx", "simulator", "fp16"]
    assert found.inferences == 4  # ONNX on Darknet's inputs and on nvinfer's; FP16 and, for its boxes alone, float32
    for each in found.stages:
        for name, value in each.values.items():
            moved = sum(step.difference.value for row in each.rows for step in row.steps if step.name == name)
            assert moved == pytest.approx(value - each.start[name], abs=1e-12)
            if each.before:
                (together,) = [one for one in each.together if one.name == name]
                assert together.difference.value == pytest.approx(moved, abs=1e-12)
                assert together.difference.low <= moved <= together.difference.high
    assert [row.cause for row in stage(found, "simulator").rows] == ["resize", "edge", "NMS kind", "topk"]
    assert stage(found, "weights").note == "the same bytes: no inference was needed"
    assert stage(found, "simulator").start == stage(found, "onnx").values
    assert stage(found, "fp16").start == stage(found, "simulator").values


def test_the_last_rule_reaches_what_the_simulator_reports(model: Path, dataset: Path, run: Run) -> None:
    folder, data = ModelFolder.open(model), DataSet.open(dataset)
    config = deploy_config(folder, DeployOptions(confidence_threshold=0.4, iou_threshold=0.45))
    simulator = Simulator(config, model)
    frames = simulator.run(data.split("test"))
    expected = simulator.detections(frames, at_floor(config))
    captured: list[Detections] = []
    from traffic_yolo.deepstream.waterfall import stages as module

    report = module.reported

    def spy(*arguments: object) -> Detections:
        captured.append(report(*arguments))  # type: ignore[arg-type]
        return captured[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "reported", spy)
        run()
    same = [
        len(each) == len(expected)
        and all(
            np.array_equal(getattr(each, field.name), getattr(expected, field.name))
            for field in dataclasses.fields(each)
        )
        for each in captured
    ]
    assert any(same)
    assert not same[0]  # Darknet's own rules report others


@pytest.mark.long
def test_what_the_simulator_gave_already_saves_an_inference(
    model: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRAFFIC_YOLO_DARKNET", raising=False)
    folder, data = ModelFolder.open(model), DataSet.open(dataset)
    config = deploy_config(folder, DeployOptions(confidence_threshold=0.4, iou_threshold=0.45))
    wanted = WaterfallOptions(waterfall=True)
    sources = open_sources(folder, config, data.split("test"), wanted)
    raw, frames = detect_split(folder, data, "test"), Simulator(config, model).run(data.split("test"))
    given = run_waterfall(folder, data, "test", raw, DEPLOYED, sources, wanted, simulated=frames, resamples=20)
    made = run_waterfall(folder, data, "test", raw, DEPLOYED, sources, wanted, resamples=20)
    assert (given.inferences, made.inferences) == (3, 4)
    assert given.document()["stages"] == made.document()["stages"]


def nvinfer_file(model: Path, path: Path, changes: dict[str, str], everyone: dict[str, str] | None = None) -> str:
    config = deploy_config(ModelFolder.open(model), DeployOptions(confidence_threshold=0.4, iou_threshold=0.45))
    config = config.with_values("property", changes).with_values("class-attrs-all", everyone or {})
    path.write_text(config.to_text())
    return str(path)


def named(found: Waterfall, key: str = "simulator") -> set[str]:
    return {row.cause for row in stage(found, key).rows if row.named}


@pytest.mark.many(2)
@pytest.mark.parametrize(
    ("changes", "everyone", "cause"),
    [
        ({"model-color-format": "1"}, {}, "colour"),
        ({"maintain-aspect-ratio": "1", "infer-dims": "3;64;96"}, {}, "aspect"),
        ({}, {"pre-cluster-threshold": "0.9"}, "thresholds"),
        ({}, {"topk": "1"}, "topk"),
    ],
)
def test_a_wrong_key_fails_the_gate_and_is_the_cause_that_is_named(
    run: Run,
    model: Path,
    unscaled_dataset: Path,
    tall_dataset: Callable[[Path], Path],
    tmp_path: Path,
    changes: dict[str, str],
    everyone: dict[str, str],
    cause: str,
) -> None:
    on = tall_dataset(model) if cause == "aspect" else unscaled_dataset
    found = run(on=on, nvinfer_config=nvinfer_file(model, tmp_path / "config.txt", changes, everyone))
    assert cause in named(found)
    assert not stage(found, "simulator").passed
    assert stage(found, "onnx").passed


def test_on_pictures_of_the_networks_size_nothing_is_lost_and_nothing_named(run: Run, unscaled_dataset: Path) -> None:
    """At an overlap of 0.9, where boxes that are cut before NMS make no difference."""
    found = run(on=unscaled_dataset, deployed=DeployedThresholds(NmsOptions(0.4, 0.9), {}))
    assert named(found) <= {"edge"}
    assert found.problems == ()
    assert "WATERFALL FAILED" not in found.text


def test_padding_is_the_cause_of_a_letterbox_model(
    run: Run, export_tiny: Callable[..., Path], tall_dataset: Callable[[Path], Path]
) -> None:
    model = export_tiny(letterbox=True)
    found = run(of=model, on=tall_dataset(model))
    assert "padding" in named(found)
    assert [row.cause for row in stage(found, "simulator").rows][:2] == ["resize", "padding"]


def with_labels_swapped(model: Path, path: Path) -> str:
    """The model's ONNX file with label 0 called 1 and 1 called 0, and without metadata, as a foreign tool may leave it."""
    graph = onnx.load(model / "model.onnx")
    del graph.metadata_props[:]
    (output,) = [node for node in graph.graph.node if "output" in node.output]
    output.output[list(output.output).index("output")] = "unswapped"
    signs = helper.make_tensor("signs", TensorProto.FLOAT, [6], [1, 1, 1, 1, 1, -1])
    ones = helper.make_tensor("ones", TensorProto.FLOAT, [6], [0, 0, 0, 0, 0, 1])
    graph.graph.initializer.extend([signs, ones])
    graph.graph.node.extend(
        [
            helper.make_node("Mul", ["unswapped", "signs"], ["turned"]),
            helper.make_node("Add", ["turned", "ones"], ["output"]),
        ]
    )
    onnx.save(graph, path)
    return str(path)


def test_labels_that_are_swapped_fail_their_stage_by_name(run: Run, model: Path, tmp_path: Path) -> None:
    found = run(int8_onnx=with_labels_swapped(model, tmp_path / "int8.onnx"))
    failed = stage(found, "int8")
    assert not failed.passed
    assert any("look whether labels are shifted or swapped" in problem for problem in failed.problems)
    assert stage(found, "simulator").before == "onnx"
    assert found.scalars["waterfall_passed"] == 0
    assert found.scalars["waterfall_ap50_int8"] < -0.3


def app_run(folder: Path, found: Detections, image_ids: list[int], classes: tuple[str, ...]) -> str:
    parts = [image_ids[:3], image_ids[3:]]  # as of pictures of two sizes, each a run of its own
    for number, part in enumerate(parts):
        (folder / str(number) / "kitti").mkdir(parents=True)
        write_kitti(folder / str(number) / "kitti", found.select(np.isin(found.image_ids, part)), part, classes)
    listed = [{"folder": str(n), "width": 4000, "height": 4000, "image_ids": part} for n, part in enumerate(parts)]
    write_json(folder / "frames.json", {"parts": listed})
    return str(folder)


@pytest.fixture
def simulated(model: Path, dataset: Path) -> Detections:
    config = deploy_config(ModelFolder.open(model), DeployOptions(confidence_threshold=0.4, iou_threshold=0.45))
    simulator = Simulator(config, model)
    return simulator.detections(simulator.run(DataSet.open(dataset).split("test")))


@pytest.mark.long
def test_a_run_of_deepstream_is_held_against_the_simulator(
    run: Run, model: Path, dataset: Path, simulated: Detections, tmp_path: Path
) -> None:
    classes = ModelFolder.open(model).classes
    image_ids = [picture.image_id for picture in DataSet.open(dataset).split("test")]
    found = run(deepstream_run=app_run(tmp_path / "run", simulated, image_ids, classes))
    own = stage(found, "deepstream")
    assert own.passed
    assert own.boxes.only_left == own.boxes.only_right == 0
    assert own.values["f1"] == pytest.approx(stage(found, "simulator").values["f1"], abs=1e-9)
    swapped = dataclasses.replace(simulated, class_ids=1 - simulated.class_ids)
    found = run(deepstream_run=app_run(tmp_path / "swapped", swapped, image_ids, classes))
    assert any("shifted or swapped" in problem for problem in stage(found, "deepstream").problems)


def test_a_run_on_some_of_the_pictures_is_judged_on_these(
    run: Run, model: Path, dataset: Path, simulated: Detections, tmp_path: Path
) -> None:
    image_ids = [picture.image_id for picture in DataSet.open(dataset).split("test")][:5]
    part = simulated.select(np.isin(simulated.image_ids, image_ids))
    found = run(deepstream_run=app_run(tmp_path / "run", part, image_ids, ModelFolder.open(model).classes))
    own = stage(found, "deepstream")
    assert own.passed
    assert "on 5 of the pictures" in own.note
    with pytest.raises(EvaluationError, match="no pictures of the split, the first is picture 9"):
        run(deepstream_run=app_run(tmp_path / "other", part, [*image_ids, 9], ModelFolder.open(model).classes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"int8_onnx": "none.onnx"}, "ONNX file"),
        ({"nvinfer_config": "none.txt"}, "nvinfer configuration"),
        ({"deepstream_run": "none"}, "run of deepstream-app"),
        ({"engine": "none.engine"}, "TensorRT engine"),
    ],
)
def test_what_is_not_there_is_named_before_anything_runs(
    run: Run, options: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.detect_split", None)
    with pytest.raises(StorageError, match=message):
        run(**options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num-detected-classes": "3"}, "num-detected-classes=3, the model has 2 classes"),
        ({"infer-dims": "3;32;32"}, "infer-dims=3;32;32, the model takes 3;64;96"),
        ({"cluster-mode": "1"}, "cluster-mode=1 cannot be simulated"),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    run: Run, model: Path, tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        run(nvinfer_config=nvinfer_file(model, tmp_path / "config.txt", changes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mux_size": "1920"}, "mux_size: expected width x height, such as 1920x1080, found '1920'"),
        ({"waterfall": False, "nv12": True}, "nv12: concerns the waterfall alone; set waterfall too"),
        (
            {"deepstream_run": "run", "mux_size": "8x8"},
            "mux_size: a run of deepstream-app has the pictures as they are",
        ),
        ({"max_drop": 2.0}, "max_drop"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        WaterfallOptions(**{"waterfall": True, **options})  # type: ignore[arg-type]


@pytest.mark.long
def test_the_document_is_plain_json_and_the_same_every_time(run: Run) -> None:
    one, other = (json.dumps(run().document()) for _ in range(2))
    assert one == other
    assert json.loads(one)["stages"][0]["key"] == "pytorch"


def test_a_second_label_is_a_cause_that_no_gate_holds_against_the_file(
    model: Path, unscaled_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every box also under the other class, a little weaker: PyTorch reports all of them, the ONNX file the best."""
    monkeypatch.delenv("TRAFFIC_YOLO_DARKNET", raising=False)
    folder, data = ModelFolder.open(model), DataSet.open(unscaled_dataset)
    raw = detect_split(folder, data, "test")
    best = raw.class_scores_of(slice(None)).max(axis=1, keepdims=True)
    scores = np.where(raw.class_scores_of(slice(None)) == best, best, np.float32(0.9) * best)
    doubled = RawDetections.from_dense(
        image_ids=raw.image_ids, image_hw=raw.image_hw, offsets=raw.offsets, boxes_xyxy=raw.boxes_xyxy,
        objectness=raw.objectness, class_scores=scores, classes=raw.classes, protocol=raw.protocol,
    )  # fmt: skip
    wanted = WaterfallOptions(waterfall=True)
    config = deploy_config(folder, DeployOptions(0.4, 0.9))
    sources = open_sources(folder, config, data.split("test"), wanted)
    deployed = DeployedThresholds(NmsOptions(0.4, 0.9), {})
    found = run_waterfall(folder, data, "test", doubled, deployed, sources, wanted, resamples=60)
    own = stage(found, "onnx")
    single, arithmetic = own.rows
    assert single.cause in named(found, "onnx")
    assert single.is_expected
    assert not arithmetic.named
    assert own.together[0].difference.value == single.steps[0].difference.value > 0.02
    assert own.boxes.only_left > 100
    assert found.problems == ()


@pytest.mark.long
def test_weights_that_are_written_wrongly_cost_an_inference_and_fail(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    save = Network.save_weights

    def wrong(self: Network, path: Path) -> None:
        save(self, path)
        content = path.read_bytes()
        path.write_bytes(content[:-800] + bytes(800))  # most of the head's kernels

    monkeypatch.setattr(Network, "save_weights", wrong)
    found = run()
    own = stage(found, "weights")
    assert not own.passed
    assert own.note == "other weights than in the file that was read"
    assert found.inferences == 5
    assert stage(found, "onnx").passed


@pytest.mark.skipif(not os.environ.get("TRAFFIC_YOLO_DARKNET"), reason="TRAFFIC_YOLO_DARKNET names no program")
def test_darknets_program_is_the_first_stage(model: Path, dataset: Path) -> None:
    folder, data = ModelFolder.open(model), DataSet.open(dataset)
    wanted = WaterfallOptions(waterfall=True)
    sources = open_sources(folder, deploy_config(folder, DeployOptions(0.4, 0.45)), data.split("test"), wanted)
    raw = detect_split(folder, data, "test")
    found = run_waterfall(folder, data, "test", raw, DEPLOYED, sources, wanted, resamples=20)
    assert [each.key for each in found.stages][:2] == ["darknet", "pytorch"]
    pytorch = stage(found, "pytorch")
    assert [(row.cause, bool(row.named), row.is_expected) for row in pytorch.rows] == [
        ("arithmetic", False, False),
        ("NMS of valid", True, True),
    ]
    assert pytorch.passed
