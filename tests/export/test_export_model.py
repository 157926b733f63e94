"""The step export: what the model folder holds, and what a mistake leaves behind (nothing)."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import DarknetFormatError, ModelError, StorageError
from traffic_yolo.export.export_model import export_files, export_model
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.onnx_file import onnx_metadata

WriteModel = Callable[..., Path]


def write_pictures(folder: Path, count: int) -> Path:
    """A data set folder as far as export looks at it."""
    images = folder / "images" / "recording"
    images.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for index in range(count):
        picture = generator.integers(0, 256, (50, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(images / f"SCAN_{index:05d}.jpg"), picture)
    return folder


def test_the_folder_holds_the_pair_byte_for_byte_with_labels_onnx_and_description(
    write_model: WriteModel, tmp_path: Path
) -> None:
    run = write_model()
    (run / "options.yaml").write_text("learning_rate: 0.01\nseed: 3\n")
    out = tmp_path / "model"
    summary = export_model(run, out)
    assert sorted(path.name for path in out.iterdir()) == [
        "classes.names",
        "export.json",
        "labels.txt",
        "model.cfg",
        "model.onnx",
        "model.weights",
    ]
    for name in ("model.cfg", "model.weights", "classes.names"):
        assert (out / name).read_bytes() == (run / name).read_bytes()
    assert (out / "labels.txt").read_text() == "CAR\ntraffic_light\n"
    assert ModelFolder.open(out).onnx_path == out / "model.onnx"

    description = json.loads((out / "export.json").read_text())
    assert description["renamed_labels"] == {"traffic light": "traffic_light"}
    assert description["network"] == {"width": 96, "height": 64}
    assert description["resize"] == "stretch"
    assert description["training"] == {"learning_rate": 0.01, "seed": 3}
    for name, digest in description["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert summary.weights_sha256 == description["sha256"]["model.weights"]
    assert summary.max_score_difference < 1e-5
    assert "differs from PyTorch by at most" in summary.text
    metadata = onnx_metadata(out / "model.onnx")
    assert metadata["weights_sha256"] == summary.weights_sha256
    assert metadata["classes"] == "CAR,traffic_light"


@pytest.mark.parametrize("letterbox", [False, True], ids=["stretch", "letterbox"])
def test_pictures_of_the_data_set_are_compared(write_model: WriteModel, tmp_path: Path, letterbox: bool) -> None:
    dataset = write_pictures(tmp_path / "dataset", 10)
    out = tmp_path / "model"
    summary = export_model(write_model(letterbox=letterbox), out, dataset=dataset)
    assert summary.pictures == 8
    description = json.loads((out / "export.json").read_text())
    assert description["onnx_against_pytorch"]["inputs"] == 9
    assert description["resize"] == ("letterbox" if letterbox else "stretch")


def test_pictures_of_any_folder_are_compared(write_model: WriteModel, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "dataset", 3) / "images"
    (folder / "notes.txt").write_text("no picture")
    (folder / "recording" / "SCAN_00002.jpg").rename(folder / "last.JPEG")
    summary = export_model(write_model(), tmp_path / "model", pictures=folder)
    assert (summary.pictures, summary.boxes > 100) == (3, True)
    assert f"({summary.boxes} boxes of 3 pictures and noise)" in summary.text


def test_a_folder_without_pictures_is_refused(write_model: WriteModel, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").touch()
    with pytest.raises(ModelError, match=r"folder: no pictures \(\*.jpg, \*.jpeg\) to compare"):
        export_model(write_model(), tmp_path / "model", pictures=tmp_path / "folder")


def test_a_comparison_without_a_box_is_not_called_agreement(write_model: WriteModel, tmp_path: Path) -> None:
    """A detector that is silent on noise, as trained ones are: zero boxes compare as equal whatever the file holds."""
    run = write_model()
    network = Network.from_cfg(run / "model.cfg")
    network.load_weights(run / "model.weights")
    for head, convolution in ((4, 3), (8, 7)):
        assert isinstance(network.layers[head], torch.nn.Identity)
        bias = network.layers[convolution].get_submodule("conv").get_parameter("bias")
        bias.data.view(3, 7)[:, 4] = -100  # objectness
    network.save_weights(run / "model.weights")
    alone = export_model(run, tmp_path / "alone")
    assert alone.boxes == 0
    assert "ONNX WAS NOT COMPARED with PyTorch" in alone.text
    assert "on noise alone; give pictures of what the model knows (--dataset or --check-pictures)" in alone.text
    dataset = write_pictures(tmp_path / "dataset", 2)
    assert "on 2 pictures and noise; give" in export_model(run, tmp_path / "with", dataset=dataset).text
    record = json.loads((tmp_path / "alone" / "export.json").read_text())["onnx_against_pytorch"]
    assert record["boxes"] == 0


def test_published_files_of_any_name_are_exported(write_model: WriteModel, tmp_path: Path) -> None:
    run = write_model()
    files = []
    for name, new in (("model.cfg", "a.cfg"), ("model.weights", "b_final.weights"), ("classes.names", "coco.names")):
        files.append(tmp_path / new)
        (run / name).rename(files[-1])
    export_files(*files, tmp_path / "model")
    assert ModelFolder.open(tmp_path / "model").classes == ("CAR", "traffic light")
    assert json.loads((tmp_path / "model" / "export.json").read_text())["training"] is None


def test_exporting_twice_gives_the_same_bytes(write_model: WriteModel, tmp_path: Path) -> None:
    run = write_model()
    for name in ("a", "b"):
        export_model(run, tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def assert_nothing_left(folder: Path) -> None:
    assert [path.name for path in folder.iterdir() if path.name.startswith((".", "model"))] == []


def test_weights_of_another_cfg_leave_nothing_behind(write_model: WriteModel, tmp_path: Path) -> None:
    run = write_model()
    weights = run / "model.weights"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(DarknetFormatError, match=r"expected \d+ bytes .*found \d+ bytes"):
        export_model(run, tmp_path / "model")
    assert_nothing_left(tmp_path)


def test_a_full_disk_leaves_nothing_behind(
    write_model: WriteModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_model()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("traffic_yolo.export.export_model.shutil.copyfile", full)
    with pytest.raises(StorageError, match="the disk is full"):
        export_model(run, tmp_path / "model")
    assert_nothing_left(tmp_path)


def test_an_output_that_exists_is_refused(write_model: WriteModel, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "file").touch()
    with pytest.raises(StorageError, match="output exists already"):
        export_model(write_model(), tmp_path / "model")


@pytest.mark.parametrize(
    ("names", "message"),
    [("CAR\n", r"1 class names, but \[yolo\]"), ("a b\na_b\n", "are both 'a_b' in labels.txt")],
    ids=["too few", "same label"],
)
def test_names_that_cannot_be_deployed_are_refused(
    write_model: WriteModel, tmp_path: Path, names: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        export_model(write_model(names=names), tmp_path / "model")
    assert_nothing_left(tmp_path)


def test_a_data_set_without_pictures_is_refused(write_model: WriteModel, tmp_path: Path) -> None:
    (tmp_path / "dataset").mkdir()
    with pytest.raises(ModelError, match="no pictures"):
        export_model(write_model(), tmp_path / "model", dataset=tmp_path / "dataset")


def test_a_picture_that_does_not_decode_is_named(write_model: WriteModel, tmp_path: Path) -> None:
    dataset = write_pictures(tmp_path / "dataset", 1)
    broken = dataset / "images" / "recording" / "SCAN_00000.jpg"
    broken.write_bytes(b"\xff\xd8 no picture")
    with pytest.raises(ModelError, match=r"SCAN_00000.jpg: does not decode"):
        export_model(write_model(), tmp_path / "model", dataset=dataset)


@pytest.mark.parametrize("text", ["- a list\n", "a: [\n"], ids=["list", "broken"])
def test_broken_training_options_are_refused(write_model: WriteModel, tmp_path: Path, text: str) -> None:
    run = write_model()
    (run / "options.yaml").write_text(text)
    with pytest.raises(ModelError, match=r"options\.yaml( line 2 column 1)?: "):
        export_model(run, tmp_path / "model")


def test_a_missing_published_file_is_named(write_model: WriteModel, tmp_path: Path) -> None:
    run = write_model()
    with pytest.raises(StorageError, match="weights not found"):
        export_files(run / "model.cfg", tmp_path / "no.weights", run / "classes.names", tmp_path / "model")
