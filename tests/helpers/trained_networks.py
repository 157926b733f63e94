"""Networks with statistics as after training, so that batch-norm does something."""

import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network


def trained_network(cfg: Cfg, *, seed: int = 0) -> Network:
    """The network of a cfg in eval mode; weights and the batch-norms' means and variances from `seed`."""
    network = Network(cfg, seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            module.running_mean.uniform_(-0.5, 0.5, generator=generator)
    return network
