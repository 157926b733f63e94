"""The range of each tensor that INT8 shall hold, from what the float network computes on the calibration pictures."""

import contextlib
import io
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization.calibrate import HistogramCollector

from traffic_yolo.errors import ModelError
from traffic_yolo.quantization.options import ENTROPY
from traffic_yolo.quantization.running import TensorReader

Inputs = Callable[[], Iterable[NDArray[np.float32]]]  # gives the pictures anew at each call: (3, h, w) each

PERCENTILE_BINS = 2048
ENTROPY_BINS = 512  # TensorRT has 2048; the library's search takes a minute for those, and its threshold moves by 1 %
ENTROPY_LEVELS = 128  # of a signed byte's one side


def tensor_ranges(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    inputs: Inputs,
    *,
    method: str,
    percentile: float,
    others: Sequence[str] = (),
) -> dict[str, float]:
    """Of each of `tensors` the magnitude that becomes 127: above 0, and 1 for a tensor that is 0 throughout.

    One look finds the largest magnitudes, a second fills histograms up to them, so that memory does not grow with the
    pictures. Of `others` (none of `tensors`) those have a range whose values are finite: an activation may be made of
    steps that overflow. Raises `ModelError` for one of `tensors` that is not finite.
    """
    required, tensors = frozenset(tensors), [*tensors, *others]
    read = TensorReader(model, tensors)
    largest: dict[str, float] = dict.fromkeys(tensors, 0.0)
    for tensor in inputs():
        for name, values in read(tensor).items():
            largest[name] = float(np.maximum(largest[name], np.abs(values).max()))  # keeps NaN
            if name in required and not np.isfinite(largest[name]):
                raise ModelError(f"the float network gives {name} values that are not finite; the weights are broken")
    tensors = [name for name in tensors if np.isfinite(largest[name])]
    bins = ENTROPY_BINS if method == ENTROPY else PERCENTILE_BINS
    collector = HistogramCollector(
        method=method, symmetric=True, num_bins=bins, num_quantized_bins=ENTROPY_LEVELS, percentile=percentile,
        scenario="same",
    )  # fmt: skip
    alive = [name for name in tensors if largest[name] > 0]
    ends = {name: np.array([-largest[name], largest[name]], np.float32) for name in alive}
    with contextlib.redirect_stdout(io.StringIO()):  # the library prints
        for number, tensor in enumerate(inputs()):
            found = read(tensor)
            # The first histogram's bins stay: with the ends in it, they reach as far as any picture's
            collector.collect(
                {name: np.concatenate([found[name].ravel(), *([] if number else [ends[name]])]) for name in alive}
            )
        limits = collector.compute_collection_result() if alive else {}
    ranges = dict.fromkeys(tensors, 1.0)
    for name in alive:
        low, high = (float(value) for value in limits[name][:2])
        ranges[name] = max(abs(low), abs(high)) or largest[name]
    return ranges
