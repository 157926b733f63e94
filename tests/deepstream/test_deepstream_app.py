"""The folder for a GPU node: complete, and its dump compared like any other detections (no GPU was asked)."""

import configparser
import dataclasses
from pathlib import Path

import pytest

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.deepstream_app import compare_app_run, read_app_run, write_app_run
from traffic_yolo.deepstream.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.kitti import write_kitti
from traffic_yolo.deepstream.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.simulator import Simulator
from traffic_yolo.errors import EvaluationError, ModelError
from traffic_yolo.model_folder import ModelFolder


@pytest.fixture
def config(model: Path) -> NvinferConfig:
    return deploy_config(ModelFolder.open(model), DeployOptions())


def test_the_folder_holds_all_that_its_files_name(
    model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path
) -> None:
    pictures = DataSet.open(dataset).split("test")
    run = tmp_path / "run"
    write_app_run(run, pictures, model, config, run_folder=str(run))
    application = configparser.ConfigParser(interpolation=None)
    application.read(run / "deepstream_app.txt")
    assert Path(application["application"]["gie-kitti-output-dir"]).is_dir()
    pattern = application["source0"]["uri"].removeprefix("multifile://")
    for frame, picture in enumerate(pictures):
        assert Path(pattern % frame).read_bytes() == picture.path.read_bytes()
    assert (application["streammux"]["width"], application["streammux"]["height"]) == ("192", "128")
    assert application["sink0"]["sync"] == "0"
    written = NvinferConfig.read(run / application["primary-gie"]["config-file"])
    assert written == config
    assert (run / written.text("onnx-file")).is_file()
    assert (run / written.text("labelfile-path")).is_file()


def test_a_dump_of_the_simulator_agrees_with_the_simulator(
    model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path
) -> None:
    pictures = DataSet.open(dataset).split("test")
    run = tmp_path / "run"
    write_app_run(run, pictures, model, config, run_folder="/node/run")
    simulator = Simulator(config, model)
    found = simulator.detections(simulator.run(pictures))
    classes = ModelFolder.open(model).classes
    write_kitti(run / "kitti", found, [picture.image_id for picture in pictures], classes)
    parity = compare_app_run(run, found, classes, confidence_threshold=0.25)
    assert parity.matched == len(found) > 10
    assert parity.agreement == 1
    swapped = dataclasses.replace(found, class_ids=1 - found.class_ids)
    write_kitti(run / "kitti", swapped, [picture.image_id for picture in pictures], classes)
    with pytest.raises(ModelError, match=r"boxes have no partner .* look whether labels are shifted or swapped"):
        compare_app_run(run, found, classes, confidence_threshold=0.25)
    assert compare_app_run(run, found, classes, confidence_threshold=0.25, require_parity=False).second_labels == 0


def test_pictures_of_two_sizes_are_refused(model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path) -> None:
    pictures = DataSet.open(dataset).split("test")[:2]
    pictures[1] = dataclasses.replace(pictures[1], width=100)
    with pytest.raises(EvaluationError, match="found 100 x 128, 192 x 128; write one run for each size"):
        write_app_run(tmp_path / "run", pictures, model, config, run_folder="/node/run")


def test_a_relative_run_folder_is_refused(model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path) -> None:
    pictures = DataSet.open(dataset).split("test")[:1]
    with pytest.raises(EvaluationError, match="expected its absolute path"):
        write_app_run(tmp_path / "run", pictures, model, config, run_folder="run")


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "frames.json").write_text("{}")
    with pytest.raises(EvaluationError, match="not a frame manifest"):
        read_app_run(tmp_path, ("CAR",))
