"""Training pictures from source pictures: crop, scale, mirror, colour, mosaic, mixup; boxes follow the pixels.

The ranges are Darknet's (data.c load_data_detection). A picture is sampled once, from the source straight into its
place in the network input, by Darknet's bilinear rule, so that training sees what inference will see.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import area_xyxy, shorter_sides
from traffic_yolo.training.bilinear import sample
from traffic_yolo.training.colours import turn_colours
from traffic_yolo.training.picture_effects import add_noise, blurred

UInt8Array = NDArray[np.uint8]
FloatArray = NDArray[np.float32]

GREY = 127  # outside the picture; letterboxing fills with 0.5 too
MOSAIC_CUT = (0.2, 0.8)  # where the four pictures meet, share of the width and of the height (data.c: min_offset 0.2)
MIN_VISIBLE = 0.25  # a box of which less is left is neither object nor background
MIN_SIDE = 1.0  # network pixels; Darknet drops smaller boxes (data.c 409)


@dataclass(frozen=True)
class Augmentation:
    """How far pictures are changed. The defaults change nothing.

    `jitter`, `hue`: share of the picture's size, of the colour circle; `resize`, `saturation`, `exposure`: largest
    factor, its inverse being the smallest (a `resize` below 1: pictures are made smaller only, down to it); `flip`,
    `mosaic`, `mixup`: share of pictures, the last two together at most 1, for a picture is one or the other.
    `mosaic_bound`: the boxes of a mosaic end where their picture does; without it they reach over its neighbours, and
    hidden objects keep theirs, as Darknet has it unless its cfg says mosaic_bound=1. `blur`: pixels of the Gaussian
    kernel, 1: background only, by 17; `gaussian_noise`: standard deviation in levels of 255; see `picture_effects`.
    """

    jitter: float = 0.0
    resize: float = 1.0
    flip: float = 0.0
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    mosaic: float = 0.0
    mosaic_bound: bool = True
    mixup: float = 0.0
    blur: int = 0
    gaussian_noise: int = 0

    @property
    def changes_nothing(self) -> bool:
        """Whether a picture looks the same each time that it is seen."""
        return self == Augmentation(mosaic_bound=self.mosaic_bound)

    @property
    def window_factors(self) -> tuple[float, float]:
        """Smallest and largest factor by which `resize` scales the window that is looked through (data.c 1118)."""
        return (1 / self.resize, self.resize) if self.resize >= 1 else (1.0, 1 / self.resize)


@dataclass(frozen=True)
class Picture:
    """A picture (H, W, 3) uint8 RGB and its boxes (n, 4) float32 in its pixels, with class_ids (n,) and ignore (n,)."""

    image: UInt8Array
    boxes_xyxy: FloatArray
    class_ids: NDArray[np.int64]
    ignore: NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """What the network sees of a source picture: a window in source pixels, which may reach outside, or its mirror."""

    left: float
    top: float
    width: float
    height: float
    mirrored: bool = False


def whole_view(image_hw: tuple[int, int], network_wh: tuple[int, int], *, letterbox: bool) -> View:
    """The window that inference looks through: the whole picture, letterboxed with the margin that keeps the aspect."""
    height, width = image_hw
    if not letterbox:
        return View(0.0, 0.0, width, height)
    scale = max(width / network_wh[0], height / network_wh[1])
    window_width, window_height = network_wh[0] * scale, network_wh[1] * scale
    return View((width - window_width) / 2, (height - window_height) / 2, window_width, window_height)


def jittered_view(view: View, augmentation: Augmentation, rng: np.random.Generator) -> View:
    """`view` with each side moved by up to `jitter`, then scaled about its centre by up to `resize`, or its mirror."""
    left, right, top, bottom = rng.uniform(-augmentation.jitter, augmentation.jitter, 4)
    # data.c draws one number for left and top and another for right and bottom, which moves the window as jitter does;
    # one for all four keeps it where it is. Both are even between the smallest and the largest window.
    grown = (rng.uniform(*augmentation.window_factors) - 1) / 2
    left, right, top, bottom = left - grown, right - grown, top - grown, bottom - grown
    return View(
        view.left + left * view.width,
        view.top + top * view.height,
        max(view.width * (1 - left - right), 2.0),
        max(view.height * (1 - top - bottom), 2.0),
        mirrored=bool(rng.random() < augmentation.flip),
    )


def finest_scale(
    image_hw: tuple[int, int], network_wh: tuple[int, int], augmentation: Augmentation, *, letterbox: bool
) -> tuple[float, float]:
    """(x, y): network pixels for one source pixel in the closest view that `augmented` can take of a picture.

    Infinite where jitter and resize can leave nothing of it.
    """
    view = whole_view(image_hw, network_wh, letterbox=letterbox)
    share = augmentation.window_factors[0] - 2 * augmentation.jitter
    if share <= 0:
        return math.inf, math.inf
    return network_wh[0] / (view.width * share), network_wh[1] / (view.height * share)


def draw(
    canvas: UInt8Array,
    picture: Picture,
    view: View,
    region_xyxy: tuple[int, int, int, int],
    offset_xy: tuple[int, int],
    *,
    bound: bool = True,
) -> Picture:
    """Samples a part of `view` into a region of `canvas`, in place, and returns the canvas with the boxes of that part.

    `view` covers the canvas (H, W, 3) when drawn whole; the region shows the part of it that starts at `offset_xy`.
    Boxes are clipped at the region, or, if not `bound`, at the canvas; see `keep_visible`.
    """
    height, width = canvas.shape[:2]
    left, top = region_xyxy[:2]
    # Corner alignment as in darknet/resize.py: pixel c of the canvas comes from c * (source - 1) / (canvas - 1).
    step_x, step_y = (view.width - 1) / max(width - 1, 1), (view.height - 1) / max(height - 1, 1)
    start_x, start_y = view.left + step_x * offset_xy[0], view.top + step_y * offset_xy[1]
    if view.mirrored:
        start_x, step_x = view.left + step_x * (width - 1 - offset_xy[0]), -step_x
    sample(
        picture.image,
        canvas,
        region_xyxy,
        start_xy=(start_x, start_y),
        step_xy=(step_x, step_y),
        outside=GREY,
    )
    boxes = boxes_in_view(picture.boxes_xyxy, view, (width, height))
    boxes += np.array([left - offset_xy[0], top - offset_xy[1]] * 2, np.float32)
    limits = region_xyxy if bound else (0, 0, width, height)
    return keep_visible(Picture(canvas, boxes, picture.class_ids, picture.ignore), limits)


def boxes_in_view(boxes_xyxy: FloatArray, view: View, canvas_wh: tuple[int, int]) -> FloatArray:
    """Boxes (n, 4) in source pixels -> in pixels of a canvas that shows the whole view. A new float32 array."""
    scale_x, scale_y = canvas_wh[0] / view.width, canvas_wh[1] / view.height
    boxes = boxes_xyxy - np.array([view.left, view.top] * 2, np.float32)
    boxes *= np.array([scale_x, scale_y] * 2, np.float32)
    if view.mirrored:
        boxes[:, 0::2] = canvas_wh[0] - boxes[:, 2::-2]
    return boxes


def keep_visible(picture: Picture, region_xyxy: tuple[int, int, int, int]) -> Picture:
    """Clips the boxes at the region; drops those with a side under a pixel; those mostly cut off become `ignore`."""
    boxes, cut_off = visible_part(picture.boxes_xyxy, region_xyxy)
    kept = shorter_sides(boxes) >= MIN_SIDE
    return Picture(picture.image, boxes[kept], picture.class_ids[kept], (picture.ignore | cut_off)[kept])


def visible_part(
    boxes_xyxy: FloatArray, region_xyxy: tuple[int, int, int, int]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Boxes (n, 4) clipped at a region, and (n,) which of them have less than `MIN_VISIBLE` of their area in it."""
    left, top, right, bottom = region_xyxy
    boxes = np.maximum(boxes_xyxy, np.array([left, top] * 2, np.float32))  # np.clip takes three times as long
    np.minimum(boxes, np.array([right, bottom] * 2, np.float32), out=boxes)
    return boxes, area_xyxy(boxes) < MIN_VISIBLE * area_xyxy(boxes_xyxy)


def change_colours(
    canvas: UInt8Array, region_xyxy: tuple[int, int, int, int], augmentation: Augmentation, rng: np.random.Generator
) -> None:
    """In a region of (H, W, 3) RGB, in place: hue is turned, saturation and brightness (in HSV) are multiplied."""
    turn = rng.uniform(-augmentation.hue, augmentation.hue)
    saturation, exposure = (_factor(largest, rng) for largest in (augmentation.saturation, augmentation.exposure))
    if turn != 0 or saturation != 1 or exposure != 1:
        turn_colours(canvas, region_xyxy, turn=turn, saturation=saturation, exposure=exposure)


def _factor(largest: float, rng: np.random.Generator) -> float:
    """Between 1 and `largest`, or one over that, as often (utils.c rand_scale)."""
    scale = rng.uniform(1, largest)
    return float(scale if rng.random() < 0.5 else 1 / scale)


def augmented(
    pictures: Sequence[Picture] | Callable[[int], Picture],
    network_wh: tuple[int, int],
    augmentation: Augmentation,
    *,
    letterbox: bool,
    rng: np.random.Generator,
    canvas: UInt8Array | None = None,
) -> Picture:
    """One training picture of `network_wh` made of `pictures[0]`, or, as often as `mosaic` and `mixup` say, of 4 or 2.

    `pictures` may be a function of 0..3, so that the other three are only read when they are needed. Mixup is the mean
    of two pictures with the boxes of both (data.c blend_truth). `canvas`: what its pixels are written into, in place.
    """
    picture = pictures if callable(pictures) else pictures.__getitem__
    width, height = network_wh
    if canvas is None:
        canvas = _canvas(network_wh)
    kind = rng.random()
    if kind < augmentation.mosaic:
        cut_x, cut_y = (int(size * rng.uniform(*MOSAIC_CUT)) for size in (width, height))
        return _joined(canvas, _mosaic(canvas, picture, (cut_x, cut_y), augmentation, rng))
    whole = _part(canvas, picture(0), (0, 0, width, height), augmentation, rng, letterbox=letterbox)
    if kind >= augmentation.mosaic + augmentation.mixup:
        return whole
    second = _part(_canvas(network_wh), picture(1), (0, 0, width, height), augmentation, rng, letterbox=letterbox)
    cv2.addWeighted(canvas, 0.5, second.image, 0.5, 0.0, dst=canvas)
    return _joined(canvas, [whole, second])


def _canvas(network_wh: tuple[int, int]) -> UInt8Array:
    return np.empty((network_wh[1], network_wh[0], 3), np.uint8)


def _mosaic(
    canvas: UInt8Array,
    picture: Callable[[int], Picture],
    cut_xy: tuple[int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> list[Picture]:
    """The four parts on one canvas, in place; Darknet has no mosaic of letterboxed pictures."""
    (height, width), (cut_x, cut_y) = canvas.shape[:2], cut_xy
    regions = [(0, 0, cut_x, cut_y), (cut_x, 0, width, cut_y), (0, cut_y, cut_x, height), (cut_x, cut_y, width, height)]
    return [
        _part(canvas, picture(number), region, augmentation, rng, letterbox=False)
        for number, region in enumerate(regions)
    ]


def _part(
    canvas: UInt8Array,
    source: Picture,
    region: tuple[int, int, int, int],
    augmentation: Augmentation,
    rng: np.random.Generator,
    *,
    letterbox: bool,
) -> Picture:
    """One source picture in its region of the canvas, changed in place there, and its boxes."""
    height, width = canvas.shape[:2]
    left, top, right, bottom = region
    view = whole_view(source.image.shape[:2], (width, height), letterbox=letterbox)
    view = jittered_view(view, augmentation, rng)
    offset = (int(rng.integers(0, width - (right - left) + 1)), int(rng.integers(0, height - (bottom - top) + 1)))
    part = draw(canvas, source, view, region, offset, bound=augmentation.mosaic_bound)
    change_colours(canvas, region, augmentation, rng)
    window = canvas[top:bottom, left:right]
    if augmentation.blur:
        blurred(window, part.boxes_xyxy - np.array([left, top] * 2, np.float32), augmentation.blur, rng)
    if augmentation.gaussian_noise:
        add_noise(window, augmentation.gaussian_noise, rng)
    return part


def _joined(canvas: UInt8Array, parts: Sequence[Picture]) -> Picture:
    return Picture(
        canvas,
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.ignore for part in parts]),
    )
