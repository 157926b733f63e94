"""Anchors that fit a data set, by k-means as Darknet's calc_anchors does, and a network with other anchors.

The distance of a box to an anchor is 1 - IoU of the two laid on one corner: sizes count, places do not.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traffic_yolo.boxes import pairwise_shape_iou
from traffic_yolo.darknet.cfg import Cfg
from traffic_yolo.darknet.heads import RegionHead, YoloHead
from traffic_yolo.darknet.network import Network
from traffic_yolo.darknet.surgery import head_convolution, rebuild, rows_per_anchor
from traffic_yolo.errors import OptionsError

Float64Array = NDArray[np.float64]

MAX_ITERATIONS = 1000
MAX_ANCHORS = 1000


def anchors_from_sizes(sizes_wh: ArrayLike, count: int, *, restarts: int = 5, seed: int = 0) -> Float64Array:
    """`count` anchors (count, 2) for boxes of `sizes_wh` (n, 2), both width and height in network pixels.

    k-means with a k-means++ start, centres as means of their boxes; of `restarts` runs the one whose anchors overlap
    the boxes best on average. By rising area, as the heads' masks expect them. Raises `OptionsError` for sizes that are
    not above 0 and for more anchors than different sizes.
    """
    sizes = np.asarray(sizes_wh, np.float64)
    if sizes.ndim != 2 or sizes.shape[1] != 2:
        raise OptionsError(f"box sizes: expected (n, 2) widths and heights, found shape {sizes.shape}")
    if not (np.isfinite(sizes).all() and (sizes > 0).all()):
        raise OptionsError("box sizes: expected widths and heights above 0")
    distinct = len(np.unique(sizes, axis=0))
    if not 1 <= count <= min(distinct, MAX_ANCHORS):
        raise OptionsError(f"anchors: expected 1 to {min(distinct, MAX_ANCHORS)} for these boxes, found {count}")
    generator = np.random.default_rng(seed)
    runs = [_k_means(sizes, _starting_anchors(sizes, count, generator)) for _ in range(max(1, restarts))]
    best = max(runs, key=lambda anchors: average_iou(sizes, anchors))
    return best[np.argsort(best.prod(axis=1), kind="stable")]


def network_box_sizes(
    boxes_wh: ArrayLike, images_wh: ArrayLike, network_wh: tuple[int, int], *, letterbox: bool = False
) -> Float64Array:
    """Widths and heights (n, 2) in network pixels of boxes (n, 2) in pixels of their pictures, of sizes (n, 2).

    `letterbox`: both sides shrink by one factor, as the pictures keep their aspect; else each side by its own.
    """
    factors = np.asarray(network_wh, np.float64) / np.asarray(images_wh, np.float64).reshape(-1, 2)
    if letterbox:
        factors = factors.min(axis=1, keepdims=True)
    return np.asarray(boxes_wh, np.float64).reshape(-1, 2) * factors


def average_iou(sizes_wh: ArrayLike, anchors_wh: ArrayLike) -> float:
    """The mean over boxes (n, 2) of the IoU with the anchor (k, 2) that fits best, in [0, 1]."""
    sizes, anchors = np.asarray(sizes_wh, np.float64), np.asarray(anchors_wh, np.float64)
    return float(pairwise_shape_iou(sizes, anchors).max(axis=1).mean()) if len(sizes) else 0.0


def _starting_anchors(sizes: Float64Array, count: int, generator: np.random.Generator) -> Float64Array:
    """k-means++: each next one is a box, drawn by its distance to those chosen."""
    chosen = [sizes[generator.integers(len(sizes))]]
    distance = 1 - pairwise_shape_iou(sizes, chosen[0][None])[:, 0]
    while len(chosen) < count:
        distance[distance < 1e-12] = 0  # the chosen sizes themselves
        chosen.append(sizes[generator.choice(len(sizes), p=distance / distance.sum())])
        distance = np.minimum(distance, 1 - pairwise_shape_iou(sizes, chosen[-1][None])[:, 0])
    return np.array(chosen)


def _k_means(sizes: Float64Array, anchors: Float64Array) -> Float64Array:
    nearest = np.full(len(sizes), -1)
    for _ in range(MAX_ITERATIONS):
        now = pairwise_shape_iou(sizes, anchors).argmax(axis=1)
        if (now == nearest).all():
            break
        nearest = now
        members = np.bincount(nearest, minlength=len(anchors))
        sums = np.stack([np.bincount(nearest, sizes[:, axis], minlength=len(anchors)) for axis in (0, 1)], axis=1)
        # An anchor that has lost its last box stays where it is.
        anchors = np.where(members[:, None] > 0, sums / np.maximum(members, 1)[:, None], anchors)
    return anchors


def change_anchors(
    network: Network, anchors_wh: Sequence[tuple[float, float]], *, masks: Sequence[Sequence[int]] | None = None
) -> Network:
    """A new network with these anchors (network pixels) in every head, and its heads' rows to match.

    `masks`: per head, in the cfg's order, the indices it predicts. Without them as many anchors as before keep the
    masks; another number is shared out evenly by area, the smallest to the finest head. A head with as many anchors as
    before keeps its rows in place; else each anchor starts from the rows of the old one nearest in shape. Raises
    `OptionsError` for anchors that are not above 0 or masks that do not fit.
    """
    anchors = [(float(width), float(height)) for width, height in anchors_wh]
    if not anchors or not all(np.isfinite(anchor).all() and min(anchor) > 0 for anchor in anchors):
        raise OptionsError("anchors: expected pairs of widths and heights above 0")
    chosen = _checked_masks(network, masks, len(anchors)) if masks is not None else _default_masks(network, anchors)
    cfg = network.cfg.copy()
    rows_of = {}
    for head, mask in zip(network.heads, chosen, strict=True):
        _write_head(cfg, network, head, anchors, mask)
        rows_of[head_convolution(network, head)] = _rows(head, [anchors[index] for index in mask])
    return rebuild(network, cfg, rows_of)


def _checked_masks(network: Network, masks: Sequence[Sequence[int]], count: int) -> list[list[int]]:
    if len(masks) != len(network.heads):
        raise OptionsError(f"masks: expected one for each of {len(network.heads)} heads, found {len(masks)}")
    for mask in masks:
        if not mask or len(set(mask)) < len(mask) or not all(0 <= index < count for index in mask):
            raise OptionsError(f"masks: expected different numbers from 0 to {count - 1}, found {list(mask)}")
    return [list(mask) for mask in masks]


def _default_masks(network: Network, anchors: Sequence[tuple[float, float]]) -> list[list[int]]:
    heads = network.heads
    if all(len(head.anchors) == len(anchors) for head in heads):
        return [list(head.mask) for head in heads]
    if len(anchors) % len(heads):
        raise OptionsError(
            f"anchors: {len(anchors)} cannot be shared evenly by {len(heads)} heads; give masks, or another number"
        )
    share = len(anchors) // len(heads)
    by_area = sorted(range(len(anchors)), key=lambda index: anchors[index][0] * anchors[index][1])
    finest_first = sorted(range(len(heads)), key=lambda index: heads[index].stride)
    masks: list[list[int]] = [[] for _ in heads]
    for position, index in enumerate(finest_first):
        masks[index] = sorted(by_area[position * share : (position + 1) * share])
    return masks


def _write_head(
    cfg: Cfg, network: Network, head: YoloHead, anchors: Sequence[tuple[float, float]], mask: Sequence[int]
) -> None:
    """Sets anchors, num, mask and filters in place; what already says the same keeps its text."""
    yolo, convolution = cfg.layers[head.layer_index], cfg.layers[head_convolution(network, head)]
    # [region] has its anchors in cells, and predicts all of them: it has no mask
    is_region = isinstance(head, RegionHead)
    unit = head.stride if is_region else 1
    if list(head.anchors) != anchors:
        yolo.set("anchors", ", ".join(f"{width / unit:.6g},{height / unit:.6g}" for width, height in anchors))
    if len(head.anchors) != len(anchors) or yolo.get_int("num", 1) != len(anchors):
        yolo.set("num", len(anchors))
    if is_region and len(mask) < len(anchors):
        raise OptionsError(f"masks: a [region] head predicts all of its {len(anchors)} anchors, found {len(mask)}")
    if list(head.mask) != list(mask) and not is_region:
        yolo.set("mask", ",".join(str(index) for index in mask))
    if head.num_anchors != len(mask):
        convolution.set("filters", len(mask) * rows_per_anchor(head))


def _rows(head: YoloHead, anchors: Sequence[tuple[float, float]]) -> NDArray[np.int64]:
    """For each row of the new convolution the old row it comes from."""
    if len(anchors) == head.num_anchors:
        parents = np.arange(len(anchors))
    else:
        parents = pairwise_shape_iou(np.array(anchors), np.array(head.mask_anchors)).argmax(axis=1)
    size = rows_per_anchor(head)
    return (parents[:, None] * size + np.arange(size)[None]).reshape(-1).astype(np.int64)
