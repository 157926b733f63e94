"""Chooses confidence thresholds from one matching: one for all classes, or one for each, exactly, over every score.

The counts change only where a score is passed, so every choice there is lies between two scores that follow each other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.detection.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.metrics.coco import ap_and_ap50, settings_up_to
from traffic_yolo.metrics.coco_settings import COCO_MAX_DETECTIONS
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.match_table import match_table
from traffic_yolo.metrics.matching import CORRECT, WRONG, Matching, match
from traffic_yolo.metrics.objective import LEAST_TRUTHS, OF_RANKING, Objective
from traffic_yolo.metrics.operating_point import operating_point


@dataclass(frozen=True)
class _Cuts:
    """Where the falling scores of some detections can be cut: `right`, `wrong` (n + 1,) above each cut.

    The first cut lets nothing through. `scores` (n,): the values, each once; a threshold parts two that follow each
    other, the last one is the `floor`.
    """

    scores: NDArray[np.float32]
    right: NDArray[np.int64]
    wrong: NDArray[np.int64]
    floor: float

    def threshold(self, cut: int) -> float:
        """A threshold that makes the cut."""
        if not len(self.scores):
            return self.floor
        low = float(self.scores[cut]) if cut < len(self.scores) else self.floor
        return _between(low, float(self.scores[cut - 1]) if cut else 1.0)

    def at(self, threshold: float) -> int:
        """The cut that a threshold makes."""
        return int((self.scores > np.float32(threshold)).sum())


def best_threshold(matching: Matching, objective: Objective, classes: tuple[str, ...], *, floor: float) -> float:
    """The confidence threshold that makes `objective` best; of equals the highest. `floor`: the lowest allowed.

    With objectives `OF_RANKING` it is the floor: they never fall when confidence falls.
    """
    if objective.objective in OF_RANKING:
        return floor
    cuts = _cuts(matching.scores, matching.outcomes, floor)
    miss, false_alarm = objective.costs(classes)
    of_class = matching.class_ids
    # What each detection adds to the cost once it is reported
    added = np.where(matching.outcomes == WRONG, false_alarm[of_class], 0.0)
    added -= np.where(matching.outcomes == CORRECT, miss[of_class], 0.0)
    cost = matching.num_truths @ miss + np.append(0.0, np.cumsum(added))[np.append(0, _ends(matching.scores))]
    true = int(matching.num_truths.sum())
    values = objective.of_totals(cuts.right, cuts.wrong, true, cost=cost, num_pictures=matching.num_pictures)
    return cuts.threshold(first_best(values, objective))


def first_best(values: NDArray[np.float64], objective: Objective) -> int:
    """Index of the first of the best values; NaN is no choice."""
    return int(np.nanargmax(values if objective.is_maximised else -values))


def best_class_thresholds(
    matching: Matching,
    objective: Objective,
    classes: tuple[str, ...],
    *,
    shared: float,
    floor: float,
    least_truths: int = LEAST_TRUTHS,
) -> NDArray[np.float64]:
    """A confidence threshold for each class (C,) that together make `objective` best; `shared` for rare classes.

    F1 of all classes together and cost are made best exactly. Recall within a number of false positives is a knapsack;
    it is filled by the best ratio of boxes found to false ones, and is never worse than `shared` for all. A class of
    fewer than `least_truths` true boxes keeps `shared`, and so does every class with objectives `OF_RANKING`.
    """
    thresholds = np.full(len(classes), shared)
    free = [index for index, count in enumerate(matching.num_truths.tolist()) if count >= least_truths]
    if objective.objective in OF_RANKING or not free:
        return thresholds
    masks = [matching.class_ids == class_id for class_id in range(len(classes))]
    cuts = [_cuts(matching.scores[mask], matching.outcomes[mask], floor) for mask in masks]
    kept = [each.at(shared) for each in cuts]
    if objective.objective == "f1":
        chosen = _best_f1(cuts, kept, free, int(matching.num_truths.sum()))
    elif objective.objective == "cost":
        miss, false_alarm = objective.costs(classes)
        chosen = list(kept)
        for index in free:
            chosen[index] = int(np.argmax(miss[index] * cuts[index].right - false_alarm[index] * cuts[index].wrong))
    else:
        chosen = _most_found(cuts, kept, free, objective.false_positives_per_picture * matching.num_pictures)
    for index in free:
        thresholds[index] = cuts[index].threshold(chosen[index])
    return thresholds


def _best_f1(cuts: list[_Cuts], kept: list[int], free: list[int], true: int) -> list[int]:
    """Dinkelbach's method: F1 is at least f where the sum of 2 * right - f * (right + wrong) over classes is f * true.

    That sum has a term for each class, so for a given f each class is cut on its own; f rises to the best F1.
    """
    best, chosen = list(kept), list(kept)
    reached = -1.0
    while True:
        right = sum(int(each.right[cut]) for each, cut in zip(cuts, chosen, strict=True))
        reported = right + sum(int(each.wrong[cut]) for each, cut in zip(cuts, chosen, strict=True))
        f1 = 2 * right / (reported + true)
        if f1 <= reached:
            return best
        reached, best = f1, list(chosen)
        for index in free:
            each = cuts[index]
            chosen[index] = int(np.argmax(2 * each.right - f1 * (each.right + each.wrong)))


def _most_found(cuts: list[_Cuts], kept: list[int], free: list[int], limit: float) -> list[int]:
    """Lowers thresholds where most boxes are found for a false one, until `limit` false ones are spent."""
    chosen = list(kept)
    for index in free:
        chosen[index] = 0
    spent = sum(int(each.wrong[cut]) for each, cut in zip(cuts, chosen, strict=True))
    while True:
        steps = []
        for index in free:
            each, cut = cuts[index], chosen[index]
            found, paid = each.right[cut + 1 :] - each.right[cut], each.wrong[cut + 1 :] - each.wrong[cut]
            fits = (found > 0) & (spent + paid <= limit)
            if fits.any():
                ratios = np.where(fits, found / np.maximum(paid, 1e-9), -1.0)
                place = int(np.argmax(ratios))
                steps.append((float(ratios[place]), index, cut + 1 + place))
        if not steps:
            break
        _, index, cut = max(steps)
        spent += int(cuts[index].wrong[cut] - cuts[index].wrong[chosen[index]])
        chosen[index] = cut
    right, wrong = (
        [
            sum(int(getattr(each, name)[cut]) for each, cut in zip(cuts, choice, strict=True))
            for choice in (chosen, kept)
        ]
        for name in ("right", "wrong")
    )
    return kept if wrong[1] <= limit and right[1] > right[0] else chosen


def threshold_metrics(
    raw: RawDetections, truth: GroundTruth, nms: NmsOptions, objective: Objective
) -> dict[str, float]:
    """Everything that a choice of thresholds may be for, at those of `nms`: f1, precision, recall, and `OBJECTIVES`.

    Always finite: what is undefined (no truth at all) is 0. `map` and `map50` are of the detections above the
    confidence threshold; `recall_at_fppi` is what a threshold not below it would give. Loads no torch.
    """
    found = non_maximum_suppression(raw, nms)
    matching = match(found, truth)
    point = operating_point(
        matching,
        truth.classes,
        confidence_threshold=nms.confidence_threshold,
        iou_threshold=nms.iou_threshold,
    )
    miss, false_alarm = objective.costs(truth.classes)
    cost = sum(
        counts.false_negatives * miss[index] + counts.false_positives * false_alarm[index]
        for index, counts in enumerate(point.per_class)
    )
    ap, ap50 = ap_and_ap50(match_table(found, truth, settings_up_to(COCO_MAX_DETECTIONS)))
    return {
        "f1": point.f1,
        "precision": point.precision,
        "recall": point.recall,
        "map": ap or 0.0,
        "map50": ap50 or 0.0,
        "recall_at_fppi": recall_at_false_positives(matching, objective.false_positives_per_picture),
        "cost": float(cost) / max(point.num_pictures, 1),
    }


def recall_at_false_positives(matching: Matching, per_picture: float) -> float:
    """The highest recall at some confidence with at most `per_picture` false positives a picture; 0 without truth."""
    true = int(matching.num_truths.sum())
    if not true:
        return 0.0
    cuts = _cuts(matching.scores, matching.outcomes, 0.0)
    borne = cuts.wrong <= per_picture * matching.num_pictures
    return float(cuts.right[borne].max()) / true


def _cuts(scores: NDArray[np.float32], outcomes: NDArray[np.int8], floor: float) -> _Cuts:
    """Cuts of falling `scores` (n,)."""
    ends = _ends(scores)
    right, wrong = (np.append(0, np.cumsum(outcomes == outcome)[ends - 1]) for outcome in (CORRECT, WRONG))
    return _Cuts(scores[ends - 1], right.astype(np.int64), wrong.astype(np.int64), floor)


def _ends(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Of falling scores: how many there are down to the last of each value."""
    return np.append(np.flatnonzero(np.diff(scores)) + 1, len(scores)) if len(scores) else np.zeros(0, np.int64)


def _between(low: float, high: float) -> float:
    """A short number in [low, high), also as float32, about halfway: a tiny drift of scores does not cross it."""
    middle = (low + high) / 2
    for digits in range(2, 8):
        value = round(middle, digits)
        if low < value < high and np.float32(low) < np.float32(value) < np.float32(high):
            return value
    return low
