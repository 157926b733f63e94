"""The module of [softmax]."""

import torch
from torch import Tensor, nn


class Softmax(nn.Module):
    def __init__(self, groups: int, temperature: float) -> None:
        super().__init__()
        self.groups = groups
        self.temperature = temperature

    def forward(self, x: Tensor) -> Tensor:
        """See `SoftmaxSection.build`."""
        values = torch.unflatten(x.flatten(1), 1, (self.groups, -1))  # (B, groups, values of a group)
        return (values / self.temperature).softmax(dim=2).reshape(x.shape)
