"""Which channels are tied, held against torch-pruning (MIT), which finds it by tracing what PyTorch computes.

We derive it from section classes. The one rule of Darknet's that PyTorch does not know: a route that cuts a layer into
`groups` needs them equally long, so that a channel goes with its like in the other groups.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from examples import slow

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.channel_ties import channel_ties
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.sections.convolutional import ConvolutionalSection

FOLDER = Path(os.environ.get("TRAFFIC_YOLO_REFERENCE", Path(__file__).parents[3] / "shared" / "reference"))
# Plain shortcuts; squeeze and excitation with depthwise convolutions; [route] with groups; cross-stage partial
PUBLISHED = ("yolov3-tiny-prn", "enet-coco", "yolov4-tiny", "yolov4-csp")
OWN = Path(__file__).parents[2] / "components" / "traffic_yolo" / "training" / "cfg" / "traffic-small.cfg"
EACH = 4  # channels of a layer that are looked at
Channel = tuple[int, int]  # layer, place among its outputs


class TorchPruning:
    """What torch-pruning takes out together with one output channel of a convolution."""

    def __init__(self, network: Network, hw: int) -> None:
        self.library = pytest.importorskip("torch_pruning", reason="torch-pruning is in the extra test-oracles")
        self.layers = {id(network.layers[i].get_submodule("conv")): i for i in convolutions(network)}
        self.network = network
        example = torch.rand(1, network.input_channels, hw, hw)
        self.graph = self.library.DependencyGraph().build_dependency(network, example_inputs=example)

    def together(self, channel: Channel) -> set[Channel]:
        """All output channels of convolutions that go with it, itself among them."""
        layer, place = channel
        convolution = self.network.layers[layer].get_submodule("conv")
        group = self.graph.get_pruning_group(convolution, self.library.prune_conv_out_channels, [place])
        return {
            (self.layers[id(dependency.target.module)], int(index))
            for dependency, indices in group
            if id(dependency.target.module) in self.layers and dependency.handler.__name__ == "prune_out_channels"
            for index in indices
        }


def convolutions(network: Network) -> list[int]:
    return [section.index for section in network.sections if isinstance(section, ConvolutionalSection)]


@slow
@pytest.mark.parametrize("name", ["traffic-small", *PUBLISHED])
def test_what_goes_together_is_what_torch_pruning_finds(name: str) -> None:
    file = OWN if name == "traffic-small" else FOLDER / "cfg" / f"{name}.cfg"
    if not file.is_file():
        pytest.skip(f"reference material not found at {FOLDER}")
    cfg = Cfg.read(file)
    for key in ("width", "height"):
        cfg.net.set(key, "64")
    network = Network(cfg, seed=0).eval()
    ties, oracle = channel_ties(network.sections), TorchPruning(network, 64)
    is_cut = any(
        section.section.get_int("groups", 1) > 1 for section in network.sections if section.section.name == "route"
    )
    seen = 0
    for layer in convolutions(network):
        filters = len(ties.outputs[layer])
        for place in range(0, filters, max(1, filters // EACH)):
            unit = ties.outputs[layer][place]
            ours = {
                (other, int(found))
                for other in convolutions(network)
                for found in np.flatnonzero(ties.outputs[other] == unit)
            }
            theirs = oracle.together((layer, place))
            if not is_cut:
                assert ours == theirs, (layer, place)
            assert theirs <= ours, (layer, place)
            assert set().union(*map(oracle.together, ours)) == ours, (layer, place)
            seen += 1
    assert seen > 50
