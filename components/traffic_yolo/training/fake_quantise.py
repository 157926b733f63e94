"""Convolutions that compute in INT8 as an ONNX file with Q/DQ nodes says it, so that a training feels the rounding.

Symmetric signed bytes: the input by one scale, which is trained (learned step size, Esser et al. 2020, "Learned step
size quantization", arXiv 1902.08153; its logarithm here, so that a step of the optimiser is a share of it); kernels by
one scale for each output channel, their largest magnitude / 127. Biases, and all that is no convolution, stay float.
The rounding has the gradient 1 within the range and 0 beyond it. Which convolutions, and the first ranges, are said by
a file (`quantization` makes it).
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.errors import OptionsError, TrainingError
from traffic_yolo.messages import one_line
from traffic_yolo.storage import AnyPath, existing_path, read_json, write_json

SCHEMA_VERSION = 1
QUANTISERS_NAME = "quantisers.json"
LARGEST = 127  # of a signed byte's positive side; kernels use -127 to 127, inputs -128 to 127


class QuantisedConv2d(nn.Conv2d):
    """`nn.Conv2d` of which input and kernels are rounded to signed bytes; names of its parameters stay.

    `input_range`: logarithm of the magnitude that becomes 127, a parameter of the first convolution that reads a
    tensor; the others that read it have that one in `owner`.
    """

    input_range: nn.Parameter
    owner: "tuple[QuantisedConv2d, ...]"

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, F, H', W'), computed in float32."""
        with torch.autocast(input.device.type, enabled=False):
            scale = (self.owner[0] if self.owner else self).input_range.exp() / LARGEST
            rounded = round_input(input.float(), scale)
            output: Tensor = self._conv_forward(rounded, round_kernels(self.weight), self.bias)
            return output


def round_input(values: Tensor, scale: Tensor) -> Tensor:
    """`values` rounded to multiples of `scale` (scalar above 0), from -128 to 127 of them; gradients for both."""
    # The gradient of the scale is the sum over all values; Esser et al., 2.2: over the root of their number times 127
    factor = 1 / math.sqrt(values.numel() * LARGEST)
    zero = torch.zeros(1, dtype=scale.dtype, device=scale.device)
    rounded: Tensor = torch._fake_quantize_learnable_per_tensor_affine(
        values, scale.view(1), zero, -LARGEST - 1, LARGEST, factor
    )
    return rounded


def round_kernels(kernels: Tensor) -> Tensor:
    """(F, C, k, k) rounded to multiples of each output channel's largest magnitude / 127; gradient 1."""
    scales = kernels.detach().abs().amax(dim=(1, 2, 3)) / LARGEST  # (F,)
    scales = torch.where(scales > 0, scales, 1.0)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(kernels, scales, zeros, 0, -LARGEST, LARGEST)


def quantise(network: Network, ranges: Mapping[tuple[int, ...], float]) -> None:
    """Makes convolutions of `network` quantised ones, in place.

    `ranges`: the layers that read one tensor -> the magnitude of it that becomes 127, above 0. Raises `TrainingError`
    for a layer that is no convolution, or one with batch-norm.
    """
    for layers, largest in ranges.items():
        owner: tuple[QuantisedConv2d, ...] = ()
        for index in layers:
            convolution = _convolution(network, index)
            convolution.__class__ = QuantisedConv2d
            assert isinstance(convolution, QuantisedConv2d)
            convolution.owner = owner
            if not owner:
                start = torch.tensor(math.log(largest), device=convolution.weight.device)
                convolution.input_range = nn.Parameter(start)
                owner = (convolution,)


def _convolution(network: Network, index: int) -> nn.Conv2d:
    section = network.sections[index] if 0 <= index < len(network.sections) else None
    if not isinstance(section, ConvolutionalSection):
        raise TrainingError(
            f"quantisers: layer {index} of {network.cfg.file} is no convolution; take the file that was made for this "
            f"cfg"
        )
    if section.batch_normalize or section.shared_with is not None:
        what = "batch-norm" if section.batch_normalize else "the weights of another layer"
        raise TrainingError(
            f"quantisers: layer {index} of {network.cfg.file} has {what}, which INT8 kernels cannot have; fold it "
            f"first (traffic-yolo darknet fuse)"
        )
    convolution = network.layers[index].get_submodule("conv")
    assert isinstance(convolution, nn.Conv2d)
    return convolution


def ranges_of(network: Network) -> dict[tuple[int, ...], float]:
    """What `quantise` was given, as it was trained since."""
    groups: dict[int, list[int]] = {}
    owners: dict[int, QuantisedConv2d] = {}
    for index, layer in enumerate(network.layers):
        for module in layer.modules():
            if isinstance(module, QuantisedConv2d):
                owner = module.owner[0] if module.owner else module
                owners[id(owner)] = owner
                groups.setdefault(id(owner), []).append(index)
    return {tuple(layers): float(owners[key].input_range.detach().exp()) for key, layers in groups.items()}


def round_kernels_for_good(network: Network) -> None:
    """Puts rounded kernels in the place of those that were rounded at each use, in place.

    A runtime in float32 then has the very kernels of the INT8 file, and rounds no input.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, QuantisedConv2d):
                module.weight.copy_(round_kernels(module.weight))


def write_quantisers(path: Path, ranges: Mapping[tuple[int, ...], float]) -> None:
    """Writes the file, atomically."""
    inputs = [{"layers": list(layers), "range": largest} for layers, largest in ranges.items()]
    write_json(path, {"schema_version": SCHEMA_VERSION, "inputs": inputs})


def read_quantisers(location: AnyPath) -> dict[tuple[int, ...], float]:
    """Reads what `write_quantisers` wrote; raises `StorageError` or `OptionsError` in one line for anything else."""
    path = existing_path(location, what="quantisers")
    content = read_json(path, what="quantisers")
    expected = f"{path}: expected the quantisers of a network, as quantize --train writes them"
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise OptionsError(f"{expected}; found another file")
    ranges: dict[tuple[int, ...], float] = {}
    seen: set[int] = set()
    try:
        for each in content["inputs"]:
            layers, largest = tuple(each["layers"]), float(each["range"])
            if not layers or not all(type(index) is int for index in layers) or seen.intersection(layers):
                raise ValueError(f"layers {list(layers)}: whole numbers, each once")
            if not (math.isfinite(largest) and largest > 0):
                raise ValueError(f"range {largest}: a number above 0")
            seen.update(layers)
            ranges[layers] = largest
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise OptionsError(f"{expected}; found {one_line(str(error))[:200]}") from error
    if not ranges:
        raise OptionsError(f"{expected}; found no layers")
    return ranges
