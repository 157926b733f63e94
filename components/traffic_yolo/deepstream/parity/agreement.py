"""How far two runtimes report the same boxes: one-to-one matching, and what is left over on either side.

Knows no model: it compares two `Detections` of the same pictures, whoever made them (PyTorch, the simulator, a GPU
node's dump).
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import pairwise_iou
from traffic_yolo.deepstream.simulate.second_labels import other_class_there, second_labels
from traffic_yolo.detection.nms import Detections
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError

MATCH_IOU = 0.5
NEAR_THRESHOLD = 0.05  # a score so close to the confidence threshold may fall on either side of it
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


@dataclass(frozen=True)
class Counts:
    """Boxes that both runtimes report, and those that only one does.

    `second_labels`: of the latter, those that the other side rightly reports under another class only
    (`second_labels.py`). `near_threshold`: of the rest, those whose score is within 0.05 of the confidence threshold,
    unless the other side reports the same box under another class, which no threshold explains.
    """

    matched: int
    only_left: int
    only_right: int
    second_labels: int = 0
    near_threshold: int = 0

    @property
    def boxes(self) -> int:
        """All boxes of both sides."""
        return 2 * self.matched + self.only_left + self.only_right

    @property
    def agreement(self) -> float:
        """Share of all boxes that have a partner, [0, 1]; 1 where neither side reports any."""
        return 2 * self.matched / self.boxes if self.boxes else 1.0

    @property
    def unexplained(self) -> int:
        """Boxes without a partner that are neither a second label nor near the threshold."""
        return self.only_left + self.only_right - self.second_labels - self.near_threshold

    @property
    def explained_agreement(self) -> float:
        """Share of all boxes that have a partner, or lack it for a known and harmless reason, [0, 1]."""
        return 1 - self.unexplained / self.boxes if self.boxes else 1.0


@dataclass(frozen=True, kw_only=True)
class Parity(Counts):
    """Counts over all pictures and classes, with the details of the matched boxes.

    `iou_quantiles` and `score_difference_quantiles` (right minus left): at 0, 5, 50, 95 and 100 % of the matched
    boxes; empty where there are none. `per_class`: by class_id. `score_pairs` (matched, 2) float32: left, right.
    `only_left_images` (only_left,), `only_right_images` (only_right,): image ids of the boxes without a partner.
    """

    iou_quantiles: tuple[float, ...]
    score_difference_quantiles: tuple[float, ...]
    per_class: tuple[Counts, ...]
    score_pairs: NDArray[np.float32]
    only_left_images: NDArray[np.int64]
    only_right_images: NDArray[np.int64]

    def document(self) -> dict[str, Any]:
        """The numbers for a JSON file: all but what is listed box by box."""
        return {name: value for name, value in dataclasses.asdict(self).items() if not isinstance(value, np.ndarray)}


def compare(
    left: Detections,
    right: Detections,
    *,
    num_classes: int,
    confidence_threshold: float | Sequence[float],
    raw: RawDetections | None = None,
    iou: float = MATCH_IOU,
) -> Parity:
    """Matches boxes of the same picture and class, best overlap first, each box once, IoU at least `iou`.

    `confidence_threshold`: the one that both sides were cut at, or that of each class. `raw`: the raw detections that
    `left` was made of, where `right` reports one class a box; without them, no second label is excused.

    Raises `EvaluationError` for a class_id below 0 or not below `num_classes`.
    """
    for side in (left, right):
        foreign = side.class_ids[(side.class_ids < 0) | (side.class_ids >= num_classes)]
        if len(foreign):
            raise EvaluationError(f"parity: class_id {foreign[0]} found, expected 0 to {num_classes - 1}")
    thresholds = np.broadcast_to(np.asarray(confidence_threshold, np.float32), num_classes)
    left_rows, right_rows, ious = _match(left, right, iou)
    only_left = np.setdiff1d(np.arange(len(left)), left_rows)
    only_right = np.setdiff1d(np.arange(len(right)), right_rows)
    class_ids = np.concatenate([left.class_ids[only_left], right.class_ids[only_right]])
    scores = np.concatenate([left.scores[only_left], right.scores[only_right]])
    second = np.zeros(len(scores), np.bool_)
    if raw is not None:
        of_left = second_labels(only_left, left, right, raw, thresholds, side_is_single_label=False)
        of_right = second_labels(only_right, right, left, raw, thresholds, side_is_single_label=True)
        second = np.concatenate([of_left, of_right])
    near = (np.abs(scores - thresholds[class_ids]) <= NEAR_THRESHOLD) & ~second
    if near.any():
        count, rest = len(only_left), (only_left[~second[: len(only_left)]], only_right[~second[len(only_left) :]])
        least = thresholds - np.float32(NEAR_THRESHOLD)
        near[:count] &= ~other_class_there(only_left, left, rest[1], right, raw, least)
        near[count:] &= ~other_class_there(only_right, right, rest[0], left, raw, least)
    counted = [  # five kinds of boxes: (boxes,) class ids
        left.class_ids[left_rows],
        left.class_ids[only_left],
        right.class_ids[only_right],
        class_ids[second],
        class_ids[near],
    ]
    of_class = np.stack([np.bincount(each, minlength=num_classes) for each in counted], axis=1)  # (C, 5)
    pairs = np.stack([left.scores[left_rows], right.scores[right_rows]], axis=1)  # (matched, 2)
    return Parity(
        **dataclasses.asdict(Counts(*of_class.sum(axis=0).tolist())),
        iou_quantiles=_quantiles(ious),
        score_difference_quantiles=_quantiles(pairs[:, 1] - pairs[:, 0]),
        per_class=tuple(Counts(*counts) for counts in of_class.tolist()),
        score_pairs=pairs,
        only_left_images=left.image_ids[only_left],
        only_right_images=right.image_ids[only_right],
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


def _quantiles(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES)) if len(values) else ()
