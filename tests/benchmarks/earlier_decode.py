"""Decoding and suppressing one picture as it was done until November 2026: the benchmark's peer, equal to the bit.

Boxes are picked row by row and copied whole at each step, and `wide_nms_kernels` suppresses them.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from wide_nms_kernels import NO_PENALTY, suppress_by_class

from traffic_yolo.darknet import decode
from traffic_yolo.darknet.heads import YoloHead


def earlier_detections(
    heads: Sequence[YoloHead], logits: Sequence[Tensor], input_hw: tuple[int, int], threshold: float, iou: float
) -> np.ndarray:
    """What `darknet_nms` gives of `above_threshold` of `decode_above`, with NMS of the kind default."""
    rows = []
    for head, head_input in zip(heads, logits, strict=True):
        chosen = decode._likely(head, head_input, input_hw, threshold)
        rows.append(_chosen_rows(head, head_input, input_hw, chosen))
    found = torch.cat(rows)
    found = found[found[:, 4] > float(np.float32(threshold))]
    boxes, objectness, probabilities = (part.numpy() for part in (found[:, :4], found[:, 4], found[:, 5:]))
    kept = objectness > np.float32(threshold)
    scores = objectness[kept, None] * probabilities[kept]
    scores[scores <= np.float32(threshold)] = 0
    boxes, objectness = np.ascontiguousarray(boxes[kept]), objectness[kept]
    by_class = np.ascontiguousarray(np.ascontiguousarray(scores).T)
    of_boxes, classes = suppress_by_class(boxes, by_class, by_class.view(np.uint32), np.float32(iou), NO_PENALTY)
    columns = [boxes[of_boxes], objectness[of_boxes, None], classes[:, None], scores[of_boxes, classes][:, None]]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _chosen_rows(head: YoloHead, head_input: Tensor, input_hw: tuple[int, int], chosen: Tensor) -> Tensor:
    height, width = (length // head.stride for length in input_hw)
    cells, anchors = chosen // head.num_anchors, chosen % head.num_anchors
    x = head_input.float().reshape(head.num_anchors, head.num_entries, height * width)
    x = x[anchors, :, cells].T.contiguous()[None, None, :, None]
    places = decode._cells(height, width, x).flatten(3)[:, :, :, cells][..., None, :]
    sizes = decode._anchors(head, x)[anchors].T[None, None, :, None]
    return decode._boxes(head, x, places, sizes, input_hw)[0, 0, :, 0].T
