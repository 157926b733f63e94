"""The optimiser of a network: Darknet's SGD with momentum, or AdamW; decay on convolution kernels only."""

import torch
from torch import nn

from traffic_yolo.darknet.network import Network
from traffic_yolo.training.settings import Settings

BETA2 = 0.999  # Darknet's B2


def build_optimizer(network: Network, settings: Settings) -> torch.optim.Optimizer:
    """An optimiser of the parameters that require gradients, with learning rate 0 until `set_rate`.

    Darknet adds the decay to the gradient of kernels and of nothing else (convolutional_layer.c 1599); so does sgd
    here. AdamW applies it to the same ones, apart from the gradient.
    """
    kernels: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                (kernels if isinstance(module, nn.Conv2d) and name == "weight" else others).append(parameter)
    groups = [{"params": kernels, "weight_decay": settings.decay}, {"params": others, "weight_decay": 0.0}]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0, betas=(settings.momentum, BETA2))
    return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of all groups, in place."""
    for group in optimizer.param_groups:
        group["lr"] = rate
