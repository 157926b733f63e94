"""The metrics of a trial from raw detections: one NMS above the confidence threshold, one matching; needs no torch."""

from pathlib import Path

import numpy as np

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import EvaluationError
from traffic_yolo.evaluation.artifact import COCO_MAX_DETECTIONS, detections_name, images_fingerprint
from traffic_yolo.evaluation.coco import evaluate_coco
from traffic_yolo.evaluation.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.evaluation.matching import CORRECT, WRONG, Matching, match
from traffic_yolo.evaluation.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.evaluation.operating_point import operating_point
from traffic_yolo.evaluation.raw_detections import RawDetections
from traffic_yolo.tuning.metrics import METRICS, MetricOptions

SPLIT = "val"


def trial_metrics(raw: RawDetections, truth: GroundTruth, nms: NmsOptions, options: MetricOptions) -> dict[str, float]:
    """Every metric of `METRICS` at the thresholds of `nms`; what is undefined is 0, so none is ever NaN.

    Raises `EvaluationError` where there is no picture to measure on.
    """
    if not len(raw):
        raise EvaluationError("there are raw detections of no picture; nothing can be measured")
    detections = non_maximum_suppression(raw, nms)
    matching = match(detections, truth)
    point = operating_point(
        matching,
        truth.classes,
        confidence_threshold=nms.confidence_threshold,
        iou_threshold=nms.iou_threshold,
    )
    coco = evaluate_coco(truth, detections, max_detections=COCO_MAX_DETECTIONS)
    cost = options.miss_cost * point.false_negatives + options.false_alarm_cost * point.false_positives
    values = {
        "f1": point.f1,
        "precision": point.precision,
        "recall": point.recall,
        "map": coco.ap or 0.0,
        "map50": coco.ap50 or 0.0,
        "recall_at_fppi": recall_at_false_positives(matching, options.false_positives_per_picture),
        "cost": cost / point.num_pictures,
    }
    return {name: float(values[name]) for name in METRICS}


def recall_at_false_positives(matching: Matching, per_picture: float) -> float:
    """The largest recall that the matched detections reach with at most so many false positives a picture, [0, 1].

    It is looked for among confidence thresholds from the lowest score of the matching up.
    """
    truths = int(matching.num_truths.sum())
    if not len(matching.scores) or not truths:
        return 0.0
    correct = np.cumsum(matching.outcomes == CORRECT)
    wrong = np.cumsum(matching.outcomes == WRONG)
    # Equal scores come and go together: only the last of them is a threshold's last
    last = np.append(matching.scores[1:] != matching.scores[:-1], True)
    within = last & (wrong <= per_picture * matching.num_pictures)
    return float(correct[within].max(initial=0) / truths)


def read_validation(evaluation: Path, data: DataSet) -> tuple[RawDetections, GroundTruth]:
    """Raw detections of the validation split with its truth; `EvaluationError` when made on another data set."""
    return read_with_truth(evaluation / detections_name(SPLIT), data)


def read_with_truth(detections: Path, data: DataSet) -> tuple[RawDetections, GroundTruth]:
    """A file of raw detections of the validation split with its truth."""
    raw = RawDetections.load(detections)
    expected = images_fingerprint(data, SPLIT)
    if raw.protocol.images_fingerprint != expected:
        found = raw.protocol.images_fingerprint
        raise EvaluationError(
            f"{detections} was made on pictures {found}, the data set {data.root} has {expected}; evaluate again"
        )
    return raw, read_ground_truth(data.coco_path(SPLIT), raw.classes)


def thresholds_trial(evaluation: Path, dataset: Path, nms: NmsOptions, options: MetricOptions) -> dict[str, float]:
    """The metrics of an evaluation's raw detections at two thresholds: a trial that trains nothing."""
    raw, truth = read_validation(evaluation, DataSet.open(dataset))
    return trial_metrics(raw, truth, nms, options)
