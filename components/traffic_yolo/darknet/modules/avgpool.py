"""The pool of [local_avgpool] with padding, which PyTorch would count."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class LocalAvgPool(nn.Module):
    def __init__(self, size: int, stride_yx: tuple[int, int], sides: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.size = size
        self.stride_yx = stride_yx
        self.sides = sides

    def forward(self, x: Tensor) -> Tensor:
        """See `LocalAvgpoolSection.build`: the padded sum by the number of values inside the picture."""
        inside = functional.pad(torch.ones_like(x[:1, :1]), self.sides)  # (1, 1, H + padding, W + padding)
        sums = functional.avg_pool2d(functional.pad(x, self.sides), self.size, self.stride_yx, divisor_override=1)
        return sums / functional.avg_pool2d(inside, self.size, self.stride_yx, divisor_override=1)
