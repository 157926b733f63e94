"""A tiny two-head network with everything that export has to get right, written as Darknet files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from traffic_yolo.darknet.network import Network

CFG = """[net]
width=96
height=64
channels=3
{letterbox}
[convolutional]
batch_normalize=1
filters=8
size=3
stride=4
pad=1
activation=mish

[route]
layers=-1
groups=2
group_id=1

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
mask=3,4,5
anchors=4,6, 8,8, 12,20, 20,16, 30,30, 60,40
classes=2
num=6
scale_x_y=1.05

[route]
layers=2

[upsample]
stride=2

[convolutional]
filters=21
size=1
stride=1
pad=1
activation=linear

[yolo]
mask=0,1,2
anchors=4,6, 8,8, 12,20, 20,16, 30,30, 60,40
classes=2
num=6
"""
WriteModel = Callable[..., Path]


def tiny_network(cfg: Path, *, seed: int = 0) -> Network:
    """The network with weights and batch-norm statistics that leave no layer at rest."""
    network = Network.from_cfg(cfg, seed=seed).eval()
    generator = np.random.default_rng(seed)
    for section, layer in zip(network.sections, network.layers, strict=True):
        for name, tensor in section.weights(layer):
            values = generator.normal(0, 0.5, tuple(tensor.shape)).astype(np.float32)
            tensor.data.copy_(tensor.new_tensor(np.abs(values) + 0.2 if name in ("scales", "variances") else values))
    return network


@pytest.fixture
def write_model(tmp_path: Path) -> WriteModel:
    """Writes model.cfg, model.weights and classes.names into a new folder and returns it."""

    def write(
        name: str = "run", *, names: str = "CAR\ntraffic light\n", letterbox: bool = False, seed: int = 0
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "model.cfg").write_text(CFG.format(letterbox="letter_box=1" if letterbox else ""))
        tiny_network(folder / "model.cfg", seed=seed).save_weights(folder / "model.weights")
        (folder / "classes.names").write_text(names)
        return folder

    return write


@pytest.fixture
def network(write_model: WriteModel) -> Network:
    """The tiny network, loaded from its files."""
    folder = write_model("network")
    network = Network.from_cfg(folder / "model.cfg").eval()
    network.load_weights(folder / "model.weights")
    return network
