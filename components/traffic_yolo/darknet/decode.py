"""From the heads' logits to boxes, objectness and class probabilities, by Darknet's rules (yolo_layer.c)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from traffic_yolo.darknet.heads import YoloHead
from traffic_yolo.darknet.tracing import is_traced


class Decoded(NamedTuple):
    """All boxes of a batch, float32. N is ordered by head, then cell (row by row), then anchor, as in Darknet.

    `boxes_cxcywh_norm` are in shares of the network's width and height and may reach outside [0, 1];
    `class_probabilities` are not multiplied by `objectness`.
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
    """The output of a [yolo] layer (B, A * (5 + C), h, w): cell offsets, raw sizes, objectness, class probabilities."""
    height, width = head_input.shape[2:]
    x = head_input.reshape(-1, head.num_anchors, 5 + head.num_classes, height, width)
    return torch.cat(_activated(head, x), dim=2).flatten(1, 2)


def _activated(head: YoloHead, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, A, 5 + C, h, w) -> offsets in cells (2), sizes as they are (2), objectness and classes (1 + C)."""
    offsets, sizes, scores = x[:, :, 0:2], x[:, :, 2:4], x[:, :, 4:]
    if not head.new_coords:  # with new_coords the convolution before has done it (activation=logistic)
        offsets, scores = torch.sigmoid(offsets), torch.sigmoid(scores)
    if head.scale_x_y != 1:
        offsets = offsets * head.scale_x_y - 0.5 * (head.scale_x_y - 1)
    return offsets, sizes, scores


def _rows(head: YoloHead, head_input: Tensor, input_hw: tuple[int, int]) -> Tensor:
    """(B, A * (5 + C), h, w) -> (B, h * w * A, 5 + C): cx, cy, w, h, objectness, class probabilities."""
    input_height, input_width = input_hw
    height, width = input_height // head.stride, input_width // head.stride
    _check_shape(head, head_input, (height, width))
    x = head_input.float().reshape(-1, head.num_anchors, 5 + head.num_classes, height, width)
    offsets, sizes, scores = _activated(head, x)
    centres = (offsets + _cells(height, width, x)) / _constants([width, height], x).view(1, 1, 2, 1, 1)
    anchors = _constants([length for anchor in head.mask_anchors for length in anchor], x).view(1, -1, 2, 1, 1)
    sizes = sizes * sizes * 4 * anchors if head.new_coords else torch.exp(sizes) * anchors
    sizes = sizes / _constants([input_width, input_height], x).view(1, 1, 2, 1, 1)
    rows = torch.cat([centres, sizes, scores], dim=2).permute(0, 3, 4, 1, 2)  # (B, h, w, A, 5 + C)
    return rows.reshape(-1, height * width * head.num_anchors, 5 + head.num_classes)


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
