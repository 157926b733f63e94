"""Short trainings that Darknet did on a CPU, done again: forward, loss, gradients, SGD and rolling statistics at once."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from darknet_cpu_batch_norm import PRODUCT, BatchNormRules, DarknetCpuBatchNorm, with_darknet_batch_norm
from numpy.typing import NDArray
from torch import nn

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.training.loss import YoloLoss
from traffic_yolo.training.optimiser import build_optimizer, set_rate
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.settings import resolve
from traffic_yolo.training.targets import Truths, join_truths

Arrays = Mapping[str, NDArray[Any]]
NORMALIZED = """[net]
width=48
height=32
channels=3
[convolutional]
batch_normalize=1
filters=6
size=3
stride=2
pad=1
activation=leaky
[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=mish
[convolutional]
filters=6
activation=linear
[yolo]
anchors=8,8
classes=1
"""
NAMES = {"biases": "b", "scales": "s", "means": "rm", "variances": "rv", "kernels": "w"}
SWITCHES = {
    "beta": replace(BatchNormRules(), frozen_beta=False),
    "variance": replace(BatchNormRules(), sample_variance=False),
    "momentum": replace(BatchNormRules(), momentum=PRODUCT.momentum),
    "eps": replace(BatchNormRules(), eps_outside=False),
}


def truths_of(rows: NDArray[np.float32]) -> Truths:
    """(pictures, rows, 6) as Darknet's loader leaves them."""
    kept = [picture[: int((picture[:, 0] == 0).argmax())] for picture in rows]
    return join_truths(
        [picture[:, :4] for picture in kept],
        [picture[:, 4].astype(np.int64) for picture in kept],
        [np.zeros(len(picture), bool) for picture in kept],
    )


def stored(network: Network, arrays: Arrays, prefix: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Name of an array in the file, without its prefix -> (ours, Darknet's)."""
    found = {}
    for index, (section, layer) in enumerate(zip(network.sections, network.layers, strict=True)):
        for name, tensor in section.weights(layer):
            key = f"{NAMES[name]}{index}"
            found[key] = (tensor.detach(), torch.from_numpy(arrays[f"{prefix}_{key}"]))
    return found


def trained(arrays: Arrays, rules: BatchNormRules | None) -> tuple[dict[str, float], list[float], float]:
    """Trains as Darknet did.

    Gives per array of weights and statistics the largest error in shares of the array's largest movement, over all
    iterations; the loss of each as Darknet reports it; and the largest error of SGD's buffers in the same way.
    """
    cfg = Cfg.parse(str(arrays["cfg"]))
    parameters = json.loads(str(arrays["params"]))
    network = Network.from_cfg(cfg)
    with torch.no_grad():
        for ours, theirs in stored(network, arrays, "init").values():
            ours.copy_(theirs)
    if rules is not None:
        with_darknet_batch_norm(network, rules)
    network.train()
    settings = resolve(TrainingOptions(recipe="darknet"), network, num_pictures=4)
    optimizer = build_optimizer(network, settings, settings.layer_plan(network))
    loss_of = YoloLoss(network.heads, cfg.net, kind="darknet", max_batches=1000)
    pictures, part = 4, parameters["batch"]
    start = {name: ours.clone() for name, (ours, _) in stored(network, arrays, "init").items()}
    errors = dict.fromkeys(start, 0.0)
    losses, buffer_error = [], 0.0
    for iteration, expected in enumerate(parameters["iters"]):
        images = torch.from_numpy(arrays["X_u8"][iteration]).float() / 255
        truths = truths_of(arrays["truths"][iteration])
        set_rate(optimizer, settings.schedule.rate(iteration + 1))
        assert settings.schedule.rate(iteration + 1) == pytest.approx(expected["rate"])
        optimizer.zero_grad()
        cost = 0.0
        for first in range(0, pictures, part):
            outputs = network(images[first : first + part])
            some = truths.of_images(first, first + part)
            loss = loss_of(outputs, some, network_wh=(48, 32), iteration=iteration)
            (loss.total / pictures).backward()
            cost += loss.cost.item()
        optimizer.step()
        losses.append(cost / pictures / expected["loss"])
        for name, (ours, theirs) in stored(network, arrays, f"it{iteration + 1}").items():
            moved = (theirs - start[name]).abs().max().item()
            difference = (ours - theirs).abs().max().item()
            if moved:  # else Darknet has left it alone
                errors[name] = max(errors[name], difference / moved)
            elif difference:
                errors[name] = float("inf")
        for index, layer in enumerate(network.layers[:3]):
            buffer = optimizer.state[layer.conv.weight]["momentum_buffer"]
            theirs = torch.from_numpy(arrays[f"it{iteration + 1}_wu{index}"])
            ours = -pictures * settings.momentum * buffer
            buffer_error = max(buffer_error, ((ours - theirs).abs().max() / theirs.abs().max()).item())
    return errors, losses, buffer_error


@pytest.fixture(params=["tiny-train", "tiny-train-v4-burnin", "tiny-train-csp"])
def training(request: pytest.FixtureRequest, reference: Path) -> Arrays:
    arrays: Arrays = np.load(reference / "golden" / "training" / f"{request.param}.npz")
    return arrays


@pytest.mark.reference
def test_training_with_darknets_cpu_batch_norm_is_darknets(training: Arrays) -> None:
    errors, losses, buffer_error = trained(training, BatchNormRules())
    assert max(errors.values()) < 1e-4
    assert buffer_error < 1e-4
    assert losses == pytest.approx([1.0] * len(losses), abs=1e-5)


# switch -> an array of the file that shows it
@pytest.mark.many(4)
@pytest.mark.reference
@pytest.mark.parametrize(("switch", "array"), [("beta", "b0"), ("variance", "w0"), ("momentum", "rm0"), ("eps", "w0")])
def test_each_switch_alone_departs_from_darknets_cpu(training: Arrays, switch: str, array: str) -> None:
    errors, _, _ = trained(training, SWITCHES[switch])
    assert errors[array] > 1e-4


@pytest.mark.reference
def test_products_batch_norm_trains_as_all_switches_turned(training: Arrays) -> None:
    """What lies between the product and Darknet's CPU is these four rules, and nothing else."""
    product, turned = (trained(training, rules)[0] for rules in (None, PRODUCT))
    assert product == pytest.approx(turned, rel=1e-3)


def test_all_switches_turned_are_pytorchs_batch_norm() -> None:
    network = Network.from_cfg(Cfg.parse(NORMALIZED), seed=1).train()
    turned = with_darknet_batch_norm(copy.deepcopy(network), PRODUCT).train()
    pictures = torch.rand(4, 3, 32, 48)
    for one in (network, turned):
        one(pictures)[0].square().sum().backward()
    for name, value in network.state_dict().items():
        if "num_batches" not in name:
            torch.testing.assert_close(turned.state_dict()[name], value)
    for (name, found), (_, expected) in zip(turned.named_parameters(), network.named_parameters(), strict=True):
        assert found.grad is not None, name
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("switch", "shown"),
    [
        ("beta", lambda norm, x: norm(x).requires_grad and norm.bias.requires_grad),
        ("variance", lambda norm, x: norm(x).var(dim=(0, 2, 3), correction=0).mean() > 0.95),
        ("momentum", lambda norm, x: norm(x) is not None and norm.running_mean.mean() < 0.02),
    ],
)
def test_switch_is_the_rule_it_says(switch: str, shown: Callable[[nn.BatchNorm2d, torch.Tensor], bool]) -> None:
    """Four values a channel, so that n and n - 1 are far apart; their mean is 1."""
    x = torch.tensor([0.0, 2.0, 0.0, 2.0]).view(4, 1, 1, 1).expand(4, 3, 1, 1)
    for rules, turned in ((BatchNormRules(), False), (SWITCHES[switch], True)):
        assert bool(shown(DarknetCpuBatchNorm(nn.BatchNorm2d(3), rules), x)) == turned
