"""Batch-norm whose statistics are those of all processes' pictures together, on any device.

torch's own `SyncBatchNorm` runs on GPUs alone, and a training on two processes must be that of one to rounding
wherever it is tested.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the same parameters and names; in evaluation mode it is the very same."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape and type."""
        if not self.training:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        result, mean, variance, count = _Normalised.apply(input, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            # As torch and cuDNN do: biased to normalise, unbiased to remember
            self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), self.momentum or 0.0)
        return result  # type: ignore[no-any-return]


def sync_batch_norms(network: nn.Module) -> None:
    """Makes every `nn.BatchNorm2d` of a network a synced one, in place; its tensors and their names stay."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm2d


class _Normalised(torch.autograd.Function):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, with the mean and variance over all processes.

    With n values of a channel in all, xhat the normalised input and g the gradient by y,
    dx = weight / sqrt(var + eps) * (g - sum(g) / n - xhat * sum(g * xhat) / n), the sums over all processes. The
    gradients by weight and bias are this process's share: the training adds them up with all others.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, C, H, W), (C,), (C,) -> the result, mean (C,), biased variance (C,), count of values (scalar)."""
        values = x.float()
        channels = values.shape[1]
        sums = torch.cat([values.sum(dim=(0, 2, 3)), values.new_tensor([values.numel() // channels])])
        distributed.all_reduce(sums)
        count = sums[-1]
        mean = sums[:-1] / count
        centred = values - mean[:, None, None]
        # A second message, since the mean of squares less the square of the mean loses digits
        squares = centred.square().sum(dim=(0, 2, 3))
        distributed.all_reduce(squares)
        variance = squares / count
        scale = torch.rsqrt(variance + eps)
        normalised = centred * scale[:, None, None]
        ctx.save_for_backward(normalised, weight, scale, count)
        ctx.mark_non_differentiable(mean, variance, count)
        result = normalised * weight[:, None, None] + bias[:, None, None]
        return result.to(x.dtype).contiguous(memory_format=torch.channels_last), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The gradient by x, and this process's share of those by weight and bias."""
        normalised, weight, scale, count = ctx.saved_tensors
        gradient = gradients[0].float()
        by_bias = gradient.sum(dim=(0, 2, 3))
        by_weight = (gradient * normalised).sum(dim=(0, 2, 3))
        sums = torch.stack([by_bias, by_weight])
        distributed.all_reduce(sums)
        means = sums / count
        inner = gradient - means[0][:, None, None] - normalised * means[1][:, None, None]
        by_x = inner * (weight * scale)[:, None, None]
        return by_x.to(gradients[0].dtype), by_weight, by_bias, None
