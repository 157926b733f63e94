"""The networks that the Darknet benchmarks run: yolov4 and yolov4-tiny, laid out here layer by layer, random weights.

They need no reference folder. What a convolution costs does not depend on its weights, as long as no layer's output
vanishes; batch-norm statistics measured on a random picture see to that.
"""

import functools
import multiprocessing
import tempfile
from pathlib import Path

import torch

from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.network import Network

ANCHORS = "12,16, 19,36, 40,28, 36,75, 76,55, 72,146, 142,110, 192,243, 459,401"
TINY_ANCHORS = "10,14, 23,27, 37,58, 81,82, 135,169, 344,319"


class CfgText:
    """A cfg that is written layer by layer."""

    def __init__(self, size: int, activation: str) -> None:
        self.lines = [f"[net]\nwidth={size}\nheight={size}\nchannels=3\n"]
        self.activation = activation

    def convolve(self, filters: int, size: int, stride: int = 1) -> None:
        """A convolution with batch-norm and the current activation."""
        keys = f"filters={filters}\nsize={size}\nstride={stride}\npad=1\nactivation={self.activation}\n"
        self.lines.append(f"[convolutional]\nbatch_normalize=1\n{keys}")

    def alternate(self, filters: int, count: int) -> None:
        """`count` convolutions, 1 x 1 with `filters` and 3 x 3 with twice as many in turn."""
        for index in range(count):
            self.convolve(filters * (1 + index % 2), 1 + 2 * (index % 2))

    def route(self, *layers: int, extra: str = "") -> None:
        """The outputs of `layers` one behind the other."""
        self.lines.append(f"[route]\nlayers={','.join(map(str, layers))}\n{extra}")

    def add(self, name: str, **keys: float | str) -> None:
        """Any other section."""
        self.lines.append(f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items()))

    def detect(self, mask: str, anchors: str, scale_x_y: float) -> None:
        """A head of 80 classes with the convolution before it."""
        self.lines.append("[convolutional]\nfilters=255\nsize=1\nstride=1\npad=1\nactivation=linear\n")
        keys = {"mask": mask, "anchors": anchors, "num": anchors.count(",") // 2 + 1, "scale_x_y": scale_x_y}
        self.add("yolo", classes=80, **keys)

    def __str__(self) -> str:
        return "\n".join(self.lines)


def yolov4_text(size: int) -> str:
    """CSPDarknet53 with mish, spatial pyramid pooling, path aggregation with leaky, three heads."""
    cfg = CfgText(size, "mish")
    cfg.convolve(32, 3)
    for filters, blocks in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        half = filters if filters == 64 else filters // 2
        cfg.convolve(filters, 3, stride=2)
        cfg.convolve(half, 1)
        cfg.route(-2)
        cfg.convolve(half, 1)
        for _ in range(blocks):
            cfg.convolve(filters // 2, 1)
            cfg.convolve(half, 3)
            cfg.add("shortcut", **{"from": -3, "activation": "linear"})
        cfg.convolve(half, 1)
        cfg.route(-1, -(3 * blocks + 4))
        cfg.convolve(filters, 1)
    cfg.activation = "leaky"
    cfg.alternate(512, 3)
    cfg.add("maxpool", stride=1, size=5)
    cfg.route(-2)
    cfg.add("maxpool", stride=1, size=9)
    cfg.route(-4)
    cfg.add("maxpool", stride=1, size=13)
    cfg.route(-1, -3, -5, -6)
    cfg.alternate(512, 3)
    for filters, backbone in ((256, 85), (128, 54)):
        cfg.convolve(filters, 1)
        cfg.add("upsample", stride=2)
        cfg.route(backbone)
        cfg.convolve(filters, 1)
        cfg.route(-1, -3)
        cfg.alternate(filters, 5)
    for filters, mask, scale, source in ((128, "0,1,2", 1.2, 0), (256, "3,4,5", 1.1, -16), (512, "6,7,8", 1.05, -37)):
        if source:
            cfg.route(-4)
            cfg.convolve(filters, 3, stride=2)
            cfg.route(-1, source)
            cfg.alternate(filters, 5)
        cfg.convolve(2 * filters, 3)
        cfg.detect(mask, ANCHORS, scale)
    return str(cfg)


def yolov4_tiny_text(size: int) -> str:
    """The tiny backbone of grouped routes and pools, two heads."""
    cfg = CfgText(size, "leaky")
    cfg.convolve(32, 3, stride=2)
    cfg.convolve(64, 3, stride=2)
    for filters in (64, 128, 256):
        cfg.convolve(filters, 3)
        cfg.route(-1, extra="groups=2\ngroup_id=1\n")
        cfg.convolve(filters // 2, 3)
        cfg.convolve(filters // 2, 3)
        cfg.route(-1, -2)
        cfg.convolve(filters, 1)
        cfg.route(-6, -1)
        cfg.add("maxpool", size=2, stride=2)
    cfg.convolve(512, 3)
    cfg.convolve(256, 1)
    cfg.convolve(512, 3)
    cfg.detect("3,4,5", TINY_ANCHORS, 1.05)
    cfg.route(-4)
    cfg.convolve(128, 1)
    cfg.add("upsample", stride=2)
    cfg.route(-1, 23)
    cfg.convolve(256, 3)
    cfg.detect("1,2,3", TINY_ANCHORS, 1.05)
    return str(cfg)


TEXTS = {"yolov4": yolov4_text, "yolov4-tiny": yolov4_tiny_text}


@functools.cache
def folder() -> tempfile.TemporaryDirectory[str]:
    """Where this run's model files lie; removed when it ends."""
    return tempfile.TemporaryDirectory(prefix="traffic-yolo-bench-")


@functools.cache
def darknet_pair(name: str, size: int) -> tuple[Path, Path]:
    """(cfg, weights) of the network in a temporary folder."""
    cfg_path = Path(folder().name) / f"{name}-{size}.cfg"
    cfg_path.write_text(TEXTS[name](size))
    weights_path = cfg_path.with_suffix(".weights")
    # In a child: memory that this process had used once would be missing from what is measured later.
    process = multiprocessing.get_context("fork").Process(target=_write_weights, args=(cfg_path, weights_path))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"making {weights_path.name} failed with exit code {process.exitcode}")
    return cfg_path, weights_path


def _write_weights(cfg_path: Path, weights_path: Path) -> None:
    torch.set_num_threads(1)  # a forked child must not wait for its parent's threads
    network = Network(Cfg.read(cfg_path), seed=1).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics become those of the next batch
    with torch.no_grad():
        network(torch.rand(1, 3, *network.input_hw, generator=torch.Generator().manual_seed(0)))
    network.save_weights(weights_path)
