"""Ranges, Q/DQ graphs, FP16 and the scan, by values that can be worked out."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from traffic_yolo.errors import ModelError
from traffic_yolo.model_folder import ModelFolder
from traffic_yolo.quantization.calibration import tensor_ranges
from traffic_yolo.quantization.graph import convolutions, decoding_nodes, read_float_graph
from traffic_yolo.quantization.half import in_half
from traffic_yolo.quantization.qdq import QdqGraph
from traffic_yolo.quantization.running import TensorReader
from traffic_yolo.quantization.scan import noise_by_convolution, noise_share


def small_graph(factor: float = 1.0) -> onnx.ModelProto:
    """Two 1 x 1 convolutions in a row, and an Add that reads what the second reads; metadata."""
    kernel = np.array([2.0 * factor, 0, 0], np.float32).reshape(1, 3, 1, 1)
    first = numpy_helper.from_array(kernel, "w0")
    second = numpy_helper.from_array(np.array([0.3], np.float32).reshape(1, 1, 1, 1), "w1")
    nodes = [
        helper.make_node("Conv", ["input", "w0"], ["a"], name="/network/layers.0/conv/Conv"),
        helper.make_node("Conv", ["a", "w1"], ["b"], name="/network/layers.3/conv/Conv"),
        helper.make_node("Add", ["a", "b"], ["output"], name="/Add"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 2, 2])
        for name, channels in (("input", 3), ("output", 1))
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], [first, second])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, {"weights_sha256": "abc"})
    return model


def pixels(value: float) -> np.ndarray:
    return np.full((3, 2, 2), value, np.float32)


def test_the_range_of_all_values_is_the_largest_of_any_picture() -> None:
    inputs = [pixels(0.25), pixels(1.0), pixels(0.5)]
    found = tensor_ranges(small_graph(-1), ["input", "a"], lambda: inputs, method="percentile", percentile=100)
    assert found["input"] == pytest.approx(1.0, rel=0.01)
    assert found["a"] == pytest.approx(2.0, rel=0.01)


def test_a_percentile_leaves_out_what_lies_beyond() -> None:
    values = np.linspace(0, 1, 3000, dtype=np.float32)
    values[-3:] = 50.0  # a thousandth
    inputs = [values.reshape(3, 20, 50)]
    found = tensor_ranges(small_graph(), ["input"], lambda: inputs, method="percentile", percentile=99)
    assert 0.95 < found["input"] < 1.1


def test_entropy_keeps_a_bell_and_leaves_out_a_far_value() -> None:
    values = np.random.default_rng(0).normal(0, 1, (3, 40, 50)).astype(np.float32)
    values[0, 0, 0] = 40.0
    found = tensor_ranges(small_graph(), ["input"], lambda: [values], method="entropy", percentile=99)
    assert 2 < found["input"] < 20


def test_a_dead_tensor_has_a_range_and_a_broken_one_is_refused() -> None:
    inputs = [pixels(0.5)]
    found = tensor_ranges(small_graph(0.0), ["input", "a"], lambda: inputs, method="percentile", percentile=100)
    assert found["a"] == 1.0
    with pytest.raises(ModelError, match="not finite"):
        tensor_ranges(small_graph(float("inf")), ["a"], lambda: inputs, method="percentile", percentile=100)


def test_a_convolution_in_int8_rounds_its_input_and_others_read_floats() -> None:
    """In float a = 2 * 0.215 = 0.43; of a range of 12.7 a step is 0.1, so the second reads 0.4, and the Add 0.43."""
    model = small_graph()
    first, second = convolutions(model, where=Path("m.onnx"))
    assert (first.layer, second.layer, first.weights, first.is_output, second.is_output) == (0, 3, 3, True, True)
    graph = QdqGraph(model, [first, second], {"input": 12.7, "a": 12.7})
    read = TensorReader(graph.with_int8([second]), ["a", "b", "output"])(pixels(0.215))
    assert read["a"].ravel()[0] == pytest.approx(0.43)
    assert read["b"].ravel()[0] == pytest.approx(0.4 * 0.3, rel=1e-4)  # a kernel's largest number is exact
    assert read["output"].ravel()[0] == pytest.approx(0.43 + 0.12, rel=1e-4)
    both = TensorReader(graph.with_int8([first, second]), ["a"])(pixels(0.215))
    assert both["a"].ravel()[0] == pytest.approx(0.4)


def test_nothing_chosen_is_the_float_graph_and_metadata_stay() -> None:
    model = small_graph()
    found = convolutions(model, where=Path("m.onnx"))
    graph = QdqGraph(model, found, {"input": 1.0, "a": 2.0})
    nothing, one = graph.with_int8([]), graph.with_int8(found[:1])
    assert [node.op_type for node in nothing.graph.node] == ["Conv", "Conv", "Add"]
    kinds = sorted(node.op_type for node in one.graph.node)
    assert kinds == ["Add", "Conv", "Conv", "DequantizeLinear", "DequantizeLinear", "QuantizeLinear"]
    assert {entry.key: entry.value for entry in one.metadata_props} == {"weights_sha256": "abc"}
    weights = {each.name: each.data_type for each in one.graph.initializer}
    assert weights["w1"] == TensorProto.FLOAT
    assert "w0" not in weights  # its bytes are enough
    onnx.checker.check_model(one, full_check=True)


def test_noise_is_a_share_of_the_signal() -> None:
    signal = [{"x": np.array([0.0, 2.0])}, {"x": np.array([4.0, 6.0])}]  # mean 3, squares 9 + 1 + 1 + 9
    found = [{"x": np.array([1.0, 2.0])}, {"x": np.array([4.0, 4.0])}]
    assert noise_share(signal, found) == pytest.approx(5 / 20)
    assert noise_share(signal, signal) == 0


@pytest.mark.long
def test_the_scan_finds_the_convolution_that_int8_spoils(model: Path) -> None:
    """Of a range that is a thousand times too wide, nothing is left."""
    folder = ModelFolder.open(model)
    graph = read_float_graph(folder.onnx_path)
    found = convolutions(graph, where=folder.onnx_path)
    candidates = [each for each in found if not each.is_output]
    inputs = [np.random.default_rng(1).random((3, 96, 160), dtype=np.float32)]
    ranges = tensor_ranges(
        graph, sorted({each.reads for each in candidates}), lambda: inputs, method="percentile", percentile=100
    )
    spoilt = candidates[2]
    ranges[spoilt.reads] *= 1000
    noise = noise_by_convolution(graph, QdqGraph(graph, candidates, ranges), found, lambda: inputs)
    assert set(noise) == {each.node for each in candidates}
    assert max(noise, key=lambda node: noise[node]) == spoilt.node


def test_half_precision_leaves_the_decoding_in_float(model: Path) -> None:
    folder = ModelFolder.open(model)
    graph = read_float_graph(folder.onnx_path)
    half = in_half(graph)
    assert [each.type.tensor_type.elem_type for each in (*half.graph.input, *half.graph.output)] == [1, 1]
    kernels = [each for each in half.graph.initializer if len(each.dims) == 4]
    assert {each.data_type for each in kernels} == {TensorProto.FLOAT16}
    assert 0.45 < half.ByteSize() / graph.ByteSize() < 0.6
    picture = np.random.default_rng(2).random((3, 96, 160), dtype=np.float32)
    ends = [each.writes for each in convolutions(graph, where=folder.onnx_path) if each.is_output]
    assert ends
    whole, found = (TensorReader(each, ["output"])(picture)["output"] for each in (graph, half))
    assert whole.shape == found.shape
    assert 0 < np.abs(whole[..., 4] - found[..., 4]).max() < 0.05
    assert (found[..., :4] != found[..., :4].astype(np.float16)).any()  # coordinates have more digits than FP16 holds
    decoding = decoding_nodes(graph)
    assert decoding
    assert not any(node.op_type == "Conv" for node in graph.graph.node if node.name in decoding)


def test_a_graph_that_is_quantised_half_or_of_others_is_one_line(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    graph = small_graph()
    found = convolutions(graph, where=path)
    onnx.save(QdqGraph(graph, found, {"input": 1.0, "a": 1.0}).with_int8(found), path)
    with pytest.raises(ModelError, match="is quantised already: expected a float32 graph, found 6 nodes such as"):
        read_float_graph(path)
    onnx.save(in_half(read_float_graph(ModelFolder.open(model).onnx_path)), path)
    with pytest.raises(ModelError, match="is not in float32"):
        read_float_graph(path)
    path.write_bytes(b"no protobuf at all")
    with pytest.raises(ModelError, match="not an ONNX file"):
        read_float_graph(path)
    graph.graph.node[0].name = "Conv_1"
    with pytest.raises(ModelError, match="'Conv_1' names no layer"):
        convolutions(graph, where=path)
