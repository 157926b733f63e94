"""The ONNX file: what it computes, against PyTorch and against Darknet's own boxes; how it is described and refused."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray

from traffic_yolo.darknet.decode import decode
from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import ModelError
from traffic_yolo.export.onnx import compare_with_pytorch, write_onnx
from traffic_yolo.onnx_file import onnx_metadata

NUM_BOXES = 3 * (8 * 12 + 16 * 24)


def noise(count: int, hw: tuple[int, int] = (64, 96)) -> NDArray[np.float32]:
    return np.random.default_rng(1).random((count, 3, *hw), dtype=np.float32)


def run(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    output: NDArray[np.float32] = session.run(["output"], {"input": images})[0]
    return output


@pytest.fixture
def onnx_path(network: Network, tmp_path: Path) -> Path:
    write_onnx(network, tmp_path / "model.onnx", metadata={"classes": "CAR,traffic_light"})
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("batch", [1, 3])
def test_rows_are_the_decoded_boxes_of_pytorch_for_any_batch(network: Network, onnx_path: Path, batch: int) -> None:
    images = noise(batch)
    with torch.no_grad():
        decoded = decode(network.heads, network(torch.from_numpy(images)), network.input_hw)
    boxes = decoded.boxes_cxcywh_norm.numpy().astype(np.float64) * [96, 64, 96, 64]
    corners = np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], axis=-1)
    scores = (decoded.objectness[..., None] * decoded.class_probabilities).numpy()

    rows = run(onnx_path, images)
    assert rows.shape == (batch, NUM_BOXES, 6)
    np.testing.assert_allclose(rows[..., :4], corners, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(rows[..., 4], scores.max(axis=-1), atol=1e-5)
    clear = np.abs(scores[..., 0] - scores[..., 1]) > 1e-4
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(rows[..., 5][clear], scores.argmax(axis=-1)[clear])
    assert set(np.unique(rows[..., 5])) == {0, 1}


def test_only_the_batch_is_open(onnx_path: Path) -> None:
    graph = onnx.load(onnx_path).graph
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.input, *graph.output]
    }
    assert shapes == {"input": ["batch", 3, 64, 96], "output": ["batch", NUM_BOXES, 6]}
    assert onnx.load(onnx_path).opset_import[0].version == 17


def test_batch_norms_are_folded_in(onnx_path: Path) -> None:
    assert "BatchNormalization" not in {node.op_type for node in onnx.load(onnx_path).graph.node}


def test_equal_weights_give_equal_bytes(network: Network, onnx_path: Path, tmp_path: Path) -> None:
    write_onnx(network, tmp_path / "again.onnx", metadata={"classes": "CAR,traffic_light"})
    assert (tmp_path / "again.onnx").read_bytes() == onnx_path.read_bytes()


def test_exporting_prints_nothing(network: Network, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write_onnx(network, tmp_path / "quiet.onnx")  # a warning would be an error here
    assert capfd.readouterr() == ("", "")


def test_metadata_comes_back(onnx_path: Path) -> None:
    assert onnx_metadata(onnx_path) == {"classes": "CAR,traffic_light"}


@pytest.mark.parametrize("opset", [9, 99])
def test_an_opset_that_cannot_be_written_is_refused(network: Network, tmp_path: Path, opset: int) -> None:
    with pytest.raises(ModelError, match=f"ONNX opset is {opset}; expected 13 to 20"):
        write_onnx(network, tmp_path / "model.onnx", opset=opset)
    assert not (tmp_path / "model.onnx").exists()


def test_comparison_counts_what_it_compared(network: Network, onnx_path: Path) -> None:
    difference = compare_with_pytorch(onnx_path, network, noise(2))
    assert difference.inputs == 2
    assert difference.boxes > NUM_BOXES
    assert difference.max_score_difference < 1e-5
    assert difference.max_box_difference_px < 1e-3


def test_comparison_refuses_the_file_of_other_weights(network: Network, onnx_path: Path) -> None:
    with torch.no_grad():
        next(network.layers[0].parameters()).mul_(1.5)
    with pytest.raises(ModelError, match=r"differs from PyTorch by .* in score"):
        compare_with_pytorch(onnx_path, network, noise(1))


@pytest.mark.parametrize(
    ("factor", "offset", "message"),
    [(1, 1, "a label is none of the 2 classes"), (-1, 1, r"boxes are given another class than in PyTorch, as class ")],
    ids=["shifted", "swapped"],
)
def test_comparison_refuses_labels_that_are_moved(
    network: Network, onnx_path: Path, factor: int, offset: int, message: str
) -> None:
    """Boxes and scores are right to the bit; two last nodes change the label alone."""
    model = onnx.load(onnx_path)
    for node in model.graph.node:
        node.output[:] = ["rows" if name == "output" else name for name in node.output]
    for name, values in (("factor", [1, 1, 1, 1, 1, factor]), ("offset", [0, 0, 0, 0, 0, offset])):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(values, np.float32), name))
    model.graph.node.append(onnx.helper.make_node("Mul", ["rows", "factor"], ["multiplied"]))
    model.graph.node.append(onnx.helper.make_node("Add", ["multiplied", "offset"], ["output"]))
    onnx.save(model, onnx_path)
    with pytest.raises(ModelError, match=message):
        compare_with_pytorch(onnx_path, network, noise(1))


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(ModelError, match=r"model.onnx: not an ONNX file"):
        onnx_metadata(tmp_path / "model.onnx")


@pytest.mark.reference
@pytest.mark.parametrize("model", ["yolo-fastest-1.1", "MobileNetV2-YOLOv3-Nano-coco"])
def test_rows_are_the_boxes_that_darknet_itself_decoded(reference: Path, tmp_path: Path, model: str) -> None:
    golden = np.load(reference / "golden" / "real" / f"{model}-dog.npz")
    network = Network.from_cfg(reference / "weights" / f"{model}.cfg")
    network.load_weights(reference / "weights" / f"{model}.weights")
    write_onnx(network, tmp_path / "model.onnx")
    rows = run(tmp_path / "model.onnx", golden["input"][None])[0]

    height, width = network.input_hw
    centre_size, probabilities = golden["det_t0.25_rel_box"], golden["det_t0.25_rel_prob"]
    scores, labels = probabilities.max(axis=1), probabilities.argmax(axis=1)
    chosen = scores > 0.3  # Darknet keeps objectness > 0.25, the file has products only
    expected = centre_size[chosen, :4] * [width, height, width, height]
    expected = np.concatenate([expected[:, :2] - expected[:, 2:] / 2, expected[:, :2] + expected[:, 2:] / 2], axis=1)
    found = rows[rows[:, 4] > 0.3]
    assert len(found) == chosen.sum() > 2
    np.testing.assert_allclose(found[:, :4], expected, atol=0.02)
    np.testing.assert_allclose(found[:, 4], scores[chosen], atol=1e-4)
    np.testing.assert_array_equal(found[:, 5], labels[chosen])
