"""The averaged network: follows the trained one and is what a training delivers."""

import copy

import torch

from traffic_yolo.darknet.network import Network


class AveragedNetwork:
    """Exponential moving average of weights and batch-norm statistics.

    After each update, average = a * average + (1 - a) * weights with a = min(alpha, (1 + n) / (10 + n)), n = updates so
    far: a short run is averaged over its last tenth, not over its random start. alpha 0 copies.
    """

    def __init__(self, network: Network, alpha: float) -> None:
        """Starts as a copy of `network`."""
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.alpha = alpha

    @torch.no_grad()
    def update(self, network: Network, num_updates: int) -> None:
        """Follows `network` after its update number `num_updates` (from 1), in place."""
        weight = 1 - min(self.alpha, (1 + num_updates) / (10 + num_updates))
        averaged = self.network.state_dict()
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                # lerp is start + weight * (end - start): equal values, those of frozen layers, stay bit for bit
                averaged[name].lerp_(value, weight)
            else:
                averaged[name].copy_(value)
