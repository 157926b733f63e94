"""What each convolution costs in INT8 by itself: how much noise reaches the tensors that are decoded."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from traffic_yolo.progress import progress
from traffic_yolo.quantization.calibration import Inputs
from traffic_yolo.quantization.graph import Convolution
from traffic_yolo.quantization.qdq import QdqGraph
from traffic_yolo.quantization.running import TensorReader


def noise_by_convolution(
    model: onnx.ModelProto, quantised: QdqGraph, found: Sequence[Convolution], inputs: Inputs
) -> dict[str, float]:
    """By node, for each convolution that is no output: the noise of quantising it alone, as `noise_share` has it.

    Needs no labels, and an inference a convolution and picture.
    """
    ends = [each.writes for each in found if each.is_output]
    pictures = list(inputs())
    read = TensorReader(model, ends)
    expected = [read(picture) for picture in pictures]
    candidates = [each for each in found if not each.is_output]
    noise = {}
    for each in progress(candidates, description="scanning", unit="convolution"):
        changed = TensorReader(quantised.with_int8([each]), ends)
        noise[each.node] = noise_share(expected, [changed(picture) for picture in pictures])
    return noise


def noise_share(
    expected: Sequence[Mapping[str, NDArray[np.float32]]], found: Sequence[Mapping[str, NDArray[np.float32]]]
) -> float:
    """Mean over the tensors of (sum of squared differences) / (sum of squared deviations from the mean), all pictures.

    0: the same; 1: as much noise as signal. A tensor that is the same everywhere counts by its difference alone.
    """
    shares = []
    for name in expected[0]:
        signal = np.concatenate([one[name].ravel() for one in expected]).astype(np.float64)
        noise = np.concatenate([one[name].ravel() for one in found]).astype(np.float64) - signal
        power = float(((signal - signal.mean()) ** 2).sum())
        shares.append(float((noise**2).sum()) / (power if power > 0 else 1.0))
    return float(np.mean(shares))
