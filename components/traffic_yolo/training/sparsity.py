"""Sparsity training: an L1 penalty on batch-norm scales, so that channels whose scale it drives to 0 can be taken out.

Network slimming (Liu et al. 2017, "Learning efficient convolutional networks through network slimming", equation 1 and
its subgradient): to the gradient of each scale the sign of the scale times the strength is added, after the backward
pass and before the step. Taking channels out is not done here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.sections.shortcut import ShortcutSection
from traffic_yolo.errors import TrainingError
from traffic_yolo.training.layer_plan import LayerPlan
from traffic_yolo.training.options import LAYER, REGULAR

SHOWN_LAYERS = 12  # frozen ones that an error names
_EXPECTED = {
    REGULAR: "channels that no shortcut joins",
    LAYER: "a batch-normalised convolution before a shortcut",
}


@dataclass(frozen=True)
class SparseScales:
    """Some of the scales of a convolution's batch-norm. `chosen` (C,) float32: 1 for those that shall become small."""

    layer: int
    norm: nn.BatchNorm2d
    chosen: Tensor


class Sparsity:
    """The penalty on one network's scales; it adds to their gradients, in place."""

    def __init__(self, network: Network, *, strength: float, kind: str) -> None:
        """`strength`: what the sum of |scale| is multiplied by, beside the mean loss of a picture, above 0.

        Raises as `sparse_scales`.
        """
        self.scales = sparse_scales(network, kind)
        self.strength, self.kind = strength, kind

    def add_subgradient(self) -> None:
        """Adds strength * sign(scale) to the gradient of each chosen scale that has one: once an update.

        The gradients are those of the whole batch, over all processes, and not scaled.
        """
        for each in self.scales:
            gradient = each.norm.weight.grad
            if gradient is not None:  # frozen in this update
                gradient.addcmul_(each.norm.weight.detach().sign(), each.chosen, value=self.strength)

    def magnitudes(self, network: Network) -> NDArray[np.float64]:
        """(n,) |scale| of all that are chosen, of `network`, which has the layers of the one that this is for."""
        found = []
        for each in self.scales:
            weight = network.layers[each.layer].get_parameter("bn.weight").detach()
            found.append(weight.abs()[each.chosen > 0].double().cpu().numpy())
        return np.concatenate(found)

    @property
    def text(self) -> str:
        """How much is concerned, for the user."""
        count = int(sum(each.chosen.sum().item() for each in self.scales))
        return f"sparsity {self.strength:g}, {self.kind}: {count} scales of {len(self.scales)} layers"

    @property
    def layers(self) -> list[int]:
        """Darknet's indices of the layers that are concerned, rising."""
        return [each.layer for each in self.scales]


def sparse_scales(network: Network, kind: str) -> list[SparseScales]:
    """The scales that a penalty of this kind reaches, on the device of the network.

    "regular": of channels that may be taken out and that no shortcut joins with others; "shortcut": those as well,
    which go only together; "layer": all of the convolution before each shortcut, whose block adds nothing once they are
    0. Raises `TrainingError` where there is none, `DarknetFormatError` for a section whose ties are not known.
    """
    chosen = _of_blocks(network) if kind == LAYER else _of_channels(network, with_shortcuts=kind != REGULAR)
    found: list[SparseScales] = []
    for index, mask in chosen.items():
        section, layer = network.sections[index], network.layers[index]
        if not (isinstance(section, ConvolutionalSection) and section.batch_normalize and mask.any()):
            continue
        norm = layer.get_submodule("bn")
        assert isinstance(norm, nn.BatchNorm2d)
        if all(norm is not each.norm for each in found):  # a layer that uses another's weights
            found.append(SparseScales(index, norm, torch.from_numpy(mask.astype(np.float32)).to(norm.weight.device)))
    if not found:
        where = network.cfg.file
        if not any(isinstance(each, nn.BatchNorm2d) for each in network.modules()):
            raise TrainingError(f"sparsity: {where} has no batch-norm, whose scales would be made small; leave it out")
        what = _EXPECTED.get(kind, "channels that may be taken out")
        raise TrainingError(f"sparsity_kind={kind}: {where} has no scales of {what}; choose another kind")
    return found


def _of_channels(network: Network, *, with_shortcuts: bool) -> Mapping[int, NDArray[np.bool_]]:
    """Of each layer which of its channels (C,)."""
    ties = channel_ties(network.sections)
    joined = {index for index, section in enumerate(network.sections) if isinstance(section, ShortcutSection)}
    may_go = np.array(
        [
            unit not in ties.fixed and (with_shortcuts or not joined.intersection(layers))
            for unit, layers in enumerate(ties.layers_of)
        ]
    )
    return {index: may_go[units] for index, units in enumerate(ties.outputs)}


def _of_blocks(network: Network) -> Mapping[int, NDArray[np.bool_]]:
    before = [index - 1 for index, section in enumerate(network.sections) if isinstance(section, ShortcutSection)]
    return {index: np.ones(network.sections[index].output.channels, np.bool_) for index in before}


def check_trainable(sparsity: Sparsity, plan: LayerPlan) -> None:
    """Raises `TrainingError` where layers that shall become sparse are frozen throughout, naming them."""
    frozen = [index for index in sparsity.layers if index not in plan.ever_trainable]
    if not frozen:
        return
    named = ", ".join(str(index) for index in frozen[:SHOWN_LAYERS])
    more = f" and {len(frozen) - SHOWN_LAYERS} more" if len(frozen) > SHOWN_LAYERS else ""
    raise TrainingError(
        f"sparsity: layers {named}{more} are frozen, and what is frozen cannot be made sparse; give --fine-tune-layers "
        f"all, or leave --sparsity out"
    )
