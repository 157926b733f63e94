"""A small network with every supported section type, and what Darknet itself computed (the golden files)."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

# Two heads (strides 8 and 4), a grouped route, both kinds of reference, a logistic head convolution. 64 x 32 pixels.
SMALL_CFG = """\
# a network for tests
[net]
batch=4
width = 64
height=32
channels=3
learning_rate=0.001
max_batches = 100
policy=steps
steps=80,90
scales=.1,.1

[convolutional]
batch_normalize=1
filters=8
size=3
stride=2
pad=1
activation=leaky

[conv]
batch_normalize=1
filters=8
size=3
stride=1
groups=4
pad=1
activation=mish

[shortcut]
from=-2
activation=linear

[route]
layers=-1
groups=2
group_id=1

[convolutional]
batch_normalize=1
filters=6
size=3
stride=2
pad=1
activation=swish

[maxpool]
size=2
stride=2

[dropout]
probability=.15

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
scale_x_y = 1.05

[route]
layers = -4

[upsample]
stride=2

[route]
layers = -1, 4

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

# Largest |logit - float64 truth| of Darknet itself (reference/README.md): another order of summation has as much.
NOISE_FLOORS = {
    "yolo-fastest-1.1": 5e-5,
    "MobileNetV2-YOLOv3-Nano-coco": 5e-5,
    "yolov3-tiny": 5e-5,
    "yolov3-tiny-prn": 5e-5,
    "yolov4-tiny": 5e-5,
    "yolov4-tiny-3l": 5e-5,
    "yolov7-tiny": 5e-5,
    "yolov3": 9e-5,
    "yolov3-spp": 1.4e-4,
    "yolov4-csp": 1.1e-4,
    "yolov4x-mish": 1.7e-4,
    "yolov4": 1.2e-3,
}


@pytest.fixture(scope="session")
def small_cfg() -> str:
    """The text of `SMALL_CFG`."""
    return SMALL_CFG


@pytest.fixture(scope="session")
def noise_floors() -> dict[str, float]:
    """Network name -> noise floor of its logits."""
    return NOISE_FLOORS


@pytest.fixture(scope="module")
def golden_weights(reference, tmp_path_factory):
    """A function: name -> (cfg path, weights path) of a golden network; random weights are made, sha256 checked."""

    def make(name: str) -> tuple[Path, Path]:
        if (real := reference / "weights" / f"{name}.weights").exists():
            return real.with_suffix(".cfg"), real
        cfg = reference / "golden" / "cfg" / f"{name}-160x128.cfg"
        weights = tmp_path_factory.getbasetemp() / f"{name}.weights"
        if not weights.exists():
            recipe = str(reference / "golden" / "make_weights.py")
            params = str(reference / "golden" / "random" / f"{name}.params.npz")
            # Fails when the sha256 is not that of Darknet's own file.
            subprocess.run([sys.executable, recipe, cfg, params, weights], check=True, capture_output=True)
        return cfg, weights

    yield make
    for file in tmp_path_factory.getbasetemp().glob("*.weights"):
        file.unlink()


@pytest.fixture(scope="session")
def decode_as_darknet():
    """A function: JPEG file -> (H, W, 3) uint8 RGB, to the bit what Darknet's own decoder gives (`stb_jpeg.py`)."""
    spec = importlib.util.spec_from_file_location("stb_jpeg", Path(__file__).with_name("stb_jpeg.py"))
    stb_jpeg = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = stb_jpeg  # dataclasses look there
    spec.loader.exec_module(stb_jpeg)
    return lambda path: stb_jpeg.read_rgb(Path(path).read_bytes())
