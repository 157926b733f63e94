"""What computes rows: ONNX files held to the model, half precision, and the engine's boundary."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from traffic_yolo.darknet.network import Network
from traffic_yolo.deepstream.config.deploy_config import DeployOptions, deploy_config
from traffic_yolo.deepstream.waterfall.networks import HalfNetwork, engine_rows, onnx_rows
from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import ModelFolder


def tensor() -> np.ndarray:
    return np.random.default_rng(1).random((3, 64, 96), dtype=np.float32)


def test_a_file_of_this_model_gives_its_rows_from_the_floor_up(model: Path) -> None:
    folder = ModelFolder.open(model)
    (rows,) = onnx_rows(folder.onnx_path, deploy_config(folder, DeployOptions()), folder)(tensor())
    assert rows.shape[1] == 6
    assert rows[:, 4].min() >= np.float32(0.001)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weights_sha256", "0" * 64, "made for other weights"),
        ("classes", "traffic_light,CAR", "made for other classes"),
    ],
)
def test_a_file_of_another_model_is_refused(model: Path, tmp_path: Path, name: str, value: str, message: str) -> None:
    folder = ModelFolder.open(model)
    graph = onnx.load(folder.onnx_path)
    for entry in graph.metadata_props:
        if entry.key == name:
            entry.value = value
    onnx.save(graph, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match=message):
        onnx_rows(tmp_path / "other.onnx", deploy_config(folder, DeployOptions()), folder)


def test_half_rounds_weights_and_results_and_nothing_else(model: Path) -> None:
    """Every number that leaves the boxes' decoding is one that float16 holds; in float32 they are not."""
    folder = ModelFolder.open(model)
    network = Network.read(folder.cfg_path, folder.weights_path)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    only_network, both, only_boxes = HalfNetwork(network).rows(tensor())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    for rows in (both, only_boxes):
        np.testing.assert_array_equal(rows, rows.astype(np.float16).astype(np.float32))
    assert (only_network != only_network.astype(np.float16).astype(np.float32)).any()
    (whole,) = onnx_rows(folder.onnx_path, deploy_config(folder, DeployOptions()), folder)(tensor())
    strong, halves, halved_network = (rows[rows[:, 4] > 0.3] for rows in (whole, both, only_network))
    moved = np.abs(halves - strong)[:, :4].max()
    assert 1e-3 < moved < 1  # a coordinate up to 96 has a step of 1/16 in half precision
    assert np.abs(halved_network - strong)[:, :4].max() < moved


def test_an_overflow_of_half_precision_is_there_to_be_counted(model: Path) -> None:
    folder = ModelFolder.open(model)
    network = Network.read(folder.cfg_path, folder.weights_path)
    with torch.no_grad():
        network.layers[0].get_submodule("bn").weight.mul_(1e6)  # type: ignore[operator]
    _, both, _ = HalfNetwork(network).rows(tensor())
    assert not np.isfinite(both).all()


def test_an_engine_without_tensorrt_is_one_line(model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"engine")
    with pytest.raises(ModelError, match=r"model.engine: an engine needs (TensorRT's Python package|a GPU)"):
        engine_rows(tmp_path / "model.engine", ModelFolder.open(model))
