"""Networks for the runtimes: one of every kind of layer they treat in a way of their own, and published ones."""

import pytest
import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network

# Mish, leaky, swish, logistic, an activation that oneDNN has no post-operation for, groups, dilation, a weighted
# shortcut with its own activation, a batchnorm layer, shared weights, a blur, and two heads.
MIXED_CFG = """\
[net]
width=64
height=32
channels=3

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=mish

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
groups=4
dilation=2
padding=1
activation=hard_mish

[shortcut]
from=-2
weights_type=per_feature
weights_normalization=softmax
activation=mish

[convolutional]
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=swish

[convolutional]
share_index=-1
batch_normalize=1
filters=8
size=3
stride=1
pad=1
activation=relu6

[batchnorm]

[convolutional]
filters=8
size=3
stride=2
pad=1
antialiasing=1
activation=leaky

[maxpool]
size=2
stride=2

[convolutional]
filters=21
size=1
stride=1
pad=1
activation=linear

[yolo]
mask = 3,4,5
anchors = 4,5,  6,8,  8,12,  10,10,  14,20,  30,24
classes=2
num=6

[route]
layers = -5

[convolutional]
filters=21
size=1
stride=1
pad=1
activation=logistic

[yolo]
mask = 0,1,2
anchors = 4,5,  6,8,  8,12,  10,10,  14,20,  30,24
classes=2
num=6
scale_x_y = 2.0
new_coords=1
"""


@pytest.fixture(scope="module")
def mixed_network() -> Network:
    """The network of `MIXED_CFG` with batch-norm statistics that do something."""
    network = Network.from_cfg(Cfg.parse(MIXED_CFG, file="mixed.cfg"), seed=3).eval()
    generator = torch.Generator().manual_seed(1)
    for section, layer in zip(network.sections, network.layers, strict=True):
        for name, tensor in section.weights(layer):
            if name != "kernels":
                tensor.data.uniform_(0.5, 1.5, generator=generator)
    return network


@pytest.fixture(scope="session")
def pictures():
    """A function: (batch, height, width) -> random pictures (batch, 3, height, width) float32."""

    def make(batch: int, height: int = 32, width: int = 64) -> torch.Tensor:
        return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(7))

    return make
