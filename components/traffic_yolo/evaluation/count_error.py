"""How well a detector counts: reported boxes less true boxes in each picture, by class and by site.

A count that is right on the average may be wrong in every picture, and one may be right where every box is wrong; so
this stands beside AP, not in its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.matching import IGNORED, match

ALL = "all"


@dataclass(frozen=True)
class CountError:
    """Counting errors over some pictures; the means are None where there are no pictures.

    `mean`: reported less true, per picture (above 0: counts too many). `mean_absolute`: the same without sign.
    `exact`: share of the pictures whose count is right, [0, 1]. `true_per_picture`: how many there are to count.
    """

    name: str
    pictures: int
    true_per_picture: float | None
    mean: float | None
    mean_absolute: float | None
    exact: float | None


@dataclass(frozen=True)
class CountErrors:
    """`overall`: vehicles of all classes together; `per_class`; `per_site`: all classes, for each site by name."""

    overall: CountError
    per_class: tuple[CountError, ...]
    per_site: tuple[CountError, ...]


def count_errors(detections: Detections, truth: GroundTruth, sites: Sequence[str]) -> CountErrors:
    """Counts in `detections`, those reported at the thresholds in use; `sites`: of each of the truth's pictures, or "".

    Detections inside crowds and ignore regions are not counted, nor are these regions. "All classes" counts every
    reported box, so that a box of the wrong class is right there and wrong in two classes.
    """
    difference, true = picture_counts(detections, truth)
    per_class = tuple(_error(name, difference[:, index], true[:, index]) for index, name in enumerate(truth.classes))
    total, total_true = difference.sum(axis=1), true.sum(axis=1)
    names = np.array(sites, dtype=object)
    per_site = tuple(
        _error(site, total[names == site], total_true[names == site]) for site in sorted(set(sites) - {""})
    )
    return CountErrors(_error(ALL, total, total_true), per_class, per_site)


def picture_counts(detections: Detections, truth: GroundTruth) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(reported less true, true), for each picture and class: (M, C) int64 both."""
    matching = match(detections, truth)
    counted = matching.order[matching.outcomes != IGNORED]
    shape = (len(truth.image_ids), len(truth.classes))
    reported, true = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    places = truth.picture_indices(detections.image_ids[counted])
    np.add.at(reported, (places, detections.class_ids[counted]), 1)
    counts = ~truth.ignore
    np.add.at(true, (truth.truth_pictures[counts], truth.class_ids[counts]), 1)
    return reported - true, true


def _error(name: str, difference: NDArray[np.int64], true: NDArray[np.int64]) -> CountError:
    if not len(difference):
        return CountError(name, 0, None, None, None, None)
    return CountError(
        name=name,
        pictures=len(difference),
        true_per_picture=float(true.mean()),
        mean=float(difference.mean()),
        mean_absolute=float(np.abs(difference).mean()),
        exact=float((difference == 0).mean()),
    )
