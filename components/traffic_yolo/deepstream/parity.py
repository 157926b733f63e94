"""How far two runtimes report the same boxes: one-to-one matching, and what is left over on either side.

Knows no model: it compares two `Detections` of the same pictures, whoever made them (PyTorch, the simulator, a GPU
node's dump).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import pairwise_iou
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import EvaluationError

MATCH_IOU = 0.5
SAME_BOX_IOU = 0.9  # above, a left-over box is the same box under a second class
NEAR_THRESHOLD = 0.05  # a score so close to the confidence threshold may fall on either side of it
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True)
class Counts:
    """Boxes that both runtimes report, and those that only one does."""

    matched: int
    only_left: int
    only_right: int

    @property
    def agreement(self) -> float:
        """Share of all boxes that have a partner, [0, 1]; 1 where neither side reports any."""
        total = 2 * self.matched + self.only_left + self.only_right
        return 2 * self.matched / total if total else 1.0


@dataclass(frozen=True)
class Parity(Counts):
    """Counts over all pictures and classes, with the details of both groups.

    `iou_quantiles` and `score_difference_quantiles` (right minus left): at 0, 5, 50, 95 and 100 % of the matched
    boxes; empty where there are none. `second_labels`: boxes of one side that its partner reports at the same place
    under another class only. `near_threshold`: of the others that one side alone reports, those whose score is within
    0.05 of the confidence threshold. `per_class`: by class_id. `score_pairs` (matched, 2) float32: left, right.
    """

    iou_quantiles: tuple[float, ...]
    score_difference_quantiles: tuple[float, ...]
    second_labels: int
    near_threshold: int
    per_class: tuple[Counts, ...]
    score_pairs: NDArray[np.float32]

    @property
    def unexplained(self) -> int:
        """Boxes without a partner that are neither a second label nor near the threshold."""
        return self.only_left + self.only_right - self.second_labels - self.near_threshold

    @property
    def explained_agreement(self) -> float:
        """Share of all boxes that have a partner, or lack it for a known and harmless reason, [0, 1]."""
        total = 2 * self.matched + self.only_left + self.only_right
        return 1 - self.unexplained / total if total else 1.0


def compare(
    left: Detections,
    right: Detections,
    *,
    num_classes: int,
    confidence_threshold: float | Sequence[float],
    iou: float = MATCH_IOU,
) -> Parity:
    """Matches boxes of the same picture and class, best overlap first, each box once, IoU at least `iou`.

    `confidence_threshold`: the one that both sides were cut at, or that of each class.

    Raises `EvaluationError` for a class_id below 0 or not below `num_classes`.
    """
    for side in (left, right):
        foreign = side.class_ids[(side.class_ids < 0) | (side.class_ids >= num_classes)]
        if len(foreign):
            raise EvaluationError(f"parity: class_id {foreign[0]} found, expected 0 to {num_classes - 1}")
    left_rows, right_rows, ious = _match(left, right, iou)
    only_left = np.setdiff1d(np.arange(len(left)), left_rows)
    only_right = np.setdiff1d(np.arange(len(right)), right_rows)
    second = np.concatenate([_is_second_label(left, only_left, right), _is_second_label(right, only_right, left)])
    scores = np.concatenate([left.scores[only_left], right.scores[only_right]])
    thresholds = np.broadcast_to(np.asarray(confidence_threshold, np.float32), num_classes)
    class_ids = np.concatenate([left.class_ids[only_left], right.class_ids[only_right]])
    near = np.abs(scores - thresholds[class_ids]) <= NEAR_THRESHOLD
    matched, lefts, rights = (
        np.bincount(classes, minlength=num_classes).tolist()
        for classes in (left.class_ids[left_rows], left.class_ids[only_left], right.class_ids[only_right])
    )
    pairs = np.stack([left.scores[left_rows], right.scores[right_rows]], axis=1)  # (matched, 2)
    return Parity(
        matched=len(ious),
        only_left=len(only_left),
        only_right=len(only_right),
        iou_quantiles=_quantiles(ious),
        score_difference_quantiles=_quantiles(pairs[:, 1] - pairs[:, 0]),
        second_labels=int(second.sum()),
        near_threshold=int((near & ~second).sum()),
        per_class=tuple(Counts(*counts) for counts in zip(matched, lefts, rights, strict=True)),
        score_pairs=pairs,
    )


def _match(
    left: Detections, right: Detections, iou: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Rows of the left and of the right side that belong together, and their IoUs."""
    pairs: list[tuple[int, int, float]] = []
    for left_rows, right_rows in _groups(left, right):
        overlaps = pairwise_iou(left.boxes_xyxy[left_rows], right.boxes_xyxy[right_rows])
        rows, columns = np.nonzero(overlaps >= iou)
        free_left, free_right = np.ones(len(left_rows), np.bool_), np.ones(len(right_rows), np.bool_)
        for index in np.argsort(-overlaps[rows, columns], kind="stable"):
            row, column = rows[index], columns[index]
            if free_left[row] and free_right[column]:
                free_left[row] = free_right[column] = False
                pairs.append((left_rows[row], right_rows[column], overlaps[row, column]))
    return (
        np.array([pair[0] for pair in pairs], np.intp),
        np.array([pair[1] for pair in pairs], np.intp),
        np.array([pair[2] for pair in pairs], np.float32),
    )


def _groups(left: Detections, right: Detections) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows of both sides for every (picture, class) that both have."""
    keys = np.concatenate(
        [np.stack([side.image_ids, side.class_ids], axis=1) for side in (left, right)]
    )  # (left + right, 2)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    rows_of_left = _rows_by_group(group[: len(left)])
    rows_of_right = _rows_by_group(group[len(left) :])
    for key, rows in rows_of_left.items():
        if key in rows_of_right:
            yield rows, rows_of_right[key]


def _rows_by_group(group: NDArray[np.intp]) -> dict[int, NDArray[np.intp]]:
    if not len(group):
        return {}
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    return {int(group[rows[0]]): rows for rows in np.split(order, starts[1:])}


def _is_second_label(side: Detections, rows: NDArray[np.intp], other: Detections) -> NDArray[np.bool_]:
    """For each of `rows`: whether `other` reports a box at the same place, under another class."""
    found = np.zeros(len(rows), np.bool_)
    for index, row in enumerate(rows):
        elsewhere = (other.image_ids == side.image_ids[row]) & (other.class_ids != side.class_ids[row])
        overlaps = pairwise_iou(side.boxes_xyxy[row][None], other.boxes_xyxy[elsewhere])
        found[index] = (overlaps >= SAME_BOX_IOU).any()
    return found


def _quantiles(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES)) if len(values) else ()
