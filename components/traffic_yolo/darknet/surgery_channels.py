"""A network without some of its channels: the cfg's counts and every array that they stand in.

Which channels can go only together is known by `channel_ties`. What the channels that go would still have given is the
caller's to carry on (`compression.carry`): here they are gone.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import ChannelTies
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.darknet.sections.channel_tying import Positions
from traffic_yolo.errors import OptionsError


def remove_channels(network: Network, ties: ChannelTies, removed: Collection[int]) -> Network:
    """A new network without the units `removed` of `ties`, which are those of `network.sections`.

    Comments and the order of the cfg's keys stay; only counts change. Header, mode and device are kept. Raises
    `OptionsError` for a unit that is fixed, naming the reason, and for a layer that would have no channel left.
    """
    if network.is_fused:
        raise ValueError("expected a network with its batch-norms, found a fused one")
    _check_removable(network, ties, removed)
    cfg = cfg_without_channels(network.cfg, network.sections, ties, removed)
    kept_inputs, kept_outputs = _kept(ties, removed)
    smaller = Network(cfg, seed=None)
    smaller.header = network.header
    smaller.train(network.training)
    smaller.to(next(network.parameters()).device)
    with torch.no_grad():
        for section, new_section, old, new in zip(
            network.sections, smaller.sections, network.layers, smaller.layers, strict=True
        ):
            arrays = section.kept_weights(old, kept_inputs[section.index], kept_outputs[section.index])
            for (_, target), source in zip(new_section.weights(new), arrays, strict=True):
                assert target.shape == source.shape, new_section.section
                target.copy_(source)
    return smaller


def cfg_without_channels(
    cfg: Cfg, sections: Sequence[LayerSection], ties: ChannelTies, removed: Collection[int]
) -> Cfg:
    """A copy of the cfg of `sections` without the units `removed`, which are not checked."""
    smaller = cfg.copy()
    kept_inputs, kept_outputs = _kept(ties, removed)
    for section, keys, inputs, output in zip(sections, smaller.layers, kept_inputs, kept_outputs, strict=True):
        before = section.kept_keys(*_everything(ties, section.index))
        for key, value in section.kept_keys(inputs, output).items():
            if value != before[key]:
                keys.set(key, value)
    return smaller


def _kept(ties: ChannelTies, removed: Collection[int]) -> tuple[list[list[Positions]], list[Positions]]:
    """Per layer, the positions that stay of each layer read and of its output."""
    inputs = [[ties.kept(units, removed) for units in read] for read in ties.inputs]
    return inputs, [ties.kept(units, removed) for units in ties.outputs]


def _everything(ties: ChannelTies, index: int) -> tuple[list[Positions], Positions]:
    """All positions of what a layer reads and of its output."""
    return [np.arange(len(units)) for units in ties.inputs[index]], np.arange(len(ties.outputs[index]))


def _check_removable(network: Network, ties: ChannelTies, removed: Collection[int]) -> None:
    for unit in sorted(removed):
        if unit in ties.fixed:
            layer = network.sections[ties.layers_of[unit][0]].section if ties.layers_of[unit] else network.cfg.net
            raise OptionsError(str(layer.error(f"a channel that cannot be taken out: {ties.fixed[unit]}")))
    for section, units in zip(network.sections, ties.outputs, strict=True):
        if not len(ties.kept(units, removed)):
            message = f"no channel of layer {section.index} would be left; take out fewer"
            raise OptionsError(str(section.section.error(message)))
