"""Which left-over boxes are the same box under a second class, as the raw detections prove it.

DeepStream-Yolo's parser gives a box one class, Darknet every class above the threshold. So a box may stand alone on one
side because the other reports it under its best class. Whether it is so, only the network's own scores tell: a label
that is shifted or swapped on the way looks the same from outside.
"""

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.boxes import pairwise_iou
from traffic_yolo.detection.nms import Detections, clipped_boxes
from traffic_yolo.detection.raw_detections import RawDetections

SAME_BOX_IOU = 0.9  # above, two boxes are one
SCORE_TOLERANCE = 0.05  # by which another resize moves a score, so that another class may be the best


def second_labels(
    rows: NDArray[np.intp],
    side: Detections,
    other: Detections,
    raw: RawDetections,
    thresholds: NDArray[np.float32],
    *,
    side_is_single_label: bool,
) -> NDArray[np.bool_]:
    """For each of `rows` of `side` (without partner): whether `other` rightly reports that box under another class.

    `raw`: what the network gave for these pictures on the side that reports every class; `thresholds` (C,): the
    confidence at which both were cut. A row is excused where one raw box at its place holds its class and the other
    side's class above their thresholds, and the class that the single-label side names is that box's best (to 0.05).
    """
    picture_of = {image_id: index for index, image_id in enumerate(raw.image_ids.tolist())}
    found = np.zeros(len(rows), np.bool_)
    for index, row in enumerate(rows):
        picture = picture_of.get(int(side.image_ids[row]))
        elsewhere = np.flatnonzero((other.image_ids == side.image_ids[row]) & (other.class_ids != side.class_ids[row]))
        box = side.boxes_xyxy[row][None]
        twins = elsewhere[pairwise_iou(box, other.boxes_xyxy[elsewhere])[0] >= SAME_BOX_IOU]
        if picture is None or not len(twins):
            continue
        mine, theirs = int(side.class_ids[row]), np.unique(other.class_ids[twins])
        scores = _scores_at(box, raw, picture)  # (n, C)
        above = scores > thresholds
        best = scores.max(axis=1, initial=0) - SCORE_TOLERANCE
        for their in theirs:
            named = mine if side_is_single_label else their
            found[index] |= (above[:, mine] & above[:, their] & (scores[:, named] >= best)).any()
    return found


def other_class_there(
    rows: NDArray[np.intp],
    side: Detections,
    other_rows: NDArray[np.intp],
    other: Detections,
    raw: RawDetections | None,
    least: NDArray[np.float32],
) -> NDArray[np.bool_]:
    """For each of `rows` of `side` (without partner): whether `other` says that the box is of another class.

    `other_rows`: the boxes of `other` without partner or excuse. Where `raw` holds a box at that place whose scores of
    both classes are at least `least` (C,), the network was undecided, and nobody is wrong.
    """
    picture_of = {} if raw is None else {image_id: index for index, image_id in enumerate(raw.image_ids.tolist())}
    found = np.zeros(len(rows), np.bool_)
    for index, row in enumerate(rows):
        same = other.image_ids[other_rows] == side.image_ids[row]
        elsewhere = other_rows[same & (other.class_ids[other_rows] != side.class_ids[row])]
        box = side.boxes_xyxy[row][None]
        twins = elsewhere[pairwise_iou(box, other.boxes_xyxy[elsewhere])[0] >= SAME_BOX_IOU]
        if not len(twins):
            continue
        found[index] = True
        picture = picture_of.get(int(side.image_ids[row]))
        if raw is not None and picture is not None:
            scores = _scores_at(box, raw, picture)  # (n, C)
            theirs = np.unique(other.class_ids[twins])
            both = scores[:, [int(side.class_ids[row]), *theirs]] >= least[[int(side.class_ids[row]), *theirs]]
            found[index] = not both.all(axis=1).any()
    return found


def _scores_at(box: NDArray[np.float32], raw: RawDetections, picture: int) -> NDArray[np.float32]:
    """Scores (n, C) of the raw boxes of a picture that are the box (1, 4) once they are cut at the picture's edges."""
    boxes = raw.boxes_of(picture)
    cut = clipped_boxes(raw.boxes_xyxy[boxes], np.broadcast_to(raw.image_hw[picture], (boxes.stop - boxes.start, 2)))
    scores = raw.class_scores_of(boxes)
    return np.compress(pairwise_iou(box, cut)[0] >= SAME_BOX_IOU, scores, axis=0)
