"""A convolution and its activation as one oneDNN operation with weights packed beforehand, for processors.

The operations are those that torch.compile makes of a frozen network; PyTorch calls them private. Where a version of
PyTorch does not have them, the plain modules run.
"""

import torch
from torch import Tensor, nn

# PyTorch's module -> the name of oneDNN's post-operation and its numbers
_POST_OPERATIONS: dict[type[nn.Module], str] = {
    nn.Identity: "none",
    nn.LeakyReLU: "leaky_relu",
    nn.ReLU: "relu",
    nn.SiLU: "swish",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
}


class FusedConvolution(nn.Module):
    """`convolution` followed by `activation`, for inputs of `input_hw`; both must be on the CPU.

    Other input sizes work too, only slower. `covers(activation)` says whether oneDNN can do it in the same pass.
    """

    def __init__(self, convolution: nn.Conv2d, activation: nn.Module, *, input_hw: tuple[int, int]) -> None:
        super().__init__()
        self._padding, self._stride = list(convolution.padding), list(convolution.stride)  # ints, not "same"
        self._dilation, self._groups = list(convolution.dilation), convolution.groups
        self._post_operation = _POST_OPERATIONS[type(activation)]
        self._numbers = [activation.negative_slope] if isinstance(activation, nn.LeakyReLU) else []
        self._bias = convolution.bias
        geometry = (self._padding, self._stride, self._dilation, self._groups)
        self._kernels = torch.ops.mkldnn._reorder_convolution_weight(
            convolution.weight.detach().contiguous(memory_format=torch.channels_last),
            *geometry,
            [1, convolution.in_channels, *input_hw],
        )

    @staticmethod
    def is_available() -> bool:
        """Whether this PyTorch has oneDNN and the operations."""
        operations = ("_convolution_pointwise", "_reorder_convolution_weight")
        return torch._C._has_mkldnn and all(hasattr(torch.ops.mkldnn, name) for name in operations)

    @staticmethod
    def covers(activation: nn.Module) -> bool:
        """Whether the activation can be part of the operation."""
        return type(activation) in _POST_OPERATIONS

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, F, H', W'), channels last in memory."""
        output: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x,
            self._kernels,
            self._bias,
            self._padding,
            self._stride,
            self._dilation,
            self._groups,
            self._post_operation,
            self._numbers,
            "",
        )
        return output
