"""The folder for a GPU node: complete, and its dump compared like any other detections (no GPU was asked)."""

import configparser
import dataclasses
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest
from kitti_dump import write_kitti

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config, named_by_content
from traffic_yolo.deepstream.config.lint import lint
from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.parity.agreement import compare
from traffic_yolo.deepstream.run.deepstream_app import read_app_run, read_manifest, write_app_run
from traffic_yolo.deepstream.simulate.simulator import Simulator
from traffic_yolo.errors import EvaluationError, ModelError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.storage import sha256_of_file


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
    application.read(run / "192x128" / "deepstream_app.txt")
    assert (run / "192x128" / application["application"]["gie-kitti-output-dir"]).is_dir()
    pattern = unquote(application["source0"]["uri"].removeprefix("multifile://"))  # as GStreamer decodes it
    for frame, picture in enumerate(pictures):
        assert Path(pattern % frame).read_bytes() == picture.path.read_bytes()
    assert (application["streammux"]["width"], application["streammux"]["height"]) == ("192", "128")
    assert application["sink0"]["sync"] == "0"
    report = lint(run / "192x128" / "deepstream_app.txt", model=model)
    assert [finding.rule for finding in report.findings] == ["missing-file"]  # the parser's library
    written = NvinferConfig.read(run / "192x128" / application["primary-gie"]["config-file"])
    digest = sha256_of_file(model / "model.onnx")[:12]
    assert written == named_by_content(config, digest)
    assert written.text("onnx-file") == f"model-{digest}.onnx"
    # nvinfer's own name for the engine of that file, so that it finds it again, and none of other weights
    assert written.text("model-engine-file") == f"model-{digest}.onnx_b1_gpu0_fp32.engine"
    assert (run / written.text("onnx-file")).read_bytes() == (model / "model.onnx").read_bytes()
    assert (run / written.text("labelfile-path")).is_file()


@pytest.mark.skipif(shutil.which("gst-launch-1.0") is None, reason="GStreamer is not installed")
@pytest.mark.parametrize("name", ["run", "a run at 100% (new)"])
def test_gstreamer_reads_the_frames_of_the_folder_in_order(
    model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path, name: str
) -> None:
    """The source half of deepstream-app's pipeline, with GStreamer's own decoder; no GPU."""
    pictures = DataSet.open(dataset).split("test")[:4]
    run = tmp_path / name
    write_app_run(run, pictures, model, config, run_folder=str(run))
    application = configparser.ConfigParser(interpolation=None)
    application.read(run / "192x128" / "deepstream_app.txt")
    source = f"uridecodebin uri={application['source0']['uri']} ! videoconvert ! video/x-raw,format=GRAY8"
    out = tmp_path / "frames.raw"
    command = ["gst-launch-1.0", "-q", *source.split(), "!", "filesink", f"location={out}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    frames = np.frombuffer(out.read_bytes(), np.uint8).reshape(-1, 128, 192)
    assert len(frames) == len(pictures)
    for frame, picture in zip(frames, pictures, strict=True):
        expected = cv2.imread(str(picture.path), cv2.IMREAD_GRAYSCALE)
        assert np.abs(frame.astype(int) - expected).mean() < 4  # videoconvert scales the range; another picture: 50
    assert np.abs(frames[0].astype(int) - frames[1]).mean() > 20


@pytest.mark.parametrize("folder", ["/node/a\\b", "/node/a\nb"])
def test_a_run_folder_that_a_key_file_cannot_hold_is_refused(
    model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path, folder: str
) -> None:
    pictures = DataSet.open(dataset).split("test")[:1]
    with pytest.raises(EvaluationError, match="expected a path without backslashes and control characters"):
        write_app_run(tmp_path / "run", pictures, model, config, run_folder=folder)


def test_labels_in_another_order_are_refused(model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "labels.txt").write_text("traffic_light\nCAR\n")
    pictures = DataSet.open(dataset).split("test")[:1]
    with pytest.raises(ModelError, match=r"labels.txt: not the labels of classes.names beside it"):
        write_app_run(tmp_path / "run", pictures, tmp_path / "model", config, run_folder="/node/run")
    assert not (tmp_path / "run").exists()


def test_a_dump_of_the_simulator_agrees_with_the_simulator(
    model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path
) -> None:
    pictures = DataSet.open(dataset).split("test")
    run = tmp_path / "run"
    write_app_run(run, pictures, model, config, run_folder="/node/run")
    simulator = Simulator(config, model)
    found = simulator.detections(simulator.run(pictures))
    classes = ModelFolder.open(model).classes
    write_kitti(run / "192x128" / "kitti", found, [picture.image_id for picture in pictures], classes)
    dumped = read_app_run(run, classes)
    parity = compare(found, dumped, num_classes=len(classes), confidence_threshold=0.25)
    assert parity.matched == len(found) == len(dumped) > 10
    assert (parity.agreement, parity.second_labels) == (1, 0)


def test_pictures_of_each_size_and_kind_are_a_part_of_their_own(
    model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path
) -> None:
    pictures = list(DataSet.open(dataset).split("test")[:4])
    pixels = cv2.imread(str(pictures[0].path))
    cv2.imwrite(str(tmp_path / "small.jpg"), pixels[:50, :60])
    cv2.imwrite(str(tmp_path / "lossless.jpg.png"), pixels)
    pictures[1] = dataclasses.replace(pictures[1], path=tmp_path / "small.jpg", width=60, height=50)
    pictures[3] = dataclasses.replace(pictures[3], path=tmp_path / "lossless.jpg.png")
    parts = write_app_run(tmp_path / "run", pictures, model, config, run_folder="/node/run")
    assert [(part.folder, part.image_ids) for part in parts] == [
        ("60x50", (101,)),
        ("192x128", (100, 102)),
        ("192x128-png", (103,)),
    ]
    assert parts == read_manifest(tmp_path / "run")
    assert (tmp_path / "run" / "192x128-png" / "frames" / "000000.png").is_file()
    text = (tmp_path / "run" / "192x128-png" / "deepstream_app.txt").read_text()
    assert "uri=multifile:///node/run/192x128-png/frames/%2506d.png\n" in text
    text = (tmp_path / "run" / "60x50" / "deepstream_app.txt").read_text()
    assert "width=60\nheight=50\n" in text
    assert "config-file=../config_infer_primary.txt\n" in text


def test_a_picture_of_another_size_or_kind_than_is_said_is_refused(
    model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path
) -> None:
    picture = DataSet.open(dataset).split("test")[0]
    with pytest.raises(EvaluationError, match=r"192 x 128, but the data set says 100 x 128"):
        write_app_run(tmp_path / "a", [dataclasses.replace(picture, width=100)], model, config, run_folder="/a")
    (tmp_path / "a.bmp").write_bytes(b"BM")
    with pytest.raises(EvaluationError, match="a.bmp: expected a JPEG or PNG file"):
        bitmap = dataclasses.replace(picture, path=tmp_path / "a.bmp")
        write_app_run(tmp_path / "a", [bitmap], model, config, run_folder="/a")
    with pytest.raises(EvaluationError, match="a run takes pictures, found none"):
        write_app_run(tmp_path / "a", [], model, config, run_folder="/a")
    assert not (tmp_path / "a").exists()


def test_a_relative_run_folder_is_refused(model: Path, dataset: Path, config: NvinferConfig, tmp_path: Path) -> None:
    pictures = DataSet.open(dataset).split("test")[:1]
    with pytest.raises(EvaluationError, match="expected its absolute path"):
        write_app_run(tmp_path / "run", pictures, model, config, run_folder="run")


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "frames.json").write_text("{}")
    with pytest.raises(EvaluationError, match="not a frame manifest"):
        read_app_run(tmp_path, ("CAR",))
