"""The loops of COCO's evaluation: greedy matching picture by picture, and precision over recall.

Arithmetic and order of operations are those of pycocotools (`maskApi.c bbIou`, `cocoeval.py evaluateImg` and
`accumulate`), so that results are the same to the last bit.
"""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.jit import kernel

ALL_CLASSES = -1  # class id of a truth that concerns detections of every class
UNMATCHED, MATCHED, UNCOUNTED = 0, 1, 2  # what `match_pictures` writes for a detection
SPACING = float(np.spacing(1))  # pycocotools adds it to a denominator that may be 0
NEARLY_ONE = 1 - 1e-10  # pycocotools' ceiling for an IoU threshold


@kernel
def overlap_xywh(
    detections: NDArray[np.float64], row: int, truths: NDArray[np.float64], column: int, is_crowd: bool
) -> float:
    """IoU of detection `row` with truth `column`, both (n, 4) left, top, width, height.

    With a crowd, the share of the detection inside it. In pycocotools' arithmetic.
    """
    left, top = detections[row, 0], detections[row, 1]
    width, height = detections[row, 2], detections[row, 3]
    truth_left, truth_top = truths[column, 0], truths[column, 1]
    truth_width, truth_height = truths[column, 2], truths[column, 3]
    shared_width = min(width + left, truth_width + truth_left) - max(left, truth_left)
    if shared_width <= 0:
        return 0.0
    shared_height = min(height + top, truth_height + truth_top) - max(top, truth_top)
    if shared_height <= 0:
        return 0.0
    shared = shared_width * shared_height
    area = width * height
    union = area if is_crowd else area + truth_width * truth_height - shared
    return float(shared / union)


@kernel
def overlaps_xywh(
    detections: NDArray[np.float64],  # (D, 4)
    truths: NDArray[np.float64],  # (T, 4)
    is_crowd: NDArray[np.bool_],  # (T,)
    overlaps: NDArray[np.float64],  # out, (D, T)
) -> None:
    """`overlap_xywh` of every detection with every truth."""
    for row in range(len(detections)):
        for column in range(len(truths)):
            overlaps[row, column] = overlap_xywh(detections, row, truths, column, is_crowd[column])


@kernel
def match_pictures(
    detection_starts: NDArray[np.int64],  # (N + 1,) detections of the n-th picture shown: by class, then falling score
    shown: NDArray[np.int64],  # (N,) which of the M pictures that is
    class_ids: NDArray[np.int64],  # (D,)
    detections_xywh: NDArray[np.float64],  # (D, 4)
    truth_starts: NDArray[np.int64],  # (M + 1,)
    truth_class_ids: NDArray[np.int64],  # (G,)
    truths_xywh: NDArray[np.float64],  # (G, 4)
    is_crowd: NDArray[np.bool_],  # (G,) many detections may share it
    uncounted_truths: NDArray[np.bool_],  # (A, G) truths that neither reward nor punish, for each view
    uncounted_detections: NDArray[np.bool_],  # (A, D) detections that do not count when they match nothing
    iou_thresholds: NDArray[np.float64],  # (T,)
    outcomes: NDArray[np.int8],  # out, (A, D, T)
    found: NDArray[np.int32],  # out, (A, D, T) row of the matched truth or -1; (0, 0, 0): not wanted
) -> None:
    """COCO's greedy matching of every picture and class, under A views of what counts, at T thresholds."""
    num_views, num_thresholds = len(uncounted_truths), len(iou_thresholds)
    limits = np.minimum(iou_thresholds, NEARLY_ONE)
    lowest = limits.min()
    widest = 0
    for picture in range(len(truth_starts) - 1):
        widest = max(widest, truth_starts[picture + 1] - truth_starts[picture])
    mine = np.empty(widest, np.int64)
    ordered = np.empty(widest, np.int64)
    near = np.empty(widest, np.int64)
    overlaps = np.empty(widest, np.float64)
    taken = np.zeros((num_thresholds, widest), np.bool_)
    for place_shown in range(len(shown)):
        picture = shown[place_shown]
        start, last = detection_starts[place_shown], detection_starts[place_shown + 1]
        while start < last:
            stop = start + 1
            while stop < last and class_ids[stop] == class_ids[start]:
                stop += 1
            count = 0
            for column in range(truth_starts[picture], truth_starts[picture + 1]):
                if truth_class_ids[column] == class_ids[start] or truth_class_ids[column] == ALL_CLASSES:
                    mine[count] = column
                    count += 1
            for view in range(num_views):
                # Truths that count first, each part in the file's order.
                place = 0
                for uncounted in (False, True):
                    for index in range(count):
                        if uncounted_truths[view, mine[index]] == uncounted:
                            ordered[place] = mine[index]
                            place += 1
                taken[:, :count] = False
                for row in range(start, stop):
                    num_near = 0
                    for index in range(count):
                        column = ordered[index]
                        value = overlap_xywh(detections_xywh, row, truths_xywh, column, is_crowd[column])
                        if value >= lowest:
                            near[num_near] = index
                            overlaps[num_near] = value
                            num_near += 1
                    for step in range(num_thresholds):
                        best_overlap, best = limits[step], -1
                        for index in range(num_near):
                            column = ordered[near[index]]
                            if taken[step, near[index]] and not is_crowd[column]:
                                continue
                            uncounted = uncounted_truths[view, column]
                            if best >= 0 and uncounted and not uncounted_truths[view, ordered[best]]:
                                break
                            if overlaps[index] < best_overlap:
                                continue
                            best_overlap, best = overlaps[index], near[index]
                        if best >= 0:
                            taken[step, best] = True
                            is_uncounted = uncounted_truths[view, ordered[best]]
                            outcomes[view, row, step] = UNCOUNTED if is_uncounted else MATCHED
                        else:
                            outcomes[view, row, step] = UNCOUNTED if uncounted_detections[view, row] else UNMATCHED
                        if len(found):
                            found[view, row, step] = ordered[best] if best >= 0 else -1
            start = stop


@kernel
def plain_rows(outcomes: NDArray[np.int8]) -> NDArray[np.int8]:
    """(D, T) -> (D,): the outcome that a detection has at every threshold, or -1 where it differs or is a match."""
    plain = np.empty(len(outcomes), np.int8)
    for row in range(len(outcomes)):
        first = outcomes[row, 0]
        plain[row] = first if first != MATCHED else -1
        for step in range(1, outcomes.shape[1]):
            if outcomes[row, step] != first:
                plain[row] = -1
    return plain


@kernel
def precision_over_recall(
    class_starts: NDArray[np.int64],  # (C + 1,) detections of each class, by falling score
    outcomes: NDArray[np.int8],  # (D, T)
    plain: NDArray[np.int8],  # (D,) of `plain_rows`
    ranks: NDArray[np.int64],  # (D,) place among the detections of its picture and class
    pictures: NDArray[np.int64],  # (D,)
    weights: NDArray[np.int64],  # (M,) how often each picture counts
    max_detections: int,
    num_truths: NDArray[np.int64],  # (C,) truths that count, weighted
    recall_thresholds: NDArray[np.float64],  # (R,) rising
    precision: NDArray[np.float64],  # out, (T, R, C); left alone for a class without truths
    recall: NDArray[np.float64],  # out, (T, C); likewise
) -> None:
    """Precision at each recall, made falling from the right, and the last recall; as pycocotools accumulates.

    A detection whose picture counts w times stands there w times in a row. Both curves change at matches alone (a
    match lifts recall and precision, anything else at most lowers precision), so only those are kept.
    """
    num_thresholds = outcomes.shape[1]
    widest = 1
    for class_id in range(len(num_truths)):
        widest = max(widest, min(num_truths[class_id], class_starts[class_id + 1] - class_starts[class_id]))
    heights = np.empty((num_thresholds, widest), np.float64)
    recalls = np.empty((num_thresholds, widest), np.float64)
    matched = np.empty(num_thresholds, np.int64)
    not_wrong = np.empty(num_thresholds, np.int64)
    steps = np.empty(num_thresholds, np.int64)
    for class_id in range(len(num_truths)):
        truths = num_truths[class_id]
        if truths == 0:
            continue
        matched[:] = 0
        not_wrong[:] = 0
        steps[:] = 0
        counted = 0
        for row in range(class_starts[class_id], class_starts[class_id + 1]):
            weight = weights[pictures[row]]
            if weight == 0 or ranks[row] >= max_detections or plain[row] == UNCOUNTED:
                continue
            counted += weight
            if plain[row] == UNMATCHED:
                continue
            for step in range(num_thresholds):
                outcome = outcomes[row, step]
                if outcome == UNMATCHED:
                    continue
                not_wrong[step] += weight
                if outcome == MATCHED:
                    matched[step] += weight
                    right = float(matched[step])
                    wrong = float(counted - not_wrong[step])
                    heights[step, steps[step]] = right / (wrong + right + SPACING)
                    recalls[step, steps[step]] = right / truths
                    steps[step] += 1
        for step in range(num_thresholds):
            last = steps[step]
            recall[step, class_id] = recalls[step, last - 1] if last else 0.0
            best = 0.0
            index = last
            for place in range(len(recall_thresholds) - 1, -1, -1):
                wanted = recall_thresholds[place]
                if last == 0 or recalls[step, last - 1] < wanted:
                    precision[step, place, class_id] = 0.0
                    continue
                while index > 0 and recalls[step, index - 1] >= wanted:
                    index -= 1
                    best = max(best, heights[step, index])
                precision[step, place, class_id] = best
