"""Draws detections on a whole picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.drawn_boxes import DrawnBox, class_colour, with_boxes

LINE_SHARE = 1 / 700  # of the picture's height: two pixels at 1080 lines
TEXT_SHARE = 1 / 540  # letters of 16 pixels at 1080 lines


def drawn(
    image_rgb: NDArray[np.uint8],
    boxes_xyxy: NDArray[np.float32],
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int64],
    classes: tuple[str, ...],
) -> NDArray[np.uint8]:
    """A new picture (H, W, 3) uint8 BGR with boxes (K, 4) in its pixels, class and score above; the strong on top."""
    height, width = image_rgb.shape[:2]
    line = max(1, round(height * LINE_SHARE))
    image_bgr = np.asarray(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR), np.uint8)
    rows = zip(boxes_xyxy.tolist(), scores.tolist(), class_ids.tolist(), strict=True)
    boxes = [
        DrawnBox((left, top, right, bottom), class_colour(class_id), f"{classes[class_id]} {score:.2f}", width=line)
        for (left, top, right, bottom), score, class_id in rows
    ]
    return with_boxes(image_bgr, reversed(boxes), pixels=width * height, text_scale=max(1.0, height * TEXT_SHARE))
