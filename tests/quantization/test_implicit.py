"""Which tensors the calibration table has, on a graph of every kind of node that an exported one has."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from traffic_yolo.quantization.calibration import tensor_ranges
from traffic_yolo.quantization.graph import Convolution, block_tensors, float_tensors
from traffic_yolo.quantization.implicit import calibration_table


def graph() -> onnx.ModelProto:
    """Input -> Conv 0 -> Mish, the ONNX way -> Conv 1 -> Leaky -> + Mish -> Slice by a shape -> Conv 2 -> Sigmoid."""
    kernels = {f"w{index}": np.full((3, 3, 1, 1), 0.1 * (index + 1), np.float32) for index in range(3)}
    ints = {"two": [2], "zero": [0], "one": [1]}
    nodes = [
        ("Conv", ["input", "w0"], "c0"),
        ("Softplus", ["c0"], "softplus"), ("Tanh", ["softplus"], "tanh"), ("Mul", ["c0", "tanh"], "mish"),
        ("Conv", ["mish", "w1"], "c1"), ("LeakyRelu", ["c1"], "leaky"), ("Add", ["leaky", "mish"], "sum"),
        ("Shape", ["sum"], "shape"), ("Gather", ["shape", "one"], "channels"), ("Div", ["channels", "two"], "half"),
        ("Slice", ["sum", "zero", "channels", "one"], "slice"), ("Conv", ["slice", "w2"], "c2"),
        ("Sigmoid", ["c2"], "output"),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 4, 4]) for name in ("input", "output")]
    constants = [
        *(numpy_helper.from_array(value, name) for name, value in kernels.items()),
        *(numpy_helper.from_array(np.array(value, np.int64), name) for name, value in ints.items()),
    ]
    made = [
        helper.make_node(kind, read, [write], name=f"/layers.{index}/{write}")
        for index, (kind, read, write) in enumerate(nodes)
    ]
    model = helper.make_graph(made, "g", ends[:1], ends[1:], constants)
    return helper.make_model(model, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


FOUND = (
    Convolution("/layers.0/c0", 0, "input", "c0", 9, is_output=False),
    Convolution("/layers.4/c1", 4, "mish", "c1", 9, is_output=False),
    Convolution("/layers.11/c2", 11, "slice", "c2", 9, is_output=True),
)
ALL = ("input", "c0", "softplus", "tanh", "mish", "c1", "leaky", "sum", "slice")


def test_every_tensor_of_pictures_has_a_range_and_none_of_shapes_or_decoding() -> None:
    model = graph()
    assert float_tensors(model) == ALL
    ranges = dict.fromkeys(ALL, 127.0)
    assert tuple(calibration_table(model, FOUND, (), ranges).scales) == ALL


def test_what_stays_float_has_no_range_with_its_activation_and_no_more() -> None:
    model = graph()
    assert block_tensors(model, FOUND[0]) == {"c0", "softplus", "tanh", "mish"}
    assert block_tensors(model, FOUND[1]) == {"c1", "leaky"}  # the sum is of another tensor too
    kept = calibration_table(model, FOUND, (4,), dict.fromkeys(ALL, 127.0))
    assert tuple(kept.scales) == ("input", "c0", "softplus", "tanh", "mish", "sum", "slice")


def test_a_step_of_an_activation_that_overflows_has_no_range_and_a_convolutions_input_must_not() -> None:
    model = graph()
    model.graph.node[1].op_type = "Exp"  # of up to 3e38: infinite
    inputs = [np.full((3, 4, 4), 1000.0, np.float32)]
    found = tensor_ranges(
        model, ["input"], lambda: inputs, method="percentile", percentile=100, others=["c0", "softplus"]
    )
    assert set(found) == {"input", "c0"}
    assert found["c0"] == pytest.approx(300, rel=0.01)  # 3 x 0.1 x 1000
    assert "softplus" not in calibration_table(model, FOUND, (), found).scales
