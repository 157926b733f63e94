"""FP16: the convolutions and what lies between them in half precision, the decoding of boxes in float32."""

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from traffic_yolo.quantization.graph import decoding_nodes, in_order, remove_unread


def in_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in FP16 whose input, output and decoding stay float32.

    A coordinate of up to 608 pixels has steps of half a pixel in FP16, so decoding there would move boxes.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    blocked = decoding_nodes(copy)
    result: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True, node_block_list=sorted(blocked))
    _without_round_trips(result)
    in_order(result)
    return result


def _without_round_trips(model: onnx.ModelProto) -> None:
    """Takes the way through FP16 from between nodes that are in float32, in place.

    The library puts a cast to FP16 and one back behind every node that was to stay float32, which rounds all the same.
    """
    halves = {node.output[0]: node.input[0] for node in model.graph.node if _casts_to(node, onnx.TensorProto.FLOAT16)}
    ends = {each.name for each in model.graph.output}
    whole = {
        node.output[0]: halves[node.input[0]]
        for node in model.graph.node
        if _casts_to(node, onnx.TensorProto.FLOAT) and node.input[0] in halves
    }
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name in whole:
                node.input[index] = whole[name]
        if node.output[0] in whole and node.output[0] in ends:
            node.input[0] = whole[node.output[0]]
    remove_unread(model, ("Cast",))


def _casts_to(node: onnx.NodeProto, element: int) -> bool:
    return node.op_type == "Cast" and any(each.name == "to" and each.i == element for each in node.attribute)
