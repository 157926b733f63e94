"""The loops of nvinfer's cluster mode 2, in its float32 arithmetic."""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.jit import kernel

Float32Array = NDArray[np.float32]

ZERO = np.float32(0)
CHUNK = 32  # kept boxes that are compared before looking whether one was enough: no branch inside, so vectors
_LOW_BITS = np.uint64(0xFFFFFFFF)
_SIGN = np.uint32(0x80000000)


@kernel
def cluster_by_class(
    boxes_xywh: Float32Array,
    scores: Float32Array,
    score_bits: NDArray[np.uint32],
    class_ids: NDArray[np.int64],
    iou_thresholds: Float32Array,
    post_thresholds: Float32Array,
    topk: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Indices of what is kept of boxes (n, 4) left, top, width, height; by class, then by falling score, then by index.

    By class (C,): a box stays whose IoU with every kept one is at most the threshold; then those with a score above the
    post-cluster threshold; then the first `topk`, all where that is negative. `score_bits` are the bits of scores.
    """
    num_classes = len(topk)
    starts = np.zeros(num_classes + 1, np.int64)
    for class_id in class_ids:
        starts[class_id + 1] += 1
    for class_id in range(num_classes):
        starts[class_id + 1] += starts[class_id]
    keys = np.empty(len(scores), np.uint64)
    ends = starts.copy()
    for index in range(len(scores)):
        bits = score_bits[index] if scores[index] != ZERO else np.uint32(0)  # -0 equals 0
        rising = bits ^ _SIGN if bits < _SIGN else ~bits  # sorts as the floats do
        falling = np.uint64(np.uint32(~rising))
        class_id = class_ids[index]
        keys[ends[class_id]] = (falling << np.uint64(32)) | np.uint64(index)
        ends[class_id] += 1
    kept = np.empty(len(scores), np.int64)
    placed = np.empty((5, len(scores)), np.float32)
    end = 0
    for class_id in range(num_classes):
        first, last = starts[class_id], starts[class_id + 1]
        if first < last:
            keys[first:last].sort()
            limit = topk[class_id]
            members = _survivors(boxes_xywh, keys[first:last], iou_thresholds[class_id], placed)
            taken = 0
            for index in members:
                if taken != limit and scores[index] > post_thresholds[class_id]:
                    kept[end] = index
                    end += 1
                    taken += 1
    return kept[:end]


@kernel
def _survivors(
    boxes_xywh: Float32Array, keys: NDArray[np.uint64], iou_threshold: np.float32, placed: Float32Array
) -> NDArray[np.int64]:
    """Indices (the keys' low bits) of the boxes that stay, in the keys' order; `placed` (5, n) is room to work."""
    left, top, right, bottom, area = placed[0], placed[1], placed[2], placed[3], placed[4]
    survivors = np.empty(len(keys), np.int64)
    count = 0
    for key in keys:
        index = np.int64(key & _LOW_BITS)
        left2, top2, width, height = boxes_xywh[index]
        right2, bottom2, area2 = left2 + width, top2 + height, width * height
        removed = 0
        for start in range(0, count, CHUNK):
            for other in range(start, min(start + CHUNK, count)):
                overlap = max(min(right[other], right2) - max(left[other], left2), ZERO)
                overlap *= max(min(bottom[other], bottom2) - max(top[other], top2), ZERO)
                union = area[other] + area2 - overlap
                removed |= (union != ZERO) & (overlap / union > iou_threshold)
            if removed:
                break
        if not removed:
            left[count], top[count], right[count], bottom[count] = left2, top2, right2, bottom2
            area[count] = area2
            survivors[count] = index
            count += 1
    return survivors[:count]
