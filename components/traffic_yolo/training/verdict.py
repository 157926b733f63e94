"""Whether a training made its model better: the start and the result on the same pictures, with an interval."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from traffic_yolo.detection.nms import Detections
from traffic_yolo.metrics.bootstrap import Groups, coarsest_groups, resample_weights
from traffic_yolo.metrics.class_subset import detections_of_classes, of_classes
from traffic_yolo.metrics.ground_truth import GroundTruth
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
        judged = f"{self.difference.numbers}; {self.pictures} pictures, paired over {self.groups}"
        return f"{self.split}: {self.word}: {judged}. {self.note}".rstrip()

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
        sampled(detections_of_classes(found, truth.classes, classes), part, confidence_threshold, weights)
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
