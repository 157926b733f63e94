"""The module of [activation]."""

from torch import Tensor, nn


class Apart(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """See `ActivationSection.build`."""
        activated: Tensor = self.activation(x.clone())
        return activated
