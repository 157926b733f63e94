"""The module of [implicit]."""

import torch
from torch import Tensor, nn


class Implicit(nn.Module):
    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(1, *shape))

    def forward(self, images: Tensor) -> Tensor:
        """See `ImplicitSection.build`."""
        return self.values.expand(images.shape[0], -1, -1, -1)
