"""Applies to a network which layers may change: gradients on or off, batch-norm statistics that follow or stay."""

import hashlib
from collections.abc import Collection, Mapping

import torch
from torch import nn

from traffic_yolo.darknet.network import Network
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.plan import FineTunePlan

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def trainable_layers(network: Network, fine_tune_layers: str) -> frozenset[int]:
    """Darknet indices of the layers that a plan of one stage leaves trainable, or that any of its stages does.

    Raises `OptionsError` as `FineTunePlan.parse` and `Stage.layers_of` do.
    """
    stages = FineTunePlan.parse(fine_tune_layers).stages
    return frozenset().union(*(stage.layers_of(network) for stage in stages))


def freeze(network: Network, trainable: Collection[int]) -> None:
    """Switches gradients off for all layers but `trainable`, in place; see `set_training_mode` for the statistics."""
    for index, layer in enumerate(network.layers):
        layer.requires_grad_(index in trainable)
    for section in network.sections:  # a layer that uses another's weights may not switch them off, or on
        shared_with = getattr(section, "shared_with", None)
        if shared_with is not None:
            network.layers[section.index].requires_grad_(shared_with in trainable)


def set_training_mode(network: Network, trainable: Collection[int], statistics: Collection[int] | None = None) -> None:
    """Training mode for the trainable layers, evaluation mode for the others, in place.

    `statistics`: the layers whose batch-norm normalises by the batch and follows it; by default the trainable ones. The
    batch-norm of all others normalises by its stored statistics, and keeps them.
    """
    following = trainable if statistics is None else statistics
    network.train()
    for index, layer in enumerate(network.layers):
        layer.train(index in trainable)
        for module in layer.modules():
            if isinstance(module, NORMS):
                module.train(index in following)


def tensor_hashes(network: Network, layers: Collection[int]) -> dict[str, str]:
    """SHA-256 of each tensor (weights and statistics) of these layers, by its name in the state dict."""
    chosen = {f"layers.{index}" for index in layers}
    return {
        name: hashlib.sha256(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()
        for name, value in network.state_dict().items()
        if ".".join(name.split(".")[:2]) in chosen
    }


def check_frozen_unchanged(before: Mapping[str, str], network: Network) -> None:
    """Raises `TrainingError` naming the first tensor that is not the one whose hash `tensor_hashes` took."""
    layers = {int(name.split(".")[1]) for name in before}
    now = tensor_hashes(network, layers)
    for name, digest in before.items():
        if now.get(name) != digest:
            raise TrainingError(
                f"layer {name.split('.')[1]} was to stay as it was, and {name} has changed: "
                f"expected SHA-256 {digest[:12]}, found {now.get(name, 'no such tensor')[:12]}; this is a fault of ours"
            )
