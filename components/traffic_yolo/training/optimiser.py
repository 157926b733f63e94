"""The optimiser of a network: Darknet's SGD with momentum or its Adam, or AdamW; decay on convolution kernels only."""

import torch
from torch import nn

from traffic_yolo.darknet.network import Network
from traffic_yolo.training.layer_plan import LayerPlan
from traffic_yolo.training.settings import Settings

FACTORS = "rate_factors"  # of a parameter group: one factor for each of the layer plan's states


def build_optimizer(network: Network, settings: Settings, plan: LayerPlan) -> torch.optim.Optimizer:
    """An optimiser of all parameters that any update changes, with learning rate 0 until `set_rate`.

    A parameter without a gradient, as those of a stage that has not begun, is left alone. Darknet adds the decay to the
    gradient of kernels and of nothing else (convolutional_layer.c 1599); so do sgd and adam here. AdamW applies it to
    the same ones, apart from the gradient. Parameters with the same factors (`LayerPlan`) share a group.
    """
    groups: dict[tuple[bool, tuple[float, ...]], list[nn.Parameter]] = {}
    seen: set[int] = set()
    for index in sorted(plan.ever_trainable):
        factors = tuple(states.factors.get(index, 1.0) for states in plan.all_states)
        for module in network.layers[index].modules():
            for name, parameter in module.named_parameters(recurse=False):
                if id(parameter) in seen:
                    continue  # a layer that uses another's weights
                seen.add(id(parameter))
                is_kernel = isinstance(module, nn.Conv2d) and name == "weight"
                groups.setdefault((is_kernel, factors), []).append(parameter)
    described = [
        {"params": parameters, "weight_decay": settings.decay if is_kernel else 0.0, FACTORS: list(factors)}
        for (is_kernel, factors), parameters in groups.items()
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(described, lr=0.0, momentum=settings.momentum)
    adaptive = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return adaptive(described, lr=0.0, betas=(settings.momentum, settings.beta2), eps=settings.epsilon)


def set_rate(optimizer: torch.optim.Optimizer, rate: float, *, state: int = 0) -> None:
    """Sets the learning rate of all groups, each times its factor in the layer plan's state number `state`, in place."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group[FACTORS][state]
