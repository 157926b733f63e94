"""What silenced channels still give, carried into the layers that read them, so that the channels can be taken out.

A silenced channel is a plane of one value, v. A convolution adds v times the sum of its kernel to every pixel: that
number goes into the layer's means, or its biases without batch-norm. It is exact where no window reaches into the
padding (size 1, or no padding) or where v is 0; at padded borders a part of the kernel lies outside, and what is then
wrong is measured: the planes are observed in the network itself, at its own size.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from traffic_yolo.compression.masking import batch_norm_of, mask_units, places_of
from traffic_yolo.darknet.channel_ties import ChannelTies
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.channel_tying import Positions
from traffic_yolo.darknet.sections.connected import ConnectedSection
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.surgery_channels import remove_channels

# A carried value is exact when float32 rounds no better: of the largest sum of kernels times values.
ROUNDING = 1e-6


@dataclass(frozen=True)
class CarryError:
    """How wrong layer `layer` is at padded borders at most, `bound`, in values that enter its activation.

    `share` is the part of its pixels where anything is wrong.
    """

    layer: int
    bound: float
    share: float


@dataclass(frozen=True)
class Carried:
    """A network without its silenced channels, and where it differs from the silenced one; no entry where it is equal.

    `read` counts the layers that read a silenced channel.
    """

    network: Network
    errors: tuple[CarryError, ...]
    read: int


def take_out(network: Network, ties: ChannelTies, units: Collection[int]) -> Carried:
    """`network` (in eval mode) without the channels of `units`, what these still gave carried on.

    Raises as `remove_channels`.
    """
    smaller = remove_channels(network, ties, units)  # first: it refuses before anything is run
    masked = mask_units(network, ties, units)
    errors, applied, readers = [], dict[int, Tensor](), 0
    with torch.no_grad():
        for section, positions, planes in _observed(masked, ties, units):
            readers += 1
            layer = masked.layers[section.index]
            values, field = _field(layer, section, positions, planes)
            kept = torch.from_numpy(ties.kept(ties.outputs[section.index], units))
            owner = section.shared_with if isinstance(section, ConvolutionalSection) else None
            if owner is None:
                applied[section.index] = values
                _add(smaller.layers[section.index], values[kept])
            else:  # one bias for both: what the owner needed
                values = applied[owner]
            if (error := border_error(section.index, layer, values[kept], field[kept], kept)) is not None:
                errors.append(error)
    return Carried(smaller, tuple(errors), readers)


def inexact_units(network: Network, ties: ChannelTies, units: Collection[int]) -> set[int]:
    """Those of `units` that, silenced, leave a value which a padded convolution or a mixing layer sees uneven."""
    masked = mask_units(network, ties, units)
    found: set[int] = set()
    for section, positions, planes in _observed(masked, ties, units):
        if not isinstance(section, ConvolutionalSection):
            continue  # a fully connected layer knows one picture size, and so one value
        flat = planes[0].flatten(1)  # (P, pixels)
        wrong = flat.amax(1) != flat.amin(1)
        if section.size > 1 and section.padding > 0:
            wrong |= flat[:, 0] != 0
        found.update(ties.inputs[section.index][0][positions[wrong.numpy()]].tolist())
    return found


Readers = ConvolutionalSection | ConnectedSection


def _observed(masked: Network, ties: ChannelTies, units: Collection[int]) -> list[tuple[Readers, Positions, Tensor]]:
    """Each layer that sums up silenced channels, their positions (P,) in what it reads, and their planes (1, P, H, W).

    Convolutions by groups are left out: they lose whole groups. The picture is noise: what silenced channels give
    depends on none.
    """
    seen: list[tuple[Readers, Positions, Tensor]] = []
    handles = []

    def watch(section: Readers, layer: nn.Module, positions: Positions) -> None:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen.append((section, positions, inputs[0][:, torch.from_numpy(positions)].cpu()))

        handles.append(layer.register_forward_pre_hook(hook))

    for section, layer in zip(masked.sections, masked.layers, strict=True):
        if isinstance(section, ConnectedSection) or (isinstance(section, ConvolutionalSection) and section.groups == 1):
            positions = places_of(units, ties.inputs[section.index][0])
            if len(positions):
                watch(section, layer, positions)
    noise = np.random.default_rng(0).random((1, masked.input_channels, *masked.input_hw), dtype=np.float32)
    try:
        with torch.no_grad():
            masked(torch.from_numpy(noise).to(next(masked.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _field(layer: nn.Module, section: Readers, positions: Positions, planes: Tensor) -> tuple[Tensor, Tensor]:
    """The value to carry (F,), and what the silenced channels really add, (F, H', W'); float64."""
    planes = planes.double()
    if isinstance(section, ConnectedSection):
        columns = (positions[:, None] * planes[0, 0].numel() + np.arange(planes[0, 0].numel())).ravel()
        kernels = layer.get_submodule("linear").get_parameter("weight").detach()[:, columns].cpu().double()
        values = kernels @ planes.flatten()
        return values, values[:, None, None]
    convolution = layer.get_submodule("conv")
    assert isinstance(convolution, nn.Conv2d)
    assert not isinstance(convolution.padding, str)
    kernels = convolution.weight.detach()[:, torch.from_numpy(positions)].cpu().double()  # (F, P, k, k)
    inner = planes.flatten(2).median(dim=2).values[0]  # (P,)
    values = kernels.sum(dim=(2, 3)) @ inner
    window = convolution.stride, convolution.padding, convolution.dilation
    return values, functional.conv2d(planes, kernels, None, *window)[0]


def _add(layer: nn.Module, values: Tensor) -> None:
    """Adds values (F,) in place to what a layer's activation receives, before its batch-norm."""
    norm = batch_norm_of(layer)
    if norm is not None:
        assert norm.running_mean is not None
        norm.running_mean.copy_((norm.running_mean.double() - values).float())
        return
    inner = layer.get_submodule("conv" if "conv" in dict(layer.named_children()) else "linear")
    bias = inner.get_parameter("bias")
    bias.copy_((bias.double() + values).float())


def border_error(index: int, layer: nn.Module, values: Tensor, field: Tensor, kept: Tensor) -> CarryError | None:
    """How far `field` (F, H, W) is from `values` (F,), behind the batch-norm of `layer`; None where it is not.

    `kept`: which filters of `layer` these are, (F,).
    """
    wrong = (field - values[:, None, None]).abs()
    wrong[wrong <= ROUNDING * max(1.0, float(field.abs().max()))] = 0.0
    if not wrong.any():
        return None
    share = float((wrong.amax(0) > 0).double().mean())
    norm = batch_norm_of(layer)
    if norm is not None:
        assert norm.running_var is not None
        factor = norm.weight.detach().double().abs() / torch.sqrt(norm.running_var.double() + norm.eps)
        wrong = wrong * factor[kept][:, None, None]
    return CarryError(index, float(wrong.max()), share)
