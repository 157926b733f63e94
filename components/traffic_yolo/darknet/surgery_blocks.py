"""Residual blocks of a network, and the network without some of them: what the block was added to goes on alone.

References of the cfg (`from`, `layers`, `share_index`, `yolo_layer`, `embedding_layer`) are written anew, relative ones
relative, since layers behind a block move up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from traffic_yolo.darknet.cfg import Cfg, Section
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection
from traffic_yolo.darknet.sections.shortcut import ShortcutSection

REFERENCES = ("from", "layers", "share_index", "yolo_layer", "embedding_layer")


@dataclass(frozen=True)
class ResidualBlock:
    """Layers `first` to `last`; `last` is a [shortcut] that adds them to layer `source`, the one before `first`."""

    first: int
    last: int

    @property
    def source(self) -> int:
        """The layer that goes on in the place of the block."""
        return self.first - 1

    @property
    def layers(self) -> range:
        """All of its layers."""
        return range(self.first, self.last + 1)


def residual_blocks(sections: Sequence[LayerSection]) -> tuple[ResidualBlock, ...]:
    """The blocks that can be taken out, in order: plain shortcuts over layers that nothing outside reads.

    A block within another one counts, the outer one does not. A block that shares weights with a layer outside, and one
    whose shortcut has weights, an activation, or other channels on both sides, are none.
    """
    return tuple(_blocks(sections))


def _blocks(sections: Sequence[LayerSection]) -> Iterator[ResidualBlock]:
    for section in sections:
        if not isinstance(section, ShortcutSection) or len(section.inputs) != 2:
            continue
        block = ResidualBlock(section.inputs[1] + 1, section.index)
        plain = section.activation == "linear" and section.weights_type == "none"
        if not plain or block.source < 0 or section.source_channels != [section.input.channels]:
            continue
        if block.first == block.last or any(isinstance(sections[i], ShortcutSection) for i in block.layers[:-1]):
            continue
        if not _is_closed(sections, block):
            continue
        yield block


def _is_closed(sections: Sequence[LayerSection], block: ResidualBlock) -> bool:
    """Whether the inside reads nothing but itself and the source, and the outside nothing but the block's end."""
    inside, last = set(block.layers[:-1]), block.last
    for section in sections:
        read = {*section.inputs, *_named(section.section, section.index)}
        if section.index in inside and not read <= inside | {block.source}:
            return False
        if section.index not in inside and section.index != last and read & inside:
            return False
        if isinstance(section, ConvolutionalSection) and section.shared_with is not None:
            shared = {section.shared_with, section.index}
            if shared & inside and not shared <= inside:
                return False
    return True


def _named(keys: Section, index: int) -> list[int]:
    """The layers that a section's references name."""
    return [index + value if value < 0 else value for key in REFERENCES for value in keys.get_ints(key)]


def remove_blocks(network: Network, blocks: Sequence[ResidualBlock]) -> Network:
    """A new network without `blocks`, which are among `residual_blocks(network.sections)`; the weights stay.

    Header, mode and device are kept.
    """
    if network.is_fused:
        raise ValueError("expected a network with its batch-norms, found a fused one")
    smaller = Network(cfg_without_blocks(network.cfg, blocks), seed=None)
    smaller.header = network.header
    smaller.train(network.training)
    smaller.to(next(network.parameters()).device)
    gone = {index for block in blocks for index in block.layers}
    kept = [index for index in range(len(network.sections)) if index not in gone]
    with torch.no_grad():
        for section, new, index in zip(smaller.sections, smaller.layers, kept, strict=True):
            old = network.sections[index].weights(network.layers[index])
            for (_, target), (_, source) in zip(section.weights(new), old, strict=True):
                target.copy_(source)
    return smaller


def cfg_without_blocks(cfg: Cfg, blocks: Sequence[ResidualBlock]) -> Cfg:
    """A copy of the cfg without the sections of `blocks`, its references written anew."""
    smaller = cfg.copy()
    gone = {index: block for block in blocks for index in block.layers}
    new_index = 0
    moved: dict[int, int] = {}
    for index in range(len(smaller.layers)):
        if index in gone:
            moved[index] = moved[gone[index].source]
            continue
        moved[index] = new_index
        new_index += 1
    for index, keys in enumerate(smaller.layers):
        if index in gone:
            continue
        for key in REFERENCES:
            values = keys.get_ints(key)
            written = [moved[index + value] - moved[index] if value < 0 else moved[value] for value in values]
            if written != list(values):
                keys.set(key, ",".join(map(str, written)))
    smaller.layers = [keys for index, keys in enumerate(smaller.layers) if index not in gone]
    return smaller.copy()
