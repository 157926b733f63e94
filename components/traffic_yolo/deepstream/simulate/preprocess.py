"""What nvinfer does to a frame before the network sees it, with OpenCV in the place of the hardware scaler.

Assumptions, stated because nobody can see into the hardware: the stream muxer runs at the frame's own size (one
resize, not two), a file without scaling-filter gets nearest (as NVIDIA documents), bilinear scaling puts pixel centres
at half pixels and does not smooth when it shrinks (OpenCV's INTER_LINEAR), and the frame is RGB from the start (a
video's 4:2:0 colour is not simulated).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig

BLACK = 0  # what nvinfer pads with
GREY = 128  # the byte nearest to the 0.5 that Darknet's letterbox pads with
NEAREST_FILTERS = (0, 6)  # 6 is the default, which NVIDIA documents as nearest on GPU and VIC


@dataclass(frozen=True)
class Placement:
    """Where a frame lies in the network's input: network pixel = frame pixel * ratio + offset.

    `source_wh`: the part of the frame that is read; `scaled_wh`: its size in the input; `left`, `top`: the offset.
    """

    source_wh: tuple[int, int]
    scaled_wh: tuple[int, int]
    left: int
    top: int

    @property
    def ratio_x(self) -> float:
        """Network pixels per frame pixel, along x."""
        return self.scaled_wh[0] / self.source_wh[0]

    @property
    def ratio_y(self) -> float:
        """Network pixels per frame pixel, along y."""
        return self.scaled_wh[1] / self.source_wh[1]


def place(frame_hw: tuple[int, int], network_hw: tuple[int, int], *, keep_aspect: bool, symmetric: bool) -> Placement:
    """The placement that nvinfer chooses for a frame of this size.

    The source is cut to even width and height (the scaler wants them); a kept aspect truncates the scaled size to
    whole pixels; the padding is on the right or at the bottom unless `symmetric`.
    """
    height, width = frame_hw
    network_height, network_width = network_hw
    source_width, source_height = width // 2 * 2, height // 2 * 2
    scaled_width, scaled_height = network_width, network_height
    if keep_aspect:
        fitting_height = network_width * source_height / source_width
        if fitting_height <= network_height:
            scaled_height = int(fitting_height)
        else:
            scaled_width = int(network_height * source_width / source_height)
    left = (network_width - scaled_width) // 2 if symmetric else 0
    top = (network_height - scaled_height) // 2 if symmetric else 0
    return Placement((source_width, source_height), (scaled_width, scaled_height), left, top)


def preprocess(
    picture_rgb: NDArray[np.uint8], config: NvinferConfig, network_hw: tuple[int, int], *, padding: int = BLACK
) -> tuple[NDArray[np.float32], Placement]:
    """The input tensor (3, H, W) float32 of one frame (h, w, 3) uint8 RGB, and where the frame lies in it.

    `padding`: the value of the pixels beside the frame, [0, 255]; nvinfer knows black alone, another one shows what
    that costs.
    """
    placement = place(
        (picture_rgb.shape[0], picture_rgb.shape[1]),
        network_hw,
        keep_aspect=config.integer("maintain-aspect-ratio") == 1,
        symmetric=config.integer("symmetric-padding") == 1,
    )
    source_width, source_height = placement.source_wh
    nearest = config.integer("scaling-filter") in NEAREST_FILTERS
    scaled = cv2.resize(
        picture_rgb[:source_height, :source_width],
        placement.scaled_wh,
        interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR,
    )
    scaled_width, scaled_height = placement.scaled_wh
    if (scaled_height, scaled_width) == network_hw:
        surface = scaled
    else:
        surface = np.full((*network_hw, 3), padding, np.uint8)
        surface[placement.top : placement.top + scaled_height, placement.left : placement.left + scaled_width] = scaled
    channels = (2, 1, 0) if config.integer("model-color-format") == 1 else (0, 1, 2)
    offsets = np.array(config.numbers("offsets") or (0, 0, 0), np.float32)
    scale = np.float32(config.number("net-scale-factor"))
    tensor = np.empty((3, *network_hw), np.float32)
    for plane, channel in enumerate(channels):
        # A byte has 256 values: a table gives what the subtraction and the product would, in a third of the time
        values = (np.arange(256, dtype=np.float32) - offsets[plane]) * scale
        tensor[plane] = cv2.LUT(cv2.extractChannel(surface, channel), values)
    return tensor, placement
