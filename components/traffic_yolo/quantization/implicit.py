"""INT8 for DeepStream before 9: which tensors of the float file get a range in TensorRT's calibration table.

Without Q/DQ nodes TensorRT chooses each layer's precision by speed, among those that the ranges allow: a layer that
reads or writes a tensor without one has no INT8 kernel ("expect fall back to non-int8 implementation"). So what stays
in float is said by what is left out.
"""

from collections.abc import Collection, Mapping, Sequence

import onnx

from traffic_yolo.calibration_table import CalibrationTable
from traffic_yolo.quantization.graph import Convolution, block_tensors, float_tensors


def calibration_table(
    model: onnx.ModelProto, convolutions: Sequence[Convolution], kept: Collection[int], ranges: Mapping[str, float]
) -> CalibrationTable:
    """The table of the float graph `model`. `ranges`: what becomes 127 of its `float_tensors`, as far as they have one.

    Convolutions of the layers `kept` and those before [yolo] give tensors that have no range. So what reads a kept
    convolution's result is in float too, which costs time and no AP.
    """
    left_out: set[str] = set()
    for each in convolutions:
        if each.is_output or each.layer in kept:
            left_out |= block_tensors(model, each)
    return CalibrationTable.of_ranges(
        {tensor: ranges[tensor] for tensor in float_tensors(model) if tensor in ranges and tensor not in left_out}
    )
