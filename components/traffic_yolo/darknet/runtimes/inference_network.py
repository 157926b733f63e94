"""The form of a network that runtimes start from: batch-norm folded in, quicker Mish, the precision asked for."""

import torch
from torch import nn

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.runtimes.fused_convolution import FusedConvolution
from traffic_yolo.darknet.runtimes.mish import InferenceMish
from traffic_yolo.darknet.runtimes.processor import BFLOAT16_FLAGS, bfloat16_flag
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.errors import OptionsError

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def inference_network(network: Network, *, precision: str) -> Network:
    """A fused copy of `network` whose arithmetic is in `precision`; inputs must come in that dtype.

    Raises `OptionsError` for bfloat16 where the network's device does not multiply in it.
    """
    device = next(network.parameters()).device
    if precision == "bfloat16":
        check_bfloat16(device)
    copy = network.fuse().to(_DTYPES[precision])
    for module in list(copy.modules()):
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.float()  # [batchnorm] layers: their statistics keep all digits, PyTorch takes the mixture
        for name, child in module.named_children():
            if type(child) is nn.Mish:
                setattr(module, name, InferenceMish())
    return copy


def fuse_activations(network: Network, input_hw: tuple[int, int]) -> None:
    """Packs the convolutions of a fused network on the CPU for oneDNN in place, with their activations where it can.

    `input_hw` is the input size that it will run at.
    """
    height, width = input_hw
    for section, layer in zip(network.sections, network.layers, strict=True):
        if not isinstance(section, ConvolutionalSection):
            continue
        convolution, activation = layer.get_submodule("conv"), layer.get_submodule("activation")
        assert isinstance(convolution, nn.Conv2d)
        # the layer's input at this size; exact for multiples of the stride, and only a hint for oneDNN otherwise
        layer_hw = (
            section.input.height * height // network.input_hw[0],
            section.input.width * width // network.input_hw[1],
        )
        if FusedConvolution.covers(activation):
            layer.conv = FusedConvolution(convolution, activation, input_hw=layer_hw)
            layer.activation = nn.Identity()
        else:
            layer.conv = FusedConvolution(convolution, nn.Identity(), input_hw=layer_hw)


def check_bfloat16(device: torch.device) -> None:
    """Raises `OptionsError` unless the device multiplies in bfloat16; emulated, it would be slower than float32."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return
    if device.type == "cpu" and bfloat16_flag() is not None:
        return
    wanted = f"a processor with {' or '.join(BFLOAT16_FLAGS)} (see the flags in /proc/cpuinfo)"
    raise OptionsError(f"precision bfloat16 needs {wanted}, this {device.type} has neither; choose float32")
