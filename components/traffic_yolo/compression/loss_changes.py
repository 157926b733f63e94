"""What the loss would lose with each channel, to first order: measured by gradients on pictures of the training split.

A channel that goes leaves activation(bias): its batch-norm's scale becomes 0. To first order the loss changes by
- scale · dL/dscale. Of one picture the changes of the channels that can only go together add up; over pictures their
squares are averaged, since a channel that helps one picture and harms the next matters to both (Molchanov et al. 2019,
"Importance Estimation for Neural Network Pruning", whose gates stand behind the batch-norm; ours stand before its bias,
which pruning keeps).

Beside them, what an error at the outputs of a convolution costs: the squares of the loss's gradients there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traffic_yolo.compression.masking import batch_norm_of
from traffic_yolo.compression.planes import readers
from traffic_yolo.darknet.channel_ties import ChannelTies
from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.progress import progress
from traffic_yolo.training.augment import Augmentation
from traffic_yolo.training.loss import YoloLoss
from traffic_yolo.training.network_sizes import NetworkSizes
from traffic_yolo.training.options import TrainingOptions
from traffic_yolo.training.training_pictures import TrainingPictures

PICTURES = 64  # at most; the ranks of Yolo-Fastest's channels hardly move beyond


@dataclass(frozen=True)
class LossChanges:
    """First-order changes of the loss of each of P pictures, by layer with a batch-norm of C channels.

    `by_scale` (P, C) float64: scale · dL/dscale, what a channel's scale is worth; `by_bias` (P, C): the same of biases.
    `by_output` (F,) float64, by convolution: (dL/dy)² of what it gives before its batch-norm, summed over pixels and
    averaged over pictures.
    """

    by_scale: Mapping[int, NDArray[np.float64]]
    by_bias: Mapping[int, NDArray[np.float64]]
    by_output: Mapping[int, NDArray[np.float64]]

    def of_units(self, ties: ChannelTies) -> NDArray[np.float64]:
        """Of each unit the mean square over pictures, (num_units,); NaN for one that no batch-norm measures."""
        pictures = len(next(iter(self.by_scale.values())))
        total = np.zeros((ties.num_units, pictures))
        is_measured = np.zeros(ties.num_units, np.bool_)
        for index, changes in self.by_scale.items():
            np.add.at(total, ties.outputs[index], changes.T)
            is_measured[ties.outputs[index]] = True
        found: NDArray[np.float64] = np.where(is_measured, np.square(total).mean(axis=1), np.nan)
        return found

    def of_layer(self, index: int) -> float:
        """Of all that a layer gives, scales and biases, the mean square over pictures."""
        return float(np.square((self.by_scale[index] + self.by_bias[index]).sum(axis=1)).mean())


def measure_loss_changes(network: Network, data: DataSet, *, seed: int = 0) -> LossChanges:
    """Measures them on up to `PICTURES` pictures of split train, as they are, with batch-norm's stored statistics.

    `network`, whose classes must be the data set's, stays as it is. Raises `DatasetError` for a split without pictures,
    `TrainingError` for heads that cannot be trained here or pictures in which there is nothing to learn.
    """
    images = data.split("train")
    height, width = network.input_hw
    count = min(PICTURES, len(images))
    sizes = NetworkSizes(width, height, batch=1, max_batches=max(1, count), seed=seed)
    options = TrainingOptions(seed=seed)
    pictures = TrainingPictures.open(data, images, network, options, augmentation=Augmentation(), sizes=sizes)
    loss = YoloLoss(network.heads, network.cfg.net, max_batches=1)
    norms = {
        section.index: norm
        for section, layer in zip(network.sections, network.layers, strict=True)
        if (norm := batch_norm_of(layer)) is not None and getattr(section, "shared_with", None) is None
    }
    measured = [parameter for norm in norms.values() for parameter in (norm.weight, norm.bias)]
    given: dict[int, Tensor] = {}
    convolutions = readers(network)
    handles = [_watch(module, index, given) for index, module in convolutions.items()]
    wanted_gradients = {parameter: parameter.requires_grad for parameter in network.parameters()}
    was_training = network.training
    rows: list[list[NDArray[np.float64]]] = []
    by_output = {index: np.zeros(module.out_channels) for index, module in convolutions.items()}
    network.eval()
    try:
        for parameter in wanted_gradients:
            parameter.requires_grad_(False)
        for parameter in measured:
            parameter.requires_grad_(True)
        for index in progress(range(count), description="what channels matter", unit="picture", total=count):
            batch = pictures.samples.batch(index)
            outputs = network(batch.images.float().div_(255))
            total = loss(outputs, batch.truths, network_wh=(width, height), iteration=0).total
            gradients = torch.autograd.grad(total, [*measured, *given.values()], allow_unused=True)
            _add_squares(by_output, dict(zip(given, gradients[len(measured) :], strict=True)), share=1 / count)
            given.clear()
            rows.append(
                [
                    np.zeros(len(value)) if gradient is None else (value * gradient).detach().double().numpy()
                    for value, gradient in zip(measured, gradients[: len(measured)], strict=True)
                ]
            )
    finally:
        for handle in handles:
            handle.remove()
        for parameter, wanted in wanted_gradients.items():
            parameter.requires_grad_(wanted)
        network.train(was_training)
    columns = [np.stack(column) for column in zip(*rows, strict=True)]
    return LossChanges(
        dict(zip(norms, columns[0::2], strict=True)),
        dict(zip(norms, columns[1::2], strict=True)),
        by_output,
    )


def _watch(module: nn.Conv2d, index: int, given: dict[int, Tensor]) -> torch.utils.hooks.RemovableHandle:
    """Keeps what a convolution gives, so that the loss has a gradient there, also where no weight before it has one.

    What goes on is a copy: an activation may write into it.
    """

    def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
        given[index] = output if output.requires_grad else output.requires_grad_()
        return output.clone()

    return module.register_forward_hook(hook)


def _add_squares(
    sums: Mapping[int, NDArray[np.float64]], gradients: Mapping[int, Tensor | None], *, share: float
) -> None:
    """Adds a picture's squares of gradients (1, F, H, W), summed over its pixels; `share` is the picture's."""
    for index, gradient in gradients.items():
        if gradient is not None:
            squares: NDArray[np.float64] = gradient[0].double().square().sum(dim=(1, 2)).cpu().numpy()
            sums[index][:] += share * squares
