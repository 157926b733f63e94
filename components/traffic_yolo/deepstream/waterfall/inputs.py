"""The network's input under any setting of the rules, from Darknet's own resize to nvinfer's, and its view."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.darknet.resize import letterbox_hw, stretch
from traffic_yolo.deepstream.simulate.preprocess import Placement, place
from traffic_yolo.deepstream.waterfall.rules import CENTRE, GREY, NEAREST, STRETCH, Colour, Rules

PADDING = {GREY: 0.5, "black": 0.0}  # Darknet's letterbox_image fills with 0.5


@dataclass(frozen=True)
class View:
    """Where a picture lies in the network's input.

    network pixel = frame pixel * ratio + offset, with the ratios and whole offsets of `placement` and the rest of the
    offset in `shift_xy`: Darknet takes half a pixel where the padding is odd, though it pastes at a whole one. The
    frame is what leaves the stream muxer: `frame_hw`, the picture of `picture_hw` itself or scaled.
    """

    placement: Placement
    shift_xy: tuple[float, float]
    frame_hw: tuple[int, int]
    picture_hw: tuple[int, int]


def network_input(
    picture_rgb: NDArray[np.uint8], rules: Rules, network_hw: tuple[int, int], *, unit_scale: float = 1 / 255
) -> tuple[NDArray[np.float32], View]:
    """The input (3, H, W) float32 that a picture (h, w, 3) uint8 RGB becomes under `rules`, and its view.

    `unit_scale`: how the configuration spells 1/255, for the last bit. With all of nvinfer's rules the tensor is that
    of `nvinfer_preprocess.preprocess`, with none that of `darknet.resize`, byte for byte.
    """
    frame = nv12_round_trip(picture_rgb) if rules.nv12 else picture_rgb
    if rules.mux_wh is not None:
        # nvstreammux scales bilinearly, without regard to the aspect (interpolation-method 1, enable-padding 0)
        frame = cv2.resize(frame, rules.mux_wh, interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    frame_hw, picture_hw = (frame.shape[0], frame.shape[1]), (picture_rgb.shape[0], picture_rgb.shape[1])
    if rules.is_hardwares:
        keeps = rules.aspect != STRETCH
        placement = place(frame_hw, network_hw, keep_aspect=keeps, symmetric=rules.aspect == CENTRE)
        view = View(placement, (0.0, 0.0), frame_hw, picture_hw)
        scaled = _scaled_bytes(frame, placement, rules, unit_scale)
    else:
        view = _darknet_view(frame_hw, picture_hw, network_hw, rules.aspect)
        placement = view.placement
        scaled = _coloured(stretch(frame, placement.scaled_wh), rules.colour)
    return _padded(scaled, placement, rules, network_hw), view


def nv12_round_trip(picture_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture (h, w, 3) after 4:2:0 and back (BT.601, video range); an odd last row or column is doubled for it."""
    height, width = picture_rgb.shape[:2]
    even = cv2.copyMakeBorder(picture_rgb, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    # OpenCV takes the colours of one pixel of four; an encoder takes their mean, so they come from the means
    means = cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).repeat(2, axis=0).repeat(2, axis=1)
    luminance, colours = (cv2.cvtColor(each, cv2.COLOR_RGB2YUV_I420) for each in (even, means))
    yuv = np.concatenate([luminance[: even.shape[0]], colours[even.shape[0] :]])
    back = cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB_I420)[:height, :width]
    return np.ascontiguousarray(back).astype(np.uint8, copy=False)


def _darknet_view(
    frame_hw: tuple[int, int], picture_hw: tuple[int, int], network_hw: tuple[int, int], aspect: str
) -> View:
    """Darknet's geometry: the whole frame, sizes by whole-number division, an unrounded half of the padding."""
    scaled_height, scaled_width = network_hw if aspect == STRETCH else letterbox_hw(frame_hw, network_hw)
    spare = (network_hw[1] - scaled_width, network_hw[0] - scaled_height)  # x, y
    if aspect != CENTRE:
        spare = (0, 0)
    placement = Placement(
        (frame_hw[1], frame_hw[0]), (scaled_width, scaled_height), left=spare[0] // 2, top=spare[1] // 2
    )
    return View(placement, (spare[0] % 2 / 2, spare[1] % 2 / 2), frame_hw, picture_hw)


def _scaled_bytes(
    frame: NDArray[np.uint8], placement: Placement, rules: Rules, unit_scale: float
) -> NDArray[np.float32]:
    """(3, h, w): the frame scaled as bytes, then coloured as nvinfer does it."""
    source_width, source_height = placement.source_wh
    interpolation = cv2.INTER_NEAREST if rules.scaling_filter == NEAREST else cv2.INTER_LINEAR
    scaled = cv2.resize(frame[:source_height, :source_width], placement.scaled_wh, interpolation=interpolation)
    values = scaled.transpose(2, 0, 1).astype(np.float32)
    if not rules.colour.is_darknets:
        return _shifted_and_scaled(values, rules.colour)
    scaled_values: NDArray[np.float32] = values * np.float32(unit_scale)
    return scaled_values


def _coloured(values: NDArray[np.float32], colour: Colour) -> NDArray[np.float32]:
    """(3, h, w) RGB in 0..1, as another colour rule has it."""
    return values if colour.is_darknets else _shifted_and_scaled(values * np.float32(255), colour)


def _shifted_and_scaled(values: NDArray[np.float32], colour: Colour) -> NDArray[np.float32]:
    if colour.reversed_channels:
        values = values[::-1]
    if colour.offsets:
        values = values - np.array(colour.offsets, np.float32).reshape(-1, 1, 1)
    coloured: NDArray[np.float32] = values * np.float32(colour.scale)
    return coloured


def _padded(
    scaled: NDArray[np.float32], placement: Placement, rules: Rules, network_hw: tuple[int, int]
) -> NDArray[np.float32]:
    """(3, H, W): the scaled frame in its place; what lies beside it is coloured like a pixel."""
    width, height = placement.scaled_wh
    if (height, width) == network_hw:
        return np.ascontiguousarray(scaled)
    beside = np.full((3, 1, 1), PADDING[rules.padding], np.float32)
    canvas = np.empty((3, *network_hw), np.float32)
    canvas[:] = _coloured(beside, rules.colour)
    canvas[:, placement.top : placement.top + height, placement.left : placement.left + width] = scaled
    return canvas
