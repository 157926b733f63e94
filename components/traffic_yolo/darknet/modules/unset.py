"""PyTorch's layers without PyTorch's start: their weights hold anything until Darknet's start or a file sets them.

`torch.nn.utils.skip_init` does the same by a detour over the meta device, which loads sympy: half a second at first.
"""

from torch import nn


class UnsetConv2d(nn.Conv2d):
    """nn.Conv2d with unset weights."""

    def reset_parameters(self) -> None:
        """Leaves the weights as they are."""


class UnsetLinear(nn.Linear):
    """nn.Linear with unset weights."""

    def reset_parameters(self) -> None:
        """Leaves the weights as they are."""
