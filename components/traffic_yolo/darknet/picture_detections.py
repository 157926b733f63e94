"""One picture's boxes as Darknet reports them: those above a threshold, on the picture, in its shares or its pixels."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.darknet.decode import Decoded
from traffic_yolo.darknet.resize import letterbox_hw

Float32Array = NDArray[np.float32]


class PictureDetections(NamedTuple):
    """N boxes of one picture in the network's order: head, cell, anchor.

    `boxes_cxcywh` (N, 4) in shares of the network's input, or of the picture once placed; `objectness` (N,); `scores`
    (N, C) objectness * class probability, 0 where not above the threshold.
    """

    boxes_cxcywh: Float32Array
    objectness: Float32Array
    scores: Float32Array


def above_threshold(decoded: Decoded, picture: int, threshold: float) -> PictureDetections:
    """The boxes of one picture of a batch whose objectness is above the threshold, compared in float32."""
    boxes, objectness, probabilities = (part[picture].cpu().numpy() for part in decoded)
    kept = objectness > np.float32(threshold)
    if not kept.all():  # most often all are, after `decode_above`: no copy
        boxes, objectness, probabilities = boxes[kept], objectness[kept], probabilities[kept]
    scores = objectness[:, None] * probabilities
    scores[scores <= np.float32(threshold)] = 0
    return PictureDetections(boxes, objectness, scores)


def letterboxed_to_picture(
    boxes_cxcywh: Float32Array, image_hw: tuple[int, int], network_hw: tuple[int, int]
) -> Float32Array:
    """Boxes (N, 4) in shares of the letterboxed input -> in shares of the picture, float32."""
    network_height, network_width = network_hw
    new_height, new_width = letterbox_hw(image_hw, network_hw)
    # yolo_layer.c correct_yolo_boxes: float32, but the half difference in double, not rounded to pixels
    ratio = np.array([new_width / network_width, new_height / network_height], np.float32)
    margin = np.array(
        [(network_width - new_width) / 2 / network_width, (network_height - new_height) / 2 / network_height]
    )
    centres = ((boxes_cxcywh[:, :2] - margin) / ratio).astype(np.float32)
    return np.concatenate([centres, boxes_cxcywh[:, 2:] * (1 / ratio)], axis=1)
