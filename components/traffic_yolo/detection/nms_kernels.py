"""The loops of non-maximum suppression, in Darknet's float32 arithmetic."""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.jit import kernel

ZERO, HALF = np.float32(0), np.float32(0.5)


@kernel
def box_overlap(boxes: NDArray[np.float32], first: int, second: int, exponent: float) -> np.float32:
    """What NMS compares with its threshold for two rows of boxes (N, 4) xyxy; the order of the two does not matter.

    IoU, less (squared centre distance / squared diagonal of the box around both) ** exponent unless that is 0.
    """
    left, top, right, bottom = boxes[first, 0], boxes[first, 1], boxes[first, 2], boxes[first, 3]
    left2, top2, right2, bottom2 = boxes[second, 0], boxes[second, 1], boxes[second, 2], boxes[second, 3]
    width = max(min(right, right2) - max(left, left2), ZERO)
    height = max(min(bottom, bottom2) - max(top, top2), ZERO)
    shared = width * height
    area = max(right - left, ZERO) * max(bottom - top, ZERO)
    area2 = max(right2 - left2, ZERO) * max(bottom2 - top2, ZERO)
    union = area + area2 - shared
    overlap = shared / union if union > ZERO else ZERO
    if exponent == 0:
        return overlap
    across = (left + right) * HALF - (left2 + right2) * HALF
    down = (top + bottom) * HALF - (top2 + bottom2) * HALF
    around = max(right, right2) - min(left, left2)
    around2 = max(bottom, bottom2) - min(top, top2)
    diagonal = around * around + around2 * around2
    if diagonal <= ZERO:  # two boxes on one point: Darknet returns the plain IoU
        return overlap
    ratio = (across * across + down * down) / diagonal
    return overlap - np.float32(float(ratio) ** exponent)  # C's pow works in double


@kernel
def candidates_of(
    boxes_from: int,
    boxes_to: int,
    score_offsets: NDArray[np.int64],
    scores: NDArray[np.float32],
    score_bits: NDArray[np.uint32],
    threshold: np.float32,
    keys: NDArray[np.uint64],  # out
    score_rows: NDArray[np.int64],  # out
    box_rows: NDArray[np.int64],  # out
) -> int:
    """Lists the scores above `threshold` of the boxes of one picture by falling score, equals in the network's order.

    Returns how many there are; `score_rows` and `box_rows` begin with their rows. `score_bits` are the scores' bits:
    those of positive floats sort as the floats do.
    """
    count = 0
    for box in range(boxes_from, boxes_to):
        for row in range(score_offsets[box], score_offsets[box + 1]):
            if scores[row] > threshold:
                falling = np.uint64(0xFFFFFFFF) - np.uint64(score_bits[row])
                keys[count] = (falling << np.uint64(32)) | np.uint64(count)
                box_rows[count] = box
                score_rows[count] = row
                count += 1
    keys[:count].sort()
    listed_boxes, listed_rows = box_rows[:count].copy(), score_rows[:count].copy()
    for place in range(count):
        source = int(keys[place] & np.uint64(0xFFFFFFFF))
        box_rows[place], score_rows[place] = listed_boxes[source], listed_rows[source]
    return count


@kernel
def suppress_pictures(
    first: int,
    last: int,
    offsets: NDArray[np.int64],
    boxes: NDArray[np.float32],
    score_offsets: NDArray[np.int64],
    score_class_ids: NDArray[np.int16],
    scores: NDArray[np.float32],
    score_bits: NDArray[np.uint32],
    num_classes: int,
    limits: tuple[np.float32, np.float32, float, int],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What greedy NMS keeps in the pictures `first` to `last`, class by class.

    `limits`: confidence threshold, IoU threshold, exponent (`box_overlap`), most detections of a picture. Returns rows
    of scores, rows of their boxes, and how many there are in each picture; by picture, then by falling score.
    """
    threshold, iou_threshold, exponent, most = limits
    total = score_offsets[offsets[last]] - score_offsets[offsets[first]]
    kept_rows, kept_boxes = np.empty(total, np.int64), np.empty(total, np.int64)
    counts = np.zeros(last - first, np.int64)
    widest = 0
    for picture in range(first, last):
        widest = max(widest, score_offsets[offsets[picture + 1]] - score_offsets[offsets[picture]])
    keys = np.empty(widest, np.uint64)
    score_rows, box_rows = np.empty(widest, np.int64), np.empty(widest, np.int64)
    previous = np.empty(widest, np.int64)  # of a kept candidate: the one kept before it in its class
    newest = np.full(num_classes, -1)  # the last one kept in each class
    end = 0
    for picture in range(first, last):
        count = candidates_of(
            offsets[picture],
            offsets[picture + 1],
            score_offsets,
            scores,
            score_bits,
            threshold,
            keys,
            score_rows,
            box_rows,
        )
        start = end
        for place in range(count):
            class_id = score_class_ids[score_rows[place]]
            other = newest[class_id]
            while other >= 0:
                if box_overlap(boxes, box_rows[other], box_rows[place], exponent) > iou_threshold:
                    break
                other = previous[other]
            if other >= 0:
                continue
            previous[place] = newest[class_id]
            newest[class_id] = place
            kept_rows[end], kept_boxes[end] = score_rows[place], box_rows[place]
            end += 1
            if end - start == most:
                break
        counts[picture - first] = end - start
        for place in range(start, end):
            newest[score_class_ids[kept_rows[place]]] = -1
    return kept_rows[:end], kept_boxes[:end], counts
