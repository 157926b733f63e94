"""Truth and detections of some of the classes, numbered anew: what two models that know different classes share."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth


def of_classes(truth: GroundTruth, classes: Sequence[str]) -> GroundTruth:
    """The truth of these classes alone, in this order; ignore regions of all classes stay."""
    place = _places(truth.classes, classes)
    kept = (truth.class_ids == ALL_CLASSES) | (place[truth.class_ids] >= 0)
    class_ids = np.where(truth.class_ids == ALL_CLASSES, ALL_CLASSES, place[truth.class_ids])
    return GroundTruth(
        classes=tuple(classes),
        image_ids=truth.image_ids,
        truth_pictures=truth.truth_pictures[kept],
        boxes_xywh=truth.boxes_xywh[kept],
        class_ids=class_ids[kept],
        areas=truth.areas[kept],
        ignore=truth.ignore[kept],
    )


def detections_of_classes(found: Detections, known: Sequence[str], classes: Sequence[str]) -> Detections:
    """The detections of these classes alone, with the class ids that `of_classes` gives.

    `known`: the classes by which `found` is numbered.
    """
    place = _places(known, classes)
    chosen = found.select(place[found.class_ids] >= 0)
    return dataclasses.replace(chosen, class_ids=place[chosen.class_ids])


def _places(known: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """Place among `classes` of each of the `known` ones, -1 for another one."""
    return np.array([classes.index(name) if name in classes else -1 for name in known], np.int64)
