"""The module of [route]."""

import torch
from torch import Tensor, nn


class Route(nn.Module):
    def __init__(self, groups: int, group_id: int) -> None:
        super().__init__()
        self.groups = groups
        self.group_id = group_id

    def forward(self, *inputs: Tensor) -> Tensor:
        """See `RouteSection.build`."""
        if self.groups > 1:
            inputs = tuple(x.chunk(self.groups, dim=1)[self.group_id] for x in inputs)
        return inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)
