"""The loops of the threshold sweep: overlaps once, then NMS and matching for every variant, then every confidence.

A variant is an IoU threshold and a limit of detections. A candidate below the confidence threshold never changes the
fate of one above it, so what is computed at the lowest confidence serves every other by cutting off the tail.
"""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms_kernels import ZERO, box_overlap, candidates_of
from traffic_yolo.jit import kernel
from traffic_yolo.metrics.coco_kernels import ALL_CLASSES, NEARLY_ONE, SPACING, overlap_xywh

# A candidate's fate under one variant, in one number: these flags, and two bits for each of up to 14 IoU thresholds of
# matching: bit t, it found a true box; bit 14 + t, it found an ignored one.
MOST_STEPS = 14
REPORTED = np.uint32(1 << 28)
BEYOND_LIMIT = np.uint32(1 << 29)  # not among the first `coco_limit` of its class and picture
ONE = np.uint32(1)


@kernel
def sweep_pictures(
    first: int,
    last: int,
    raw: tuple[
        NDArray[np.int64],  # offsets (M + 1,)
        NDArray[np.float32],  # boxes (N, 4) xyxy
        NDArray[np.int32],  # image_hw (M, 2)
        NDArray[np.int64],  # score_offsets (N + 1,)
        NDArray[np.int16],  # score_class_ids (S,)
        NDArray[np.float32],  # scores (S,)
        NDArray[np.uint32],  # score_bits (S,)
    ],
    truth: tuple[
        NDArray[np.int64],  # truth_starts (M,) first true box of raw picture m
        NDArray[np.int64],  # truth_stops (M,)
        NDArray[np.int64],  # truth_class_ids (G,)
        NDArray[np.float64],  # truths_xywh (G, 4)
        NDArray[np.bool_],  # ignore (G,)
    ],
    num_classes: int,
    threshold: np.float32,
    exponent: float,
    iou_thresholds: NDArray[np.float32],  # (V,) of each variant
    limits: NDArray[np.int64],  # (V,) of each variant
    steps: NDArray[np.float64],  # (T,) rising IoU thresholds of matching
    coco_limit: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint32]]:
    """What becomes of every candidate above `threshold` in the pictures `first` to `last` that any variant reports.

    Returns, by picture and falling score, rows of scores (n,), pictures (n,) and fates (n, V).
    """
    offsets, boxes, image_hw, score_offsets, score_class_ids, scores, score_bits = raw
    truth_starts, truth_stops, truth_class_ids, truths_xywh, ignore = truth
    num_variants, num_steps = len(iou_thresholds), len(steps)
    lowest_iou = iou_thresholds.min()
    lowest_step = min(steps[0], NEARLY_ONE)
    total = score_offsets[offsets[last]] - score_offsets[offsets[first]]
    out_rows, out_pictures = np.empty(total, np.int64), np.empty(total, np.int64)
    out_fates = np.empty((total, num_variants), np.uint32)
    end = 0
    widest, most_truths = 0, 0
    for picture in range(first, last):
        widest = max(widest, score_offsets[offsets[picture + 1]] - score_offsets[offsets[picture]])
        most_truths = max(most_truths, truth_stops[picture] - truth_starts[picture])
    keys = np.empty(widest, np.uint64)
    score_rows, box_rows = np.empty(widest, np.int64), np.empty(widest, np.int64)
    previous, newest = np.empty(widest, np.int64), np.full(num_classes, -1)
    members, in_class = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
    xywh = np.empty((1, 4), np.float64)
    near_starts = np.empty(widest + 1, np.int64)
    near, near_overlaps = np.empty(64, np.int64), np.empty(64, np.float64)
    edge_starts = np.empty(widest + 1, np.int64)
    edges, edge_overlaps = np.empty(64, np.int64), np.empty(64, np.float32)
    kept = np.empty(widest, np.bool_)
    taken = np.empty((num_steps, most_truths), np.bool_)
    fates = np.empty((widest, num_variants), np.uint32)
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
        if count == 0:
            continue
        # Candidates that may suppress each other, with their overlap: stronger ones of the same class.
        members[:] = 0
        num_edges = 0
        for place in range(count):
            class_id = score_class_ids[score_rows[place]]
            num_edges += members[class_id]
            members[class_id] += 1
        if num_edges > len(edges):
            edges, edge_overlaps = np.empty(num_edges, np.int64), np.empty(num_edges, np.float32)
        num_edges = 0
        newest[:] = -1
        for place in range(count):
            class_id = score_class_ids[score_rows[place]]
            edge_starts[place] = num_edges
            other = newest[class_id]
            while other >= 0:
                overlap = box_overlap(boxes, box_rows[other], box_rows[place], exponent)
                if overlap > lowest_iou:
                    edges[num_edges], edge_overlaps[num_edges] = other, overlap
                    num_edges += 1
                other = previous[other]
            previous[place] = newest[class_id]
            newest[class_id] = place
        edge_starts[count] = num_edges
        # True boxes that a candidate may find, those that count first.
        height, width = np.float32(image_hw[picture, 0]), np.float32(image_hw[picture, 1])
        start, stop = truth_starts[picture], truth_stops[picture]
        num_near = 0
        for place in range(count):
            near_starts[place] = num_near
            if num_near + stop - start > len(near):
                grown = 2 * len(near) + stop - start
                near, old = np.empty(grown, np.int64), near
                near[:num_near] = old[:num_near]
                near_overlaps, old_overlaps = np.empty(grown, np.float64), near_overlaps
                near_overlaps[:num_near] = old_overlaps[:num_near]
            box, class_id = box_rows[place], score_class_ids[score_rows[place]]
            left, top = float(min(max(boxes[box, 0], ZERO), width)), float(min(max(boxes[box, 1], ZERO), height))
            xywh[0, 0], xywh[0, 1] = left, top
            xywh[0, 2] = float(min(max(boxes[box, 2], ZERO), width)) - left
            xywh[0, 3] = float(min(max(boxes[box, 3], ZERO), height)) - top
            for is_ignored in (False, True):
                for row in range(start, stop):
                    is_ours = truth_class_ids[row] == class_id or truth_class_ids[row] == ALL_CLASSES
                    if ignore[row] == is_ignored and is_ours:
                        overlap_with = overlap_xywh(xywh, 0, truths_xywh, row, is_ignored)
                        if overlap_with >= lowest_step:
                            near[num_near], near_overlaps[num_near] = row, overlap_with
                            num_near += 1
        near_starts[count] = num_near
        fates[:count] = np.uint32(0)
        for variant in range(num_variants):
            reported = 0
            in_class[:] = 0
            taken[:] = False
            for place in range(count):
                kept[place] = False
                if reported == limits[variant]:
                    continue
                is_suppressed = False
                for edge in range(edge_starts[place], edge_starts[place + 1]):
                    if edge_overlaps[edge] > iou_thresholds[variant] and kept[edges[edge]]:
                        is_suppressed = True
                        break
                if is_suppressed:
                    continue
                kept[place] = True
                reported += 1
                fate = REPORTED
                class_id = score_class_ids[score_rows[place]]
                if in_class[class_id] >= coco_limit:
                    fate |= BEYOND_LIMIT
                in_class[class_id] += 1
                from_near, to_near = near_starts[place], near_starts[place + 1]
                if from_near < to_near:
                    for step in range(num_steps):
                        best_overlap, best = min(steps[step], NEARLY_ONE), -1
                        for index in range(from_near, to_near):
                            row = near[index]
                            if ignore[row]:
                                if best >= 0 and not ignore[best]:
                                    break
                            elif taken[step, row - start]:
                                continue
                            if near_overlaps[index] < best_overlap:
                                continue
                            best_overlap, best = near_overlaps[index], row
                        if best >= 0:
                            if ignore[best]:
                                fate |= ONE << np.uint32(MOST_STEPS + step)
                            else:
                                taken[step, best - start] = True
                                fate |= ONE << np.uint32(step)
                fates[place, variant] = fate
        for place in range(count):
            if fates[place].any():
                out_rows[end], out_pictures[end] = score_rows[place], picture
                out_fates[end] = fates[place]
                end += 1
    return out_rows[:end].copy(), out_pictures[:end].copy(), out_fates[:end].copy()


@kernel
def scatter_fates(
    part: NDArray[np.uint32],  # (m, V)
    places: NDArray[np.int64],  # (m,)
    fates: NDArray[np.uint32],  # out, (V, n)
) -> None:
    """Puts the fates of m records at their places among all n."""
    for variant in range(part.shape[1]):
        for row in range(len(part)):
            fates[variant, places[row]] = part[row, variant]


@kernel
def count_variants(
    first: int,
    last: int,
    class_starts: NDArray[np.int64],  # (C + 1,) records of each class, by falling score
    bins: NDArray[np.int64],  # (n,) how many of the P confidences a record's score is above
    fates: NDArray[np.uint32],  # (V, n)
    num_truths: NDArray[np.int64],  # (C,)
    num_steps: int,
    recall_thresholds: NDArray[np.float64],  # (R,)
    right: NDArray[np.int64],  # out, (V, P, C) true positives at the first IoU threshold of matching
    wrong: NDArray[np.int64],  # out, (V, P, C)
    average_precision: NDArray[np.float64],  # out, (V, P, C, T) of a class with truths
) -> None:
    """Counts and average precision of the variants `first` to `last` at every confidence.

    The precision/recall curve at a confidence is that of all detections, cut off where scores fall below it; made
    falling from the right, each part of it is a maximum over the matches that are left.
    """
    num_confidences = right.shape[1]
    widest = 1
    for class_id in range(len(num_truths)):
        widest = max(widest, min(num_truths[class_id], class_starts[class_id + 1] - class_starts[class_id]))
    heights = np.empty((num_steps, widest), np.float64)
    match_bins = np.empty((num_steps, widest), np.int64)
    matched, not_wrong = np.empty(num_steps, np.int64), np.empty(num_steps, np.int64)
    needed = np.empty(len(recall_thresholds), np.int64)
    for class_id in range(len(num_truths)):
        truths = num_truths[class_id]
        # How many matches it takes to reach each recall; beyond all truths, none suffice.
        matches = 1
        for place in range(len(recall_thresholds)):
            while matches <= truths and matches / truths < recall_thresholds[place]:
                matches += 1
            needed[place] = matches
        for variant in range(first, last):
            matched[:] = 0
            not_wrong[:] = 0
            counted = 0
            for row in range(class_starts[class_id], class_starts[class_id + 1]):
                fate = fates[variant, row]
                if fate == 0:
                    continue
                level = bins[row] - 1  # the highest confidence that the score is above
                if fate & ONE:
                    right[variant, level, class_id] += 1
                elif not fate & (ONE << np.uint32(MOST_STEPS)):
                    wrong[variant, level, class_id] += 1
                if truths == 0 or fate & BEYOND_LIMIT:
                    continue
                counted += 1
                if fate == REPORTED:
                    continue
                for step in range(num_steps):
                    if fate & (ONE << np.uint32(step)):
                        heights[step, matched[step]] = (matched[step] + 1.0) / (
                            (counted - 1 - not_wrong[step] - matched[step]) + (matched[step] + 1.0) + SPACING
                        )
                        match_bins[step, matched[step]] = bins[row]
                        matched[step] += 1
                    elif fate & (ONE << np.uint32(MOST_STEPS + step)):
                        not_wrong[step] += 1
            for level in range(num_confidences - 2, -1, -1):
                right[variant, level, class_id] += right[variant, level + 1, class_id]
                wrong[variant, level, class_id] += wrong[variant, level + 1, class_id]
            if truths == 0:
                continue
            for step in range(num_steps):
                left = matched[step]
                for level in range(num_confidences):
                    before = left
                    while left > 0 and match_bins[step, left - 1] <= level:
                        left -= 1
                    if level > 0 and left == before:
                        average_precision[variant, level, class_id, step] = average_precision[
                            variant, level - 1, class_id, step
                        ]
                        continue
                    total, best, index = 0.0, 0.0, left
                    for place in range(len(recall_thresholds) - 1, -1, -1):
                        while index > 0 and index >= needed[place]:
                            index -= 1
                            best = max(best, heights[step, index])
                        total += best
                    average_precision[variant, level, class_id, step] = total / len(recall_thresholds)
