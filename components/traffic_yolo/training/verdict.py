"""Whether a training made its model better: the start and the result on the same pictures, with an interval."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.bootstrap import Groups, coarsest_groups, resample_weights
from traffic_yolo.metrics.ground_truth import ALL_CLASSES, GroundTruth
from traffic_yolo.metrics.label_attributes import LabelAttributes
from traffic_yolo.metrics.paired import BETTER, WORSE, Difference, differences_of, sampled

IMPROVED, WORSENED, UNPROVED = "better", "worse", "no difference shown"
NOTHING_LEARNT, NO_BASELINE = "nothing was learnt", "no baseline"
NUMBER_OF = {"map": "ap", "map50": "ap50", "f1": "f1"}  # an option's word -> the name in a comparison


@dataclass(frozen=True)
class Verdict:
    """What one split says of start and result. `difference` is None where `word` is one that needs none.

    `classes`: those judged, which the start weights knew already. `pictures` of `split` in `groups` that were resampled
    together; `note`: what a reader must know of the interval.
    """

    split: str
    word: str
    classes: tuple[str, ...] = ()
    difference: Difference | None = None
    pictures: int = 0
    groups: str = ""
    note: str = ""

    @property
    def text(self) -> str:
        """One line."""
        if self.difference is None:
            return f"{self.split}: {self.word}{f' ({self.note})' if self.note else ''}"
        lines = f"{self.split}: {self.word}: {self.difference.text}; {self.pictures} pictures, paired over {self.groups}"
        return f"{lines}. {self.note}".rstrip()

    def document(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**dataclasses.asdict(self), "classes": list(self.classes)}


def no_baseline(split: str, reason: str) -> Verdict:
    """Of a training that started from nothing that could be measured."""
    return Verdict(split, NO_BASELINE, note=reason)


def judge(
    start: Detections,
    result: Detections,
    truth: GroundTruth,
    labels: LabelAttributes,
    *,
    split: str,
    metric: str,
    classes: Sequence[str],
    confidence_threshold: float,
) -> Verdict:
    """The verdict on one split; both sets of detections went through NMS down to the floor.

    `metric`: map, map50 or f1 (at `confidence_threshold`). Only the truths and detections of `classes` count. The
    pictures are resampled by site or recording, both sets alike, as `compare` does it.
    """
    groups = coarsest_groups(labels)
    part = of_classes(truth, classes)
    weights = resample_weights(groups)
    one, other = (
        sampled(detections_of_classes(found, truth, classes), part, confidence_threshold, weights)
        for found in (start, result)
    )
    name = NUMBER_OF[metric]
    found = {difference.name: difference for difference in differences_of(one, other, groups)}
    if name not in found:
        return no_baseline(split, f"no true box of {', '.join(classes)}")
    word = {BETTER: IMPROVED, WORSE: WORSENED}.get(found[name].verdict, UNPROVED)
    return Verdict(split, word, tuple(classes), found[name], len(truth.image_ids), _named(groups), groups.note)


def _named(groups: Groups) -> str:
    return f"{groups.count} {groups.of}{'' if groups.count == 1 else 's'}"


def of_classes(truth: GroundTruth, classes: Sequence[str]) -> GroundTruth:
    """The truth of these classes alone, in this order; ignore regions of all classes stay."""
    place = _places(truth, classes)
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


def detections_of_classes(found: Detections, truth: GroundTruth, classes: Sequence[str]) -> Detections:
    """The detections of these classes alone, with the class ids that `of_classes` gives."""
    place = _places(truth, classes)
    chosen = found.select(place[found.class_ids] >= 0)
    return dataclasses.replace(chosen, class_ids=place[chosen.class_ids])


def _places(truth: GroundTruth, classes: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Place among `classes` of each class of the truth, -1 for another one."""
    return np.array([classes.index(name) if name in classes else -1 for name in truth.classes], np.int64)
