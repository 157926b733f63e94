"""ONNX graphs in memory, run by onnxruntime on the CPU."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from traffic_yolo.darknet.tracing import INPUT_NAME
from traffic_yolo.onnx_session import cpu_session


def open_session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session in which Q/DQ nodes compute what they say; `ModelError` for a graph that onnxruntime does not take."""
    return cpu_session(model.SerializeToString(), exact_qdq=True)


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
