"""The names that nvinfer gives the engines it builds, and what a file beside them says of its precision.

`<model file>_b<batch>_<gpu or dla number>_<precision>.engine`, beside the ONNX file; DeepStream-Yolo's Darknet path
writes `model_b…` into the working directory. The precision is that of the engine: where nvinfer falls back from INT8
to FP16, the engine's name says fp16.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.onnx_file import read_onnx

_NAME = re.compile(r"(?P<model>.+)_b(?P<batch>[0-9]+)_(?P<device>(gpu|dla)[0-9]+)_(?P<precision>[a-z0-9]+)\.engine")
QUANTIZE_NODES = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class EngineName:
    """The parts of an engine's file name."""

    model: str
    batch: int
    device: str
    precision: str

    @classmethod
    def parse(cls, name: str) -> "EngineName | None":
        """The parts of `name`, without a folder; None where nvinfer did not name the file."""
        match = _NAME.fullmatch(name)
        return match and cls(match["model"], int(match["batch"]), match["device"], match["precision"])


def onnx_is_quantized(path: Path) -> bool:
    """Whether an ONNX file has Q/DQ nodes; False where it is not there. `ModelError` where it is none."""
    if not path.is_file():
        return False
    return any(node.op_type in QUANTIZE_NODES for node in read_onnx(path).graph.node)
