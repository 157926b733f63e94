"""Batch-norm as Darknet's CPU code computes it, for comparison with trainings that Darknet did on a CPU.

The product has PyTorch's batch-norm, which is what Darknet has on a GPU (cuDNN). Four switches lie between the two.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from traffic_yolo.darknet.network import Network


@dataclass(frozen=True)
class BatchNormRules:
    """What Darknet's CPU path does; the other value of each is the product's."""

    frozen_beta: bool = True  # backward_batchnorm_layer on a CPU forgets the gradient of the biases
    sample_variance: bool = True  # normalises by the variance with 1 / (n - 1)
    momentum: float = 0.1  # rolling = .9 old + .1 new
    eps_outside: bool = True  # one term of the gradient divides by sqrt(variance) + eps


PRODUCT = BatchNormRules(frozen_beta=False, sample_variance=False, momentum=0.01, eps_outside=False)


class _Normalize(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mean: Tensor, variance: Tensor, eps: float, eps_outside: bool) -> Tensor:
        """(B, C, H, W) -> (x - mean) / sqrt(variance + eps), mean and variance (C,)."""
        ctx.save_for_backward(x, mean, variance)
        ctx.eps, ctx.eps_outside = eps, eps_outside
        return (x - _wide(mean)) / _wide(variance + eps).sqrt()

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor, None, None, None, None]:  # type: ignore[override]
        """By x, through mean and variance (blas.c mean_delta_cpu, variance_delta_cpu, normalize_delta_cpu)."""
        x, mean, variance = ctx.saved_tensors
        count = x.numel() / x.shape[1]
        centred, inside = x - _wide(mean), (variance + ctx.eps).sqrt()
        first = variance.sqrt() + ctx.eps if ctx.eps_outside else inside
        by_mean = -delta.sum(dim=(0, 2, 3)) / inside
        by_variance = -0.5 * (delta * centred).sum(dim=(0, 2, 3)) / inside**3
        by_x = delta / _wide(first) + _wide(by_variance) * 2 * centred / count + _wide(by_mean) / count
        return by_x, None, None, None, None


class DarknetCpuBatchNorm(nn.BatchNorm2d):
    """In place of an `nn.BatchNorm2d`, whose parameters and buffers it takes over."""

    def __init__(self, source: nn.BatchNorm2d, rules: BatchNormRules) -> None:
        """Shares the parameters of `source`."""
        super().__init__(source.num_features, eps=source.eps, momentum=rules.momentum)
        self.rules = rules
        self.weight, self.bias = source.weight, source.bias
        self.running_mean, self.running_var = source.running_mean, source.running_var
        self.bias.requires_grad_(not rules.frozen_beta)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape, by the statistics of the batch; rolls them into the running ones."""
        mean, rolled = x.detach().mean(dim=(0, 2, 3)), x.detach().var(dim=(0, 2, 3), correction=1)
        variance = rolled if self.rules.sample_variance else x.detach().var(dim=(0, 2, 3), correction=0)
        assert self.running_mean is not None
        assert self.running_var is not None
        self.running_mean.lerp_(mean, self.rules.momentum)
        self.running_var.lerp_(rolled, self.rules.momentum)
        normal = _Normalize.apply(x, mean, variance, self.eps, self.rules.eps_outside)
        return normal * _wide(self.weight) + _wide(self.bias)


def _wide(values: Tensor) -> Tensor:
    return values[None, :, None, None]


def with_darknet_batch_norm(network: Network, rules: BatchNormRules) -> Network:
    """The network with every batch-norm of its convolutions replaced, in place."""
    for layer in network.layers:
        if hasattr(layer, "bn"):
            layer.bn = DarknetCpuBatchNorm(layer.bn, rules)
    return network
