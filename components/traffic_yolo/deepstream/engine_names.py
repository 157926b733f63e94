"""The names that nvinfer gives the engines it builds, and what a file beside them says of its precision.

`<model file>_b<batch>_<gpu or dla number>_<precision>.engine`, beside the ONNX file; DeepStream-Yolo's Darknet path
writes `model_b…` into the working directory. The precision is that of the engine: where nvinfer falls back from INT8
to FP16, the engine's name says fp16.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.errors import ModelError

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
    model = _load(path)
    return any(node.op_type in QUANTIZE_NODES for node in model.graph.node)


def onnx_metadata(path: Path) -> dict[str, str]:
    """What an ONNX file says of itself; our export states weights_sha256 and classes. `ModelError` where it is none."""
    return {entry.key: entry.value for entry in _load(path).metadata_props}


def _load(path: Path) -> Any:
    import onnx  # only where an ONNX file is looked into

    try:
        return onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's exceptions share no base class with onnx's
        raise ModelError(f"{path}: cannot be read as ONNX: {str(error).splitlines()[0]}") from error
