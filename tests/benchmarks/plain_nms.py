"""Darknet's non-maximum suppression as plain Python loops over its own steps (box.c), in float32: slow and easy to read.

The benchmark's peer, and an oracle of the tests.
"""

from collections.abc import Sequence

import numpy as np

ZERO, TWO = np.float32(0), np.float32(2)
Box = Sequence[np.float32]


def overlap(a: Box, b: Box, exponent: float | None) -> np.float32:
    """IoU of two boxes x, y, w, h, less the penalty for distant centres unless `exponent` is None."""
    left, right = max(a[0] - a[2] / TWO, b[0] - b[2] / TWO), min(a[0] + a[2] / TWO, b[0] + b[2] / TWO)
    top, bottom = max(a[1] - a[3] / TWO, b[1] - b[3] / TWO), min(a[1] + a[3] / TWO, b[1] + b[3] / TWO)
    shared = max(right - left, ZERO) * max(bottom - top, ZERO)
    union = a[2] * a[3] + b[2] * b[3] - shared
    iou = shared / union if shared > 0 and union > 0 else ZERO
    if exponent is None:
        return iou
    width = max(a[0] + a[2] / TWO, b[0] + b[2] / TWO) - min(a[0] - a[2] / TWO, b[0] - b[2] / TWO)
    height = max(a[1] + a[3] / TWO, b[1] + b[3] / TWO) - min(a[1] - a[3] / TWO, b[1] - b[3] / TWO)
    diagonal = width * width + height * height
    if diagonal <= 0:
        return iou
    distance = (a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1])
    return np.float32(float(iou) - float(distance / diagonal) ** exponent)


def plain_nms(
    boxes: np.ndarray, objectness: np.ndarray, scores: np.ndarray, kind: str, iou_threshold: float, beta: float = 0.6
) -> np.ndarray:
    """(K, 7) x, y, w, h, objectness, class, score of what survives, in the order in which Darknet's list ends."""
    exponent = {"default": None, "obj": None, "greedynms": 0.6, "diounms": beta}[kind]
    threshold = np.float32(iou_threshold)
    found = [
        (list(box), [value], list(row)) for box, value, row in zip(boxes, objectness, scores, strict=True)
    ]  # box, objectness, class scores
    if kind == "obj":
        found.sort(key=lambda item: -item[1][0])
        for index, (box, value, _) in enumerate(found):
            for other, value2, row2 in found[index + 1 :] if value[0] else ():
                if value2[0] and overlap(box, other, exponent) > threshold:
                    value2[0], row2[:] = ZERO, [ZERO] * len(row2)
    else:
        for class_id in range(scores.shape[1]):
            found.sort(key=lambda item: -item[2][class_id])
            alive = [(box, row) for box, _, row in found if row[class_id]]
            for index, (box, row) in enumerate(alive):
                for other, row2 in alive[index + 1 :] if row[class_id] else ():
                    if row2[class_id] and overlap(box, other, exponent) > threshold:
                        row2[class_id] = ZERO
    rows = [
        [*box, value[0], class_id, score]
        for box, value, row in found
        for class_id, score in enumerate(row)
        if score and (value[0] or kind != "obj")
    ]
    return np.array(rows, np.float32).reshape(-1, 7)
