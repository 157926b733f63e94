"""The three groups of a detector's layers, found from the graph: backbone, neck, heads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # types alone: `training.plan` is imported without torch
    from traffic_yolo.darknet.network import Network
    from traffic_yolo.darknet.sections.base import LayerSection

GROUPS = ("backbone", "neck", "heads")


def group_of_layers(network: "Network") -> dict[int, str]:
    """The group of every layer by its Darknet index: heads are the convolutions before each [yolo]."""
    end = backbone_end(network.sections)
    heads = {head.layer_index - 1 for head in network.heads}
    return {
        index: "heads" if index in heads else "backbone" if index <= end else "neck"
        for index in range(len(network.sections))
    }


def backbone_end(sections: "Sequence[LayerSection]") -> int:
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


def _turns_finer(section: "LayerSection", sections: "Sequence[LayerSection]") -> bool:
    source = section.inputs[0]
    return len(section.inputs) == 1 and source >= 0 and section.output.height > sections[source].output.height


def _ancestors(sections: "Sequence[LayerSection]", index: int) -> frozenset[int]:
    """The layers that layer `index` depends on, without itself and the picture."""
    found: set[int] = set()
    waiting = [source for source in sections[index].inputs if source >= 0]
    while waiting:
        layer = waiting.pop()
        if layer not in found:
            found.add(layer)
            waiting.extend(source for source in sections[layer].inputs if source >= 0)
    return frozenset(found)
