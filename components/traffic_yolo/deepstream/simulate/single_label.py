"""Raw detections as a parser that gives a box one class would report them."""

import dataclasses

import numpy as np

from traffic_yolo.detection.raw_detections import RawDetections


def best_class_only(raw: RawDetections) -> RawDetections:
    """The same boxes, each with the score of its best class alone (the first of equals)."""
    boxes = np.repeat(np.arange(len(raw.boxes_xyxy)), np.diff(raw.score_offsets))
    order = np.lexsort((-raw.scores, boxes))  # within a box, class ids rise already
    best = order[np.flatnonzero(np.diff(boxes[order], prepend=-1))]
    return dataclasses.replace(
        raw,
        score_offsets=np.searchsorted(boxes[best], np.arange(len(raw.boxes_xyxy) + 1)).astype(np.int64),
        score_class_ids=raw.score_class_ids[best],
        scores=raw.scores[best],
    )
