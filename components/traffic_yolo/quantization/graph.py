"""The convolutions of an exported ONNX file: which there are, which end the network, what each reads and weighs."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnxruntime.quantization.onnx_model import ONNXModel

from traffic_yolo.errors import ModelError
from traffic_yolo.messages import shown_names
from traffic_yolo.onnx_file import read_onnx

# What says that somebody has quantised a graph already (onnx/onnxruntime operators; Q/DQ, integer and fused kinds)
_QUANTISED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger")
# One value of each of their inputs gives one of the output: activations, and what they are made of
_POINTWISE = frozenset({
    "Add", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Min",
    "Mish", "Mul", "Neg", "PRelu", "Pow", "Relu", "Selu", "Sigmoid", "Softplus", "Sub", "Tanh",
})  # fmt: skip
_LAYER = re.compile(r"/layers\.([0-9]+)/")  # `Network.layers`, as the tracer names nodes


@dataclass(frozen=True)
class Convolution:
    """One convolution. `node`: its name in the graph; `layer`: Darknet's index; `reads`, `writes`: tensors.

    `weights`: numbers in its kernel. `is_output`: no other convolution stands between it and the graph's output, so
    that its result is decoded.
    """

    node: str
    layer: int
    reads: str
    writes: str
    weights: int
    is_output: bool


def read_float_graph(path: Path) -> onnx.ModelProto:
    """The ONNX file that `export` wrote, in float32.

    Raises `ModelError` for what is no ONNX file, for one that is quantised already or is not float32, and for one with
    another input or output.
    """
    model = read_onnx(path, advice="export the model again")
    found = [node.op_type for node in model.graph.node if node.op_type in _QUANTISED or "QLinear" in node.op_type]
    if found:
        raise ModelError(
            f"{path}: is quantised already: expected a float32 graph, found {len(found)} nodes such as {found[0]}; "
            f"export the model again and quantise that file"
        )
    inputs, outputs = ([each.name for each in group] for group in (model.graph.input, model.graph.output))
    if inputs != ["input"] or outputs != ["output"]:
        raise ModelError(
            f"{path}: has {shown_names(inputs)} -> {shown_names(outputs)}; expected input -> output, as export has it"
        )
    element = model.graph.input[0].type.tensor_type.elem_type
    halves = [each.name for each in model.graph.initializer if each.data_type == onnx.TensorProto.FLOAT16]
    if element != onnx.TensorProto.FLOAT or halves:
        raise ModelError(f"{path}: is not in float32; export the model again and quantise that file")
    return model


def convolutions(model: onnx.ModelProto, *, where: Path) -> tuple[Convolution, ...]:
    """Every convolution of the graph in its order. Raises `ModelError` for a graph without any, or of other names."""
    sizes = {each.name: _count(each.dims) for each in model.graph.initializer}
    ends = _output_nodes(model)
    found = []
    for node in model.graph.node:
        if node.op_type != "Conv" or node.input[1] not in sizes:
            continue
        layer = _LAYER.search(node.name)
        if layer is None:
            raise ModelError(
                f"{where}: convolution {node.name!r} names no layer of Darknet's; export the model again and quantise "
                f"that file"
            )
        weights = sizes[node.input[1]]
        found.append(Convolution(node.name, int(layer[1]), node.input[0], node.output[0], weights, node.name in ends))
    if not found:
        raise ModelError(f"{where}: has no convolution to quantise; export the model again")
    return tuple(found)


def in_order(model: onnx.ModelProto) -> None:
    """Sorts the nodes in place so that each comes after those it reads, as ONNX demands and TensorRT's reader needs."""
    ONNXModel(model).topological_sort()


def remove_unread(model: onnx.ModelProto, kinds: Collection[str]) -> None:
    """Takes out the nodes of these operators whose result nobody reads, in place."""
    while True:
        read = {name for node in model.graph.node for name in node.input} | {each.name for each in model.graph.output}
        kept = [node for node in model.graph.node if node.op_type not in kinds or node.output[0] in read]
        if len(kept) == len(model.graph.node):
            return
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
        del model.graph.node[:]
        model.graph.node.extend(copies)


def decoding_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes between the output convolutions and the graph's outputs, these convolutions left out."""
    return {node.name for node in _before_outputs(model) if node.op_type != "Conv"}


def float_tensors(model: onnx.ModelProto) -> tuple[str, ...]:
    """The graph's input and every float tensor of pictures up to the output convolutions, in the graph's order.

    Those are what TensorRT wants a range of without Q/DQ nodes. What is decoded is left out, and what depends on the
    input by its shape alone.
    """
    typed = onnx.shape_inference.infer_shapes(model).graph
    floats = {each.name for each in typed.value_info if each.type.tensor_type.elem_type == onnx.TensorProto.FLOAT}
    floats |= {node.input[0] for node in model.graph.node if node.op_type == "Conv"}
    ends = {node.name for node in _before_outputs(model)}
    found = [each.name for each in model.graph.input]
    reached = set(found)
    for node in model.graph.node:  # in order: each comes after those it reads
        if node.name not in ends and node.op_type != "Shape" and reached & set(node.input):
            reached |= set(node.output)
            found += [name for name in node.output if name in floats]
    return tuple(found)


def block_tensors(model: onnx.ModelProto, convolution: Convolution) -> set[str]:
    """What TensorRT fuses into this convolution's result: its output, and what is made of that alone, value by value.

    An activation of several nodes (Mish) is among it, a sum with another tensor, a pooling and a join are not.
    """
    constants = {each.name for each in model.graph.initializer}
    constants |= {node.output[0] for node in model.graph.node if node.op_type == "Constant"}
    block = {convolution.writes}
    for node in model.graph.node:
        inputs = set(node.input) - constants - {""}
        if node.op_type in _POINTWISE and inputs and inputs <= block:
            block |= set(node.output)
    return block


def _output_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the convolutions that the graph's outputs are reached from without another one between."""
    return {node.name for node in _before_outputs(model) if node.op_type == "Conv"}


def _before_outputs(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Nodes on the way back from the outputs up to the first convolution of each branch, which is the last of them."""
    maker = {name: node for node in model.graph.node for name in node.output}
    waiting, seen, found = [each.name for each in model.graph.output], set(), []
    while waiting:
        name = waiting.pop()
        node = maker.get(name)
        if name in seen or node is None:
            continue
        seen.add(name)
        found.append(node)
        if node.op_type != "Conv":
            waiting.extend(node.input)
    return found


def _count(dims: Iterable[int]) -> int:
    count = 1
    for each in dims:
        count *= int(each)
    return count
