"""What the loss takes of a training step: forward and backward of the loss alone against those of network and loss.

Batch 16, all threads: the package's traffic-small, and Yolo-Fastest at 320 where the reference folder is there
(TRAFFIC_YOLO_REFERENCE). Truths are as many as a busy crossing has, and every class is likely enough that each overlap
counts.
"""

from collections.abc import Iterator

import numpy as np
import torch
from harness import Row, interleaved
from torch import Tensor
from training_data import BATCH, package_cfg, random_truths, reference_cfg

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network
from traffic_yolo.training.loss import YoloLoss
from traffic_yolo.training.options import LOSSES
from traffic_yolo.training.targets import Truths

TOPIC = "loss"
REPEATS = 7
LIKELY = 0.3  # probability of every class: above a quarter, from which on Darknet looks at a cell's overlaps


def networks() -> Iterator[tuple[str, Cfg]]:
    """Name and cfg."""
    yield "traffic-small", package_cfg()
    if (cfg := reference_cfg("weights/yolo-fastest-1.1.cfg", size_wh=(320, 320))) is not None:
        yield "Yolo-Fastest@320", cfg


def rows() -> Iterator[Row]:
    """One row for each network and kind of loss."""
    for name, cfg in networks():
        network = Network.from_cfg(cfg, seed=1).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        height, width = network.input_hw
        pictures = torch.rand(BATCH, 3, height, width, generator=torch.Generator().manual_seed(0))
        pictures = pictures.to(memory_format=torch.channels_last)
        truths = random_truths(network.num_classes)
        outputs = [_likely(x, network.num_classes) for x in network(pictures)]
        for kind in LOSSES:
            yield _row(network, pictures, outputs, truths, name, kind)


def _likely(output: Tensor, num_classes: int) -> Tensor:
    """A head's output whose classes are all likely; a leaf that wants a gradient."""
    leaf = output.detach().clone()
    slots = leaf.view(len(leaf), -1, 5 + num_classes, *leaf.shape[2:])
    slots[:, :, 5:] = float(np.log(LIKELY / (1 - LIKELY)))
    return leaf.requires_grad_()


def _row(network: Network, pictures: Tensor, outputs: list[Tensor], truths: Truths, name: str, kind: str) -> Row:
    height, width = network.input_hw
    loss_of = YoloLoss(network.heads, network.cfg.net, kind=kind, max_batches=1000)

    def loss_alone() -> None:
        loss_of(outputs, truths, network_wh=(width, height), iteration=0).total.backward()

    def network_alone() -> None:
        found = network(pictures)
        torch.autograd.backward(found, [torch.zeros_like(x) for x in found])

    times = interleaved({"loss": loss_alone, "network": network_alone}, repeats=REPEATS)
    loss_s, network_s = times["loss"].median_s, times["network"].median_s
    what = f"{name}, batch {BATCH}, {kind}: forward and backward of the loss"
    peer = f"a whole step {(loss_s + network_s) * 1e3:.0f} ms, {torch.get_num_threads()} threads"
    return Row(TOPIC, what, loss_s * 1e3, "ms", peer, loss_s / (loss_s + network_s), "at most 0.04")
