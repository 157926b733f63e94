"""How a picture becomes the network's input, by Darknet's rules: stretched, or letterboxed on grey; and boxes back.

Darknet's bilinear rule (image.c resize_image) aligns the corners: x_src = c * (w_src - 1) / (w_dst - 1), first along
the rows, then along the columns, in float32 on values / 255. It is not OpenCV's INTER_LINEAR (half-pixel centres).
The last column is copied from the picture's. The last row is not: where float32 puts its source a hair above the
picture's last row, Darknet takes a hair of the row above and no neighbour, and the row comes out black. With 640 x 480
pictures letterboxed to 320 x 320 that moves scores by up to 0.05, so it is done here too.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.darknet.resize_kernels import Taps, resize_into

Float32Array = NDArray[np.float32]
UInt8Array = NDArray[np.uint8]

GREY = np.float32(0.5)  # letterbox_image fills with it
_FLOAT_OF_BYTE = (np.arange(256) / 255.0).astype(np.float32)  # load_image_stb divides in double


def stretch(image_rgb_u8: UInt8Array, resolution_wh: tuple[int, int]) -> Float32Array:
    """(H, W, 3) uint8 -> (3, h, w) float32 in [0, 1], without regard to the aspect; `resolution_wh` is (w, h).

    A view of a BGR picture, `[..., ::-1]`, is read where it lies. Raises `ValueError` for another array.
    """
    width, height = resolution_wh
    result = np.empty((3, height, width), np.float32)
    stretch_into(image_rgb_u8, result)
    return result


def stretch_into(image_rgb_u8: UInt8Array, out: Float32Array) -> None:
    """Fills `out` (3, h, w) as `stretch` does."""
    _resize(image_rgb_u8, out)


def letterbox(image_rgb_u8: UInt8Array, resolution_wh: tuple[int, int]) -> Float32Array:
    """(H, W, 3) uint8 -> (3, h, w) float32 in [0, 1]: as large as the aspect allows, centred on grey (0.5)."""
    width, height = resolution_wh
    result = np.empty((3, height, width), np.float32)
    letterbox_into(image_rgb_u8, result)
    return result


def letterbox_into(image_rgb_u8: UInt8Array, out: Float32Array) -> None:
    """Fills `out` (3, h, w) as `letterbox` does."""
    height, width = out.shape[1:]
    new_height, new_width = letterbox_hw(_image_hw(image_rgb_u8), (height, width))
    top, left = (height - new_height) // 2, (width - new_width) // 2
    out.fill(GREY)
    _resize(image_rgb_u8, out[:, top : top + new_height, left : left + new_width])


def letterbox_hw(image_hw: tuple[int, int], network_hw: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the picture inside the letterbox, by whole-number division, at least 1 pixel."""
    height, width = image_hw
    network_height, network_width = network_hw
    # Darknet compares the two ratios as float32.
    if np.float32(network_width) / np.float32(width) < np.float32(network_height) / np.float32(height):
        return max(1, height * network_width // width), network_width
    return network_height, max(1, width * network_height // height)


def network_boxes_to_picture(
    boxes_cxcywh_norm: NDArray[np.floating], image_hw: tuple[int, int], network_hw: tuple[int, int], letterbox: bool
) -> Float32Array:
    """Boxes (N, 4) in shares of the network -> left, top, right, bottom (N, 4), float32 picture pixels, unclipped."""
    boxes = np.asarray(boxes_cxcywh_norm, np.float32).reshape(-1, 4)
    height, width = image_hw
    network_height, network_width = network_hw
    new_height, new_width = letterbox_hw(image_hw, network_hw) if letterbox else network_hw
    ratio = np.array([new_width / network_width, new_height / network_height], np.float32)
    # yolo_layer.c correct_yolo_boxes does not round the half difference, though the picture lies at whole pixels.
    margin = (1 - ratio) / 2
    size = np.array([width, height], np.float32)
    centres = (boxes[:, :2] - margin) / ratio * size
    halves = boxes[:, 2:] / ratio * size / 2
    return np.concatenate([centres - halves, centres + halves], axis=1)


def _image_hw(image_rgb_u8: UInt8Array) -> tuple[int, int]:
    if image_rgb_u8.ndim != 3 or image_rgb_u8.shape[2] != 3 or image_rgb_u8.dtype != np.uint8 or not image_rgb_u8.size:
        raise ValueError(f"image: expected (H, W, 3) uint8, found {image_rgb_u8.shape} {image_rgb_u8.dtype}")
    return image_rgb_u8.shape[0], image_rgb_u8.shape[1]


def _resize(image_rgb_u8: UInt8Array, out: Float32Array) -> None:
    """(H, W, 3) uint8 -> `out` (3, h, w), filled in place."""
    height, width = _image_hw(image_rgb_u8)
    new_height, new_width = out.shape[1:]
    if (new_height, new_width) == (height, width):
        out[:] = _FLOAT_OF_BYTE[image_rgb_u8].transpose(2, 0, 1)
        return
    in_memory = image_rgb_u8
    if is_bgr := image_rgb_u8.strides[2] < 0:  # what OpenCV decoded, seen as RGB, is read where it lies
        in_memory = image_rgb_u8[..., ::-1]
    lines = np.ascontiguousarray(in_memory).reshape(height, 3 * width)
    lines.flags.writeable = False  # compiled for one kind of array, whatever decoder it is of
    rows = _taps(height, new_height, copies_last=False)
    resize_into(lines, _FLOAT_OF_BYTE, _column_taps(width, new_width, is_bgr=is_bgr), rows, out)


@lru_cache(maxsize=64)
def _column_taps(width: int, new_width: int, *, is_bgr: bool) -> Taps:
    """Of red, green and blue, (3, w) each: the byte in a row, its next neighbour; and the shares of `_taps`, (w,)."""
    lefts, rights, left_shares, right_shares = _taps(width, new_width, copies_last=True)
    offsets = np.array([2, 1, 0] if is_bgr else [0, 1, 2], np.uint32)[:, None]  # (3, 1)
    return 3 * lefts + offsets, 3 * rights + offsets, left_shares, right_shares


@lru_cache(maxsize=64)
def _taps(size: int, new_size: int, *, copies_last: bool) -> Taps:
    """For each new position: the source position, its next neighbour, and what each of the two is multiplied by."""
    positions = np.zeros(new_size, np.float32)
    if new_size > 1:
        positions = np.arange(new_size, dtype=np.float32) * (np.float32(size - 1) / np.float32(new_size - 1))
    if copies_last or new_size == 1:  # Darknet divides by 0 for a height of 1
        positions[-1] = size - 1
    first = np.minimum(positions.astype(np.intp), size - 1)
    share = positions - first.astype(np.float32)
    neighbour_share = share.copy()
    neighbour_share[-1] = 0  # image.c resize_image: `if(r == h-1 || im.h == 1) continue`
    if size == 1:
        share, neighbour_share = np.zeros_like(share), np.zeros_like(share)
    neighbours = np.minimum(first + 1, size - 1)
    return first.astype(np.uint32), neighbours.astype(np.uint32), 1 - share, neighbour_share
