"""ONNX graphs in memory, run by onnxruntime on the CPU."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from traffic_yolo.darknet.tracing import INPUT_NAME
from traffic_yolo.errors import ModelError


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session in which Q/DQ nodes compute what they say.

    onnxruntime would fuse them into byte kernels, which saturate on processors without VNNI; a figure would then be of
    the machine. Raises `ModelError` for a graph that onnxruntime does not take.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()  # onnxruntime itself knows no container's limit
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class but this one
        raise ModelError(f"onnxruntime cannot load the graph: {str(error).splitlines()[0]}") from error


class TensorReader:
    """Gives tensors inside a graph for an input: float32 arrays by name."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]) -> None:
        """`model` stays as it is; raises as `open_session`."""
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        self._tensors = tuple(tensors)
        self._inside = [name for name in self._tensors if name != INPUT_NAME]
        del copy.graph.output[:]
        copy.graph.output.extend(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in self._inside
        )
        self._session = open_session(copy) if self._inside else None

    def __call__(self, tensor: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The tensors for one input (3, h, w)."""
        found = {INPUT_NAME: tensor[None]}
        if self._session is not None:
            found |= dict(zip(self._inside, self._session.run(self._inside, {INPUT_NAME: tensor[None]}), strict=True))
        return {name: found[name] for name in self._tensors}
