"""The loops of Darknet's non-maximum suppression, in float32 as in box.c, on one picture."""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.jit import kernel

Float32Array = NDArray[np.float32]
Int32Array = NDArray[np.int32]

NO_PENALTY = np.inf
MARGIN = np.float32(1.001)  # for the roundings on the way to a box's neighbours; only the exact test decides
FAR = np.float32(1e30)
# A corner is off by at most 1.2e-7 of the farthest coordinate, so by 1.2e-4 of a length of LEAST_SHARE; at a threshold
# of LEAST_THRESHOLD that moves what two boxes must share by 3e-3 of the length, a third of SLACK.
LEAST_SHARE, LEAST_THRESHOLD, SLACK = np.float32(1e-3), np.float32(0.1), np.float32(0.01)
MOST_STRIPS, BOXES_IN_STRIP = 32, 64
ZERO, HALF, TWO = np.float32(0), np.float32(0.5), np.float32(2)
_LOW_BITS = np.uint64(0xFFFFFFFF)
# Of a key of `_in_strips`: 6 bits for the strip, 32 for the centre, 26 for the index
_ABOVE_CENTRE, _ABOVE_INDEX, _INDEX_BITS = np.uint64(58), np.uint64(26), np.uint64((1 << 26) - 1)
_SIGN_BIT, _ALL_BITS = np.uint32(0x80000000), np.uint32(0xFFFFFFFF)


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

    A box is compared with its neighbours alone (`_reach`): the boxes stand by strips of their centres along y, in a
    strip along x.
    """
    count = placed.shape[1]
    num_strips = max(1, min(MOST_STRIPS, count // BOXES_IN_STRIP))
    rank, starts, lowest, strip_height = _in_strips(placed, num_strips)
    x = placed[:, rank]
    left, top, right, bottom, area, centre = x[0], x[1], x[2], x[3], x[4], x[5]
    place_of = np.empty(count, np.int32)
    widest, tallest, farthest = ZERO, ZERO, ZERO
    for place in range(count):
        place_of[rank[place]] = place
        widest = max(widest, right[place] - left[place])
        tallest = max(tallest, bottom[place] - top[place])
        farthest = max(farthest, max(abs(left[place]), abs(right[place])))
        farthest = max(farthest, max(abs(top[place]), abs(bottom[place])))
    alive, removed = np.ones(count, np.uint8), np.zeros(count, np.uint8)
    for box in range(count):
        here = place_of[box]
        if not alive[here]:
            continue
        width, height = right[here] - left[here], bottom[here] - top[here]
        is_tiny = min(width, height) < farthest * LEAST_SHARE  # roundings may count: any box is looked at
        reach = FAR if is_tiny else _reach(width, widest, iou_threshold)
        reach_y = FAR if is_tiny else _reach(height, tallest, iou_threshold)
        is_near = reach < FAR and reach_y < FAR
        first_strip, last_strip = 0, num_strips - 1
        if is_near and num_strips > 1:
            first_strip = _strip_of(x[6, here] - reach_y, lowest, strip_height, num_strips)
            last_strip = _strip_of(x[6, here] + reach_y, lowest, strip_height, num_strips)
        left2, top2, right2, bottom2, area2 = left[here], top[here], right[here], bottom[here], area[here]
        for strip in range(first_strip, last_strip + 1):
            first, end = starts[strip], starts[strip + 1]
            if is_near:
                stretch = centre[first:end]
                end = first + np.searchsorted(stretch, centre[here] + reach, side="right")
                first += np.searchsorted(stretch, centre[here] - reach)
            if exponent == NO_PENALTY:
                for other in range(first, end):  # no branch inside: the compiler uses vectors
                    shared = max(min(right[other], right2) - max(left[other], left2), ZERO)
                    shared *= max(min(bottom[other], bottom2) - max(top[other], top2), ZERO)
                    union = area[other] + area2 - shared
                    overlap = shared / union if (shared > ZERO) & (union > ZERO) else ZERO
                    alive[other] ^= alive[other] & (overlap > iou_threshold) & (rank[other] > box)
                continue
            for other in range(first, end):
                shared = max(min(right[other], right2) - max(left[other], left2), ZERO)
                shared *= max(min(bottom[other], bottom2) - max(top[other], top2), ZERO)
                union = area[other] + area2 - shared
                overlap = shared / union if (shared > ZERO) & (union > ZERO) else ZERO
                removed[other] = alive[other] & (overlap > iou_threshold) & (rank[other] > box)
            for other in range(first, end):  # the penalty only lowers the overlap: the others stay whatever it is
                if removed[other]:
                    alive[other] = not _overlap(x, other, here, exponent) > iou_threshold
    return alive[place_of]


@kernel
def _in_strips(placed: Float32Array, num_strips: int) -> tuple[Int32Array, NDArray[np.int64], np.float32, np.float32]:
    """The boxes' indices by strip and then by centre x, where each strip begins, the first strip's edge, the height."""
    count = placed.shape[1]
    lowest = np.float32(0) if num_strips == 1 else placed[6].min()
    strip_height = np.float32(0) if num_strips == 1 else (placed[6].max() - lowest) / np.float32(num_strips)
    starts = np.zeros(num_strips + 1, np.int64)
    centres = placed[5]
    bits = centres.view(np.uint32)
    # A sort of whole numbers as `suppress_by_class` has one: an argsort of floats took most of the time to compile
    keys = np.empty(count, np.uint64)  # strip, centre x, index
    for box in range(count):
        strip = _strip_of(placed[6, box], lowest, strip_height, num_strips)
        starts[strip + 1] += 1
        # A float's bits sort as it does once those of negative ones are turned round; NaN comes last
        centre = bits[box] ^ (_ALL_BITS if bits[box] & _SIGN_BIT else _SIGN_BIT)
        if np.isnan(centres[box]):
            centre = _ALL_BITS
        keys[box] = np.uint64(strip) << _ABOVE_CENTRE | np.uint64(centre) << _ABOVE_INDEX | np.uint64(box)
    keys.sort()
    for strip in range(num_strips):
        starts[strip + 1] += starts[strip]
    indices = np.empty(count, np.int32)
    for place in range(count):
        indices[place] = np.int32(keys[place] & _INDEX_BITS)
    return indices, starts, lowest, strip_height


@kernel
def _strip_of(y: np.float32, lowest: np.float32, strip_height: np.float32, num_strips: int) -> int:
    if not strip_height > ZERO:
        return 0
    return int(min(max((y - lowest) / strip_height, ZERO), np.float32(num_strips - 1)))


@kernel
def _reach(length: np.float32, longest: np.float32, iou_threshold: np.float32) -> np.float32:
    """How far along one axis the centre of a box may lie that one of this length can remove.

    An IoU above t wants lengths l and m of which the boxes share more than t * max(l, m), so m lies between t * l and
    l / t, and the centres within (l + m) / 2 - t * max(l, m): most for m = l / t where t is below a half, else for
    m = l. At a small threshold the boxes need only touch.
    """
    if iou_threshold < ZERO:
        return np.float32(np.inf)
    if iou_threshold < LEAST_THRESHOLD:
        return (length + longest) / TWO * MARGIN
    most = min(longest, length if iou_threshold >= HALF else length / iou_threshold)
    return max((length + most) / TWO - iou_threshold * max(length, most), ZERO) + SLACK * length


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
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Box and class of each survivor, in Darknet's order: that of its list of boxes, and for one box by class.

    Darknet sorts its list again for each class, and its sort keeps equals as they stand: `order` is that list. `scores`
    (C, N) are 0 where the box is none of the class; `score_bits` are their bits, which sort as positive floats do.
    """
    classes, count = scores.shape
    total = 0
    for class_id in range(classes):
        for box in range(count):
            total += scores[class_id, box] > ZERO
    kept_boxes, kept_classes, kept = np.empty(total, np.int64), np.empty(total, np.int64), 0
    order, next_order = np.arange(count, dtype=np.int32), np.empty(count, np.int32)
    keys, members = np.empty(count, np.uint64), np.empty(count, np.int32)
    for class_id in range(classes):
        of_class, bits = scores[class_id], score_bits[class_id]
        number = 0
        for box in range(count):
            number += of_class[box] > ZERO
        if not number:
            continue
        first, rest = 0, number
        for place in range(count):
            box = order[place]
            if of_class[box] > ZERO:
                keys[first] = (_LOW_BITS - np.uint64(bits[box])) << np.uint64(32) | np.uint64(place)
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
            if alive[place]:
                kept_boxes[kept], kept_classes[kept] = members[place], class_id
                kept += 1
    place_of = np.empty(count, np.int64)
    for place in range(count):
        place_of[order[place]] = place
    begins = np.zeros(count + 1, np.int64)  # of each place's survivors, which stand by class already
    for survivor in range(kept):
        begins[place_of[kept_boxes[survivor]] + 1] += 1
    for place in range(count):
        begins[place + 1] += begins[place]
    in_order, classes_in_order = np.empty(kept, np.int64), np.empty(kept, np.int64)
    for survivor in range(kept):
        place = place_of[kept_boxes[survivor]]
        in_order[begins[place]], classes_in_order[begins[place]] = kept_boxes[survivor], kept_classes[survivor]
        begins[place] += 1
    return in_order, classes_in_order
