"""The loops of Darknet's non-maximum suppression, in float32 as in box.c, on one picture."""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.jit import kernel

Float32Array = NDArray[np.float32]
Int32Array = NDArray[np.int32]

NO_PENALTY = np.inf
MARGIN = np.float32(1.001)  # for the roundings on the way to a box's neighbours; only the exact test decides
FAR = np.float32(1e30)
ZERO, TWO = np.float32(0), np.float32(2)
_LOW_BITS = np.uint64(0xFFFFFFFF)


@kernel
def placed_corners(boxes: Float32Array, members: Int32Array) -> Float32Array:
    """(7, K) left, top, right, bottom, area, centre x, centre y of the given rows of boxes (N, 4) cxcywh."""
    placed = np.empty((7, len(members)), np.float32)
    for place in range(len(members)):
        x, y, width, height = boxes[members[place]]
        placed[0, place], placed[1, place] = x - width / TWO, y - height / TWO
        placed[2, place], placed[3, place] = x + width / TWO, y + height / TWO
        placed[4, place], placed[5, place], placed[6, place] = width * height, x, y
    return placed


@kernel
def suppress(placed: Float32Array, iou_threshold: np.float32, exponent: float) -> NDArray[np.uint8]:
    """Which of K boxes, standing by falling score, greedy suppression keeps: (K,) 1 or 0.

    `placed` is `placed_corners`. A kept box removes later ones whose IoU, less (d² / c²) ** exponent, is above the
    threshold; an infinite exponent leaves the IoU as it is.

    A box is compared with its neighbours alone: an IoU above t > 0 wants widths that differ by less than a factor of
    t, and boxes that touch. So the boxes stand by their centres along x, and a stretch of them is looked at.
    """
    count = placed.shape[1]
    by_x = np.argsort(placed[5])
    x = placed[:, by_x]
    left, top, right, bottom, area, centre = x[0], x[1], x[2], x[3], x[4], x[5]
    rank = by_x.astype(np.int32)
    place_of = np.empty(count, np.int32)
    for place in range(count):
        place_of[rank[place]] = place
    widest = np.float32(0)
    for place in range(count):
        widest = max(widest, right[place] - left[place])
    alive, removed = np.ones(count, np.uint8), np.zeros(count, np.uint8)
    for box in range(count):
        here = place_of[box]
        if not alive[here]:
            continue
        width = right[here] - left[here]
        most = min(widest, width / iou_threshold * MARGIN) if iou_threshold > ZERO else widest
        reach = (width + most) / TWO * MARGIN
        first, end = 0, count
        if iou_threshold >= ZERO and reach < FAR:
            first = np.searchsorted(centre, centre[here] - reach)
            end = np.searchsorted(centre, centre[here] + reach, side="right")
        left2, top2, right2, bottom2, area2 = left[here], top[here], right[here], bottom[here], area[here]
        for other in range(first, end):  # no branch inside: the compiler uses vectors
            shared = max(min(right[other], right2) - max(left[other], left2), ZERO)
            shared *= max(min(bottom[other], bottom2) - max(top[other], top2), ZERO)
            union = area[other] + area2 - shared
            overlap = shared / union if (shared > ZERO) & (union > ZERO) else ZERO
            removed[other] = (overlap > iou_threshold) & (rank[other] > box)
        if exponent != NO_PENALTY:  # the penalty only lowers the overlap: the others stay whatever it is
            for other in range(first, end):
                if removed[other] and alive[other]:
                    removed[other] = _overlap(x, other, here, exponent) > iou_threshold
        for other in range(first, end):
            alive[other] &= removed[other] ^ 1
    return alive[place_of]


@kernel
def _overlap(placed: Float32Array, first: int, second: int, exponent: float) -> np.float32:
    left, top, right, bottom, area = placed[0], placed[1], placed[2], placed[3], placed[4]
    shared = max(min(right[first], right[second]) - max(left[first], left[second]), ZERO)
    shared *= max(min(bottom[first], bottom[second]) - max(top[first], top[second]), ZERO)
    union = area[first] + area[second] - shared
    overlap = shared / union if shared > ZERO and union > ZERO else ZERO
    across, down = placed[5, first] - placed[5, second], placed[6, first] - placed[6, second]
    around = max(right[first], right[second]) - min(left[first], left[second])
    around2 = max(bottom[first], bottom[second]) - min(top[first], top[second])
    diagonal = around * around + around2 * around2
    if diagonal <= ZERO:  # two boxes on one point: the plain IoU
        return overlap
    ratio = (across * across + down * down) / diagonal
    return np.float32(np.float64(overlap) - np.float64(ratio) ** exponent)  # C's pow works in double


@kernel
def suppress_by_class(
    boxes: Float32Array,
    scores: Float32Array,
    score_bits: NDArray[np.uint32],
    iou_threshold: np.float32,
    exponent: float,
) -> tuple[Int32Array, NDArray[np.bool_]]:
    """The boxes (N, 4) cxcywh in Darknet's final order (N,), and whether box i survives as class k (N, C).

    Darknet sorts one list again for each class, and its sort keeps equals as they stand: `order` is that list. `scores`
    (N, C) are 0 where the box is none of the class; `score_bits` are their bits, which sort as positive floats do.
    """
    count, classes = scores.shape
    kept = np.zeros((count, classes), np.bool_)
    order, next_order = np.arange(count, dtype=np.int32), np.empty(count, np.int32)
    keys, members = np.empty(count, np.uint64), np.empty(count, np.int32)
    in_class = np.zeros(classes, np.int64)
    for box in range(count):
        for class_id in range(classes):
            in_class[class_id] += scores[box, class_id] > ZERO
    for class_id in range(classes):
        number = in_class[class_id]
        if not number:
            continue
        first, rest = 0, number
        for place in range(count):
            box = order[place]
            if scores[box, class_id] > ZERO:
                keys[first] = (_LOW_BITS - np.uint64(score_bits[box, class_id])) << np.uint64(32) | np.uint64(place)
                first += 1
            else:
                next_order[rest] = box
                rest += 1
        keys[:number].sort()
        for place in range(number):
            members[place] = next_order[place] = order[np.int64(keys[place] & _LOW_BITS)]
        order, next_order = next_order, order
        alive = suppress(placed_corners(boxes, members[:number]), iou_threshold, exponent)
        for place in range(number):
            kept[members[place], class_id] = alive[place] != 0
    return order, kept
