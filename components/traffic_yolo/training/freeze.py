"""Which layers a fine-tuning may change, found from the graph of the network.

Frozen layers keep everything: weights, and the running statistics of their batch-norm.
"""

from collections.abc import Sequence

from torch import nn

from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.base import LayerSection
from traffic_yolo.errors import OptionsError


def trainable_layers(network: Network, fine_tune_layers: str) -> frozenset[int]:
    """Darknet indices of the layers that `fine_tune_layers` (see `TrainingOptions`) leaves trainable.

    all: every layer. heads: the convolution before each [yolo]. neck_and_heads: all layers after `backbone_end`.
    from:<index>: that layer and all after it. Raises `OptionsError` for an index where no weights follow.
    """
    everything = range(len(network.sections))
    if fine_tune_layers == "all":
        return frozenset(everything)
    if fine_tune_layers == "heads":
        return frozenset(head.layer_index - 1 for head in network.heads)
    if fine_tune_layers == "neck_and_heads":
        return frozenset(range(backbone_end(network.sections) + 1, len(network.sections)))
    first = int(fine_tune_layers.partition(":")[2])
    last = max(index for index in everything if network.sections[index].num_weights)
    if first > last:
        raise OptionsError(f"fine_tune_layers: expected from:<index> with an index up to {last}, found from:{first}")
    return frozenset(range(first, len(network.sections)))


def backbone_end(sections: Sequence[LayerSection]) -> int:
    """The index of the backbone's last layer; what follows is neck and heads.

    A backbone makes the grid coarser and coarser. The neck is told by the first layer whose grid is finer than its
    input's (upsample): going back from it, the first layer that others read as well is where the top-down path leaves
    the backbone (yolov3: 79, yolov4: 116, yolov4-tiny: 27). Where the grid never turns finer, that place is the last
    layer that all heads depend on.
    """
    readers: dict[int, list[int]] = {section.index: [] for section in sections}
    for section in sections:
        for source in section.inputs:
            readers.setdefault(source, []).append(section.index)
    turn = next((section for section in sections if _turns_finer(section, sections)), None)
    if turn is not None:
        index = turn.inputs[0]
        while len(readers[index]) == 1 and len(sections[index].inputs) == 1 and sections[index].inputs[0] >= 0:
            index = sections[index].inputs[0]
        return index
    heads = [section.index for section in sections if section.section.name == "yolo"]
    shared = frozenset.intersection(*(_ancestors(sections, head) for head in heads))
    without_heads = shared - {head - 1 for head in heads}
    return max(without_heads, default=-1)


def _turns_finer(section: LayerSection, sections: Sequence[LayerSection]) -> bool:
    source = section.inputs[0]
    return len(section.inputs) == 1 and source >= 0 and section.output.height > sections[source].output.height


def _ancestors(sections: Sequence[LayerSection], index: int) -> frozenset[int]:
    """The layers that layer `index` depends on, without itself and the picture."""
    found: set[int] = set()
    waiting = [source for source in sections[index].inputs if source >= 0]
    while waiting:
        layer = waiting.pop()
        if layer not in found:
            found.add(layer)
            waiting.extend(source for source in sections[layer].inputs if source >= 0)
    return frozenset(found)


def freeze(network: Network, trainable: frozenset[int]) -> None:
    """Switches gradients off for all layers but `trainable`, in place; see `set_training_mode` for the statistics."""
    for index, layer in enumerate(network.layers):
        layer.requires_grad_(index in trainable)


def set_training_mode(network: Network, trainable: frozenset[int]) -> nn.Module:
    """Training mode for the trainable layers, evaluation mode (fixed statistics) for the others, in place."""
    network.train()
    for index, layer in enumerate(network.layers):
        if index not in trainable:
            layer.eval()
    return network
