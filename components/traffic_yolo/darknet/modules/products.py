"""The module of [sam] and [scale_channels]."""

from torch import Tensor, nn


class Product(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        """See `_ProductSection.build`."""
        activated: Tensor = self.activation(x * source)
        return activated
