"""Folds a convolution's batch-norm into its kernels: the same function with less work, for inference only."""

import torch
from torch import nn


def fold_batch_norm(layer: nn.Module) -> None:
    """Changes the module of a convolutional layer in place: `bn` becomes the identity, `conv` gets its bias.

    Computed in float64, so that folding adds no error beyond the rounding of the new kernels. A layer without
    batch-norm only gets its activation made in-place, which is safe without gradients.
    """
    convolution = layer.get_submodule("conv")
    assert isinstance(convolution, nn.Conv2d)
    activation = layer.get_submodule("activation")
    if isinstance(activation, nn.Mish | nn.SiLU):
        activation.inplace = True
    norm = dict(layer.named_children()).get("bn")
    if not isinstance(norm, nn.BatchNorm2d):
        return
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)  # (F,)
    bias = norm.bias.double() - norm.running_mean.double() * factor
    kernels = convolution.weight.double() * factor[:, None, None, None]
    convolution.weight = nn.Parameter(kernels.to(convolution.weight.dtype), requires_grad=False)
    convolution.bias = nn.Parameter(bias.to(convolution.weight.dtype), requires_grad=False)
    layer.bn = nn.Identity()
