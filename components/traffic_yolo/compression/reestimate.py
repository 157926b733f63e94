"""Batch-norm statistics measured anew on pictures of the training split, after channels went."""

import numpy as np
import torch
from torch import nn

from traffic_yolo.compression.drawn_pictures import drawn_pictures
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.detect import network_input

BATCH = 8


def reestimate(network: Network, dataset: DataSet, *, pictures: int, seed: int) -> int:
    """Replaces, in place, means and variances by those of so many pictures of the split train; returns how many.

    Each layer sees what the layers before it give with the batch's own statistics, as in training; batches count alike,
    and a last one of a single picture is left out.
    Raises `DatasetError` where the split is empty.
    """
    drawn = drawn_pictures(dataset, pictures, seed=seed, purpose="measure batch-norm on", instead="give 0 pictures")
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    was_training, measured = network.training, 0
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    try:
        with torch.no_grad():
            for start in range(0, len(drawn), BATCH):
                chosen = drawn[start : start + BATCH]
                if len(chosen) == 1 and start:
                    break  # one picture has no variance where a layer has one pixel
                tensors = [
                    network_input(picture, network.input_hw, letterboxed=network.letterbox) for picture in chosen
                ]
                network(torch.from_numpy(np.stack(tensors)))
                measured += len(chosen)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        network.train(was_training)
    return measured
