"""From the heads' logits to boxes, objectness and class probabilities, by Darknet's rules.

These are in yolo_layer.c, gaussian_yolo_layer.c and region_layer.c.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from traffic_yolo.darknet.heads import GaussianYoloHead, RegionHead, YoloHead
from traffic_yolo.darknet.tracing import is_traced
from traffic_yolo.errors import DarknetFormatError


class Decoded(NamedTuple):
    """All boxes of a batch, float32. N is ordered by head, then cell (row by row), then anchor, as in Darknet.

    `boxes_cxcywh_norm` are in shares of the network's width and height and may reach outside [0, 1];
    `class_probabilities` are not multiplied by `objectness`. A [region] box has objectness 1 and the products as its
    class probabilities, as Darknet reports it: its thresholds look at the products alone, which may exceed 1 without
    softmax.
    """

    boxes_cxcywh_norm: Tensor  # (B, N, 4)
    objectness: Tensor  # (B, N)
    class_probabilities: Tensor  # (B, N, C)


def decode(heads: Sequence[YoloHead], head_inputs: Sequence[Tensor], input_hw: tuple[int, int]) -> Decoded:
    """Decodes what `Network.forward` returned for pictures of `input_hw` (height, width in network pixels).

    The grids come from `input_hw` alone, so that tracing for ONNX leaves only the batch size open. Gradients pass
    through; call it under `torch.no_grad()` for inference.
    """
    rows = torch.cat([_rows(head, x, input_hw) for head, x in zip(heads, head_inputs, strict=True)], dim=1)
    return Decoded(rows[..., :4], rows[..., 4], rows[..., 5:])


def activate_head(head: YoloHead, head_input: Tensor) -> Tensor:
    """The output of the head's layer, of the input's shape (B, A * entries, h, w).

    [yolo]: cell offsets, raw sizes, objectness, class probabilities. [Gaussian_yolo]: the same, with an uncertainty
    after each box number. [region]: raw box numbers, objectness, class probabilities (Darknet's CPU code keeps them
    pixel by pixel instead of channel by channel).
    """
    height, width = head_input.shape[2:]
    x = head_input.reshape(-1, head.num_anchors, head.num_entries, height, width)
    return _RULES[type(head)].activate(head, x).flatten(1, 2)


def decode_above(
    heads: Sequence[YoloHead], head_inputs: Sequence[Tensor], input_hw: tuple[int, int], threshold: float
) -> Decoded:
    """The boxes of one picture (a batch of 1) whose objectness is above the threshold, compared in float32.

    In `decode`'s order and with its numbers, but for the last bit (PyTorch's vectors end at other places), without
    decoding the rest: at a threshold of 0.001 that is most of a picture. Raises `ValueError` for a larger batch.
    """
    rows = []
    for head, head_input in zip(heads, head_inputs, strict=True):
        if len(head_input) != 1:
            raise ValueError(f"decode_above: expected the logits of one picture, found {len(head_input)}")
        chosen = _likely(head, head_input, input_hw, threshold)
        rows.append(_chosen_rows(head, head_input, input_hw, chosen))
    found = torch.cat([part.T for part in rows], dim=1).T  # as the rows lie in memory
    above = found[:, 4] > float(np.float32(threshold))
    found = (found if bool(above.all()) else found[above])[None]  # most often all are: no copy
    return Decoded(found[..., :4], found[..., 4], found[..., 5:])


def _rows(head: YoloHead, head_input: Tensor, input_hw: tuple[int, int]) -> Tensor:
    """(B, A * entries, h, w) -> (B, h * w * A, 5 + C): cx, cy, w, h, objectness, class probabilities."""
    height, width = _grid_hw(head, head_input, input_hw)
    x = head_input.float().reshape(-1, head.num_anchors, head.num_entries, height, width)
    rows = _boxes(head, x, _cells(height, width, x), _anchors(head, x).view(1, -1, 2, 1, 1), input_hw)
    return rows.permute(0, 3, 4, 1, 2).reshape(-1, height * width * head.num_anchors, 5 + head.num_classes)


def _likely(head: YoloHead, head_input: Tensor, input_hw: tuple[int, int], threshold: float) -> Tensor:
    """Places (K,) in the order of `_rows` of all boxes whose objectness may be above the threshold."""
    height, width = _grid_hw(head, head_input, input_hw)
    x = head_input.float().reshape(head.num_anchors, head.num_entries, height * width)
    if isinstance(head, RegionHead):  # all have objectness 1
        return torch.arange(height * width * head.num_anchors, device=x.device)
    objectness = x[:, _RULES[type(head)].objectness_entry]  # (A, h * w)
    if not head.new_coords:
        objectness = torch.sigmoid(objectness)
    # a rounding may differ from the one that decides: `decode_above` compares again
    return torch.nonzero((objectness > threshold - 1e-6).T.reshape(-1))[:, 0]


def _chosen_rows(head: YoloHead, head_input: Tensor, input_hw: tuple[int, int], chosen: Tensor) -> Tensor:
    """Rows `chosen` (K,) of `_rows`, (K, 5 + C)."""
    height, width = _grid_hw(head, head_input, input_hw)
    cells, anchors = chosen // head.num_anchors, chosen % head.num_anchors
    x = head_input.float().reshape(head.num_anchors, head.num_entries, height * width)
    # (1, 1, entries, 1, K), as one row of K cells; contiguous, so that PyTorch takes the same path as for all of them
    x = x.transpose(0, 1).reshape(head.num_entries, -1)  # a plane an entry: boxes are picked from each in order
    x = torch.index_select(x, 1, anchors * (height * width) + cells)[None, None, :, None]
    places = _cells(height, width, x).flatten(3)[:, :, :, cells][..., None, :]
    return _boxes(head, x, places, _anchors(head, x)[anchors].T[None, None, :, None], input_hw)[0, 0, :, 0].T


def _boxes(head: YoloHead, x: Tensor, cells: Tensor, anchors: Tensor, input_hw: tuple[int, int]) -> Tensor:
    """Entries (B, A, entries, h, w) -> rows (B, A, 5 + C, h, w); cells and anchors broadcast to the first."""
    height, width = head.grid_hw(input_hw)
    offsets, sizes, scores = _RULES[type(head)].parts(head, x)
    centres = (offsets + cells) / _constants([width, height], x).view(1, 1, 2, 1, 1)
    sizes = sizes * sizes * 4 * anchors if head.new_coords else torch.exp(sizes) * anchors
    # region_layer.c get_region_box divides anchors in cells by the grid, the others anchors in pixels by the network
    whole = (width * head.stride, height * head.stride) if isinstance(head, RegionHead) else input_hw[::-1]
    sizes = sizes / _constants(whole, x).view(1, 1, 2, 1, 1)
    if head.centre_shift:
        centres = centres + head.centre_shift * sizes
    return torch.cat([centres, sizes, scores], dim=2)


def _grid_hw(head: YoloHead, head_input: Tensor, input_hw: tuple[int, int]) -> tuple[int, int]:
    height, width = head.grid_hw(input_hw)
    _check_shape(head, head_input, (height, width))
    return height, width


def _anchors(head: YoloHead, like: Tensor) -> Tensor:
    """(A, 2): width and height of the head's anchors, in network pixels."""
    return _constants([length for anchor in head.mask_anchors for length in anchor], like).view(-1, 2)


class _Rule(NamedTuple):
    """How one kind of head reads x (B, A, entries, h, w).

    `activate` gives the layer's output, of the same shape; `parts` gives offsets in cells (B, A, 2, h, w), sizes before
    their exponential (B, A, 2, h, w), and objectness and class probabilities (B, A, 1 + C, h, w). `objectness_entry`
    is the place of the objectness among the entries that come in.
    """

    activate: Callable[[YoloHead, Tensor], Tensor]
    parts: Callable[[YoloHead, Tensor], tuple[Tensor, Tensor, Tensor]]
    objectness_entry: int


def _stretched(head: YoloHead, offsets: Tensor) -> Tensor:
    return offsets if head.scale_x_y == 1 else offsets * head.scale_x_y - 0.5 * (head.scale_x_y - 1)


def _yolo_parts(head: YoloHead, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    offsets, sizes, scores = x[:, :, 0:2], x[:, :, 2:4], x[:, :, 4:]
    if not head.new_coords:  # with new_coords the convolution before has done it (activation=logistic)
        offsets, scores = torch.sigmoid(offsets), torch.sigmoid(scores)
    return _stretched(head, offsets), sizes, scores


def _activate_yolo(head: YoloHead, x: Tensor) -> Tensor:
    return torch.cat(_yolo_parts(head, x), dim=2)


def _activate_gaussian(head: YoloHead, x: Tensor) -> Tensor:
    """Everything but the two sizes (entries 4 and 6) goes through a sigmoid (gaussian_yolo_layer.c forward)."""
    y = torch.sigmoid(x)
    left, top = _stretched(head, y[:, :, 0:1]), _stretched(head, y[:, :, 2:3])
    boxes = [left, y[:, :, 1:2], top, y[:, :, 3:4], x[:, :, 4:5], y[:, :, 5:6], x[:, :, 6:7], y[:, :, 7:8]]
    return torch.cat([*boxes, y[:, :, 8:]], dim=2)


def _gaussian_parts(head: YoloHead, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Class probabilities lose the mean uncertainty of the box (get_gaussian_yolo_detections)."""
    y = _activate_gaussian(head, x)
    certainty = 1 - y[:, :, 1:8:2].mean(dim=2, keepdim=True)
    return y[:, :, 0:4:2], y[:, :, 4:8:2], torch.cat([y[:, :, 8:9], y[:, :, 9:] * certainty], dim=2)


def _activate_region(head: YoloHead, x: Tensor) -> Tensor:
    assert isinstance(head, RegionHead)
    if head.tree:
        where = f"[region] of layer {head.layer_index}"
        raise DarknetFormatError(f"{where}: tree={head.tree[:80]} is not supported: its boxes need that file's classes")
    classes = x[:, :, 5:]
    if head.softmax:
        classes = torch.softmax(classes, dim=2)
    return torch.cat([x[:, :, :4], torch.sigmoid(x[:, :, 4:5]), classes], dim=2)


def _region_parts(head: YoloHead, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Objectness 1 and the products as class probabilities: network.c custom_get_region_detections."""
    assert isinstance(head, RegionHead)
    y = _activate_region(head, x)
    objectness = y[:, :, 4:5]
    if head.classfix == -1:  # region_layer.c get_region_boxes
        objectness = torch.where(objectness < 0.5, 0.0, objectness)
    scores = torch.cat([torch.ones_like(objectness), objectness * y[:, :, 5:]], dim=2)
    return torch.sigmoid(y[:, :, 0:2]), y[:, :, 2:4], scores


_RULES: dict[type[YoloHead], _Rule] = {
    YoloHead: _Rule(_activate_yolo, _yolo_parts, 4),
    GaussianYoloHead: _Rule(_activate_gaussian, _gaussian_parts, 8),
    RegionHead: _Rule(_activate_region, _region_parts, 4),
}


def _cells(height: int, width: int, like: Tensor) -> Tensor:
    """(1, 1, 2, h, w): column and row of each cell."""
    columns = torch.arange(width, dtype=torch.float32, device=like.device)
    rows = torch.arange(height, dtype=torch.float32, device=like.device)
    return torch.stack([columns[None, :].expand(height, width), rows[:, None].expand(height, width)])[None, None]


def _constants(values: Sequence[float], like: Tensor) -> Tensor:
    """(N,) float32, made in a way that tracing takes without a warning (torch.tensor gives one)."""
    return torch.stack([torch.full((), float(value), dtype=torch.float32, device=like.device) for value in values])


def _check_shape(head: YoloHead, head_input: Tensor, grid_hw: tuple[int, int]) -> None:
    if is_traced():
        return
    expected = (head.num_channels, *grid_hw)
    if tuple(head_input.shape[1:]) != expected:
        found = f"found {tuple(head_input.shape)}"
        raise ValueError(f"input of the head at layer {head.layer_index}: expected (batch, *{expected}), {found}")
