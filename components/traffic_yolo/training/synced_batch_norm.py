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

    Every pass over the pictures is one of torch's own kernels, and each direction takes one message: composed of
    arithmetic on tensors, this took most of a step's time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, C, H, W), (C,), (C,) -> the result, mean (C,), biased variance (C,), count of values (scalar)."""
        # Float32 statistics of bfloat16 pictures come only where running ones are given: these are thrown away
        own = torch.batch_norm_update_stats(x, torch.zeros_like(weight), torch.zeros_like(weight), 0.0)
        mean, variance, count = _over_all(*own, x.numel() // x.shape[1])
        ctx.save_for_backward(x, weight, mean, torch.rsqrt(variance + eps), count)
        ctx.mark_non_differentiable(mean, variance, count)
        result = nn.functional.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        return result.contiguous(memory_format=torch.channels_last), mean, variance, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """The gradient by x, and this process's share of those by weight and bias."""
        narrow_x, weight, mean, scale, count = ctx.saved_tensors
        # The sums below would be as narrow as what they are of
        gradient, x = (each.float() for each in (gradients[0], narrow_x))
        by_bias, by_weight = _sums(gradient, x, mean, scale)
        sums = torch.stack([by_bias, by_weight])
        distributed.all_reduce(sums)
        of_gradient, of_normalised = sums / count
        # The formula above, sorted by what stands before g and x: per channel dx = factor * g - slope * x - shift
        factor = weight * scale
        slope = factor * scale * of_normalised
        shift = factor * of_gradient - slope * mean
        by_x = (gradient * factor[:, None, None]).addcmul_(x, slope[:, None, None], value=-1).sub_(shift[:, None, None])
        return by_x.to(gradients[0].dtype), by_weight, by_bias, None


def _over_all(mean: Tensor, variance: Tensor, values: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), biased variance (C,) and count (scalar) over all processes, from those of this one."""
    own = torch.cat([mean, variance, mean.new_tensor([values])])
    rows = own.new_empty(distributed.get_world_size(), len(own))
    distributed.all_gather(list(rows), own)
    return pooled(rows[:, : len(mean)], rows[:, len(mean) : -1], rows[:, -1:])


def pooled(means: Tensor, variances: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (C,), biased variance (C,) and count of all values, from those of P parts: (P, C), (P, C), (P, 1).

    By the parts' distances from the common mean (Chan, Golub and LeVeque 1979): the mean of squares less the square of
    the mean loses digits.
    """
    count = counts.sum()
    shares = counts / count
    mean = (shares * means).sum(dim=0)
    return mean, (shares * (variances + (means - mean).square())).sum(dim=0), count


def _sums(gradient: Tensor, x: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The sums (C,) of g and of g * xhat over this process's values, in one pass."""
    ones, variance = torch.ones_like(scale), scale.square().reciprocal()
    _, by_weight, by_bias = torch.ops.aten.native_batch_norm_backward(
        gradient, x, ones, mean, variance, None, None, False, 0.0, [False, True, True]
    )
    return by_bias, by_weight
