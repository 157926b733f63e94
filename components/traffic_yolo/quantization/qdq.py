"""INT8 by Q/DQ nodes: convolutions' inputs and kernels alone, all else stays float.

Symmetric signed bytes, one scale a tensor and one an output channel of a kernel, no bias: what TensorRT's explicit
quantisation takes. Q/DQ stand before convolutions and not behind them, so that TensorRT may fuse what follows.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from traffic_yolo.quantization.graph import Convolution, in_order, remove_unread

_OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "QuantizeBias": False,
    "OpTypesToExcludeOutputQuantization": ["Conv"],
}


class QdqGraph:
    """A float graph and its convolutions in INT8, of which any may be chosen; the library quantises once."""

    def __init__(
        self, model: onnx.ModelProto, convolutions: Sequence[Convolution], ranges: Mapping[str, float]
    ) -> None:
        """`convolutions`: those that may be chosen; `ranges`: what becomes 127 of each tensor that they read."""
        self._model, self._all = model, tuple(convolutions)
        data = {
            each.reads: TensorData(lowest=np.float32(-ranges[each.reads]), highest=np.float32(ranges[each.reads]))
            for each in convolutions
        }
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        quantizer = QDQQuantizer(
            copy, True, False, QuantType.QInt8, QuantType.QInt8, TensorsData(CalibrationMethod.MinMax, data),
            [each.node for each in convolutions], [], ["Conv"], _OPTIONS,
        )  # fmt: skip
        with _quiet():
            quantizer.quantize_model()
        self._whole: onnx.ModelProto = quantizer.model.model

    def with_int8(self, chosen: Sequence[Convolution]) -> onnx.ModelProto:
        """A copy of the float graph in which the convolutions `chosen` compute in INT8.

        Interface and metadata stay. A tensor that others read too reaches them in float.
        """
        result = onnx.ModelProto()
        result.CopyFrom(self._whole)
        floats = {node.name: node for node in self._model.graph.node}
        names = {each.node for each in chosen}
        for node in result.graph.node:
            if node.name in floats and node.name not in names:
                del node.input[:]
                node.input.extend(floats[node.name].input)
        remove_unread(result, ("QuantizeLinear", "DequantizeLinear"))
        used = {name for node in result.graph.node for name in node.input}
        kept = {each.name: each for group in (self._model, self._whole) for each in group.graph.initializer}
        del result.graph.initializer[:]
        result.graph.initializer.extend(each for name, each in kept.items() if name in used)
        in_order(result)
        del result.metadata_props[:]
        result.metadata_props.extend(self._model.metadata_props)
        result.producer_name, result.producer_version = self._model.producer_name, self._model.producer_version
        return result


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's warnings: it tells of every bias that is no constant, and biases stay float here."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
