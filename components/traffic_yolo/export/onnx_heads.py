"""The ONNX file of a network's raw heads, which the parser of `deepstream/parser` decodes.

What a [yolo] section says of its boxes stands in the output's name, so that a parser can have no other model's anchors.
Rows of decoded boxes (`onnx.write_onnx`) hold one class a box; only raw heads serve the parser's multi-label function.
"""

from pathlib import Path

import onnx
import torch

from traffic_yolo._version import __version__
from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.tracing import trace_to_onnx
from traffic_yolo.errors import ModelError
from traffic_yolo.export.onnx import OPSET
from traffic_yolo.storage import write_bytes


def head_output_name(head: YoloHead) -> str:
    """The name of a head's output: `yolo/stride=8/scale_x_y=1.05/new_coords=0/anchors=12x16,19x36`.

    Anchors are those of the mask, (width, height) in network pixels. Raises `ModelError` for a [Gaussian_yolo] or
    [region] section, and for a network size that is no multiple of the stride, which the parser does not decode.
    """
    if type(head) is not YoloHead:
        found = f"layer {head.layer_index} is a [{head.section_name}]"
        raise ModelError(f"{found}; raw heads are decoded for [yolo] alone: deploy the ONNX file that export writes")
    if head.uneven_grid is not None:
        found = f"layer {head.layer_index} has no grid of its stride {head.stride}"
        raise ModelError(f"{found}; take a network size that is a multiple of it, or the ONNX file that export writes")
    anchors = ",".join(f"{width:.9g}x{height:.9g}" for width, height in head.mask_anchors)
    return f"yolo/stride={head.stride}/scale_x_y={head.scale_x_y:.9g}/new_coords={head.new_coords:d}/anchors={anchors}"


def write_heads_onnx(network: Network, path: Path, *, opset: int = OPSET) -> None:
    """Writes atomically the ONNX file with batch-norms folded in and one output a head, float32, the batch open.

    Input `input` (batch, 3, H, W); outputs (batch, A * (5 + C), H / stride, W / stride), logits as they enter the
    [yolo] sections. Raises `ModelError` as `head_output_name`, and where two heads would have one name.
    """
    names = [head_output_name(head) for head in network.heads]
    if len(set(names)) < len(names):
        raise ModelError(f"two heads share stride and anchors ({max(names, key=names.count)}); outputs need own names")
    example = torch.zeros(1, network.input_channels, *network.input_hw)
    graph = trace_to_onnx(network.fuse().eval(), example, output_names=names, opset=opset)
    model = onnx.load_from_string(graph)
    model.producer_name, model.producer_version = "traffic-yolo", __version__
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))
