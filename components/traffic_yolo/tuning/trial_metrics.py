"""The metrics of a trial from raw detections: one NMS above the confidence threshold, one matching; needs no torch."""

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.detection.protocol import detections_name, images_fingerprint
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.objective import MetricOptions, Objective
from traffic_yolo.metrics.thresholds import threshold_metrics
from traffic_yolo.storage import AnyPath, input_path
from traffic_yolo.tuning.metrics import METRICS

SPLIT = "val"


def trial_metrics(raw: RawDetections, truth: GroundTruth, nms: NmsOptions, options: MetricOptions) -> dict[str, float]:
    """Every metric of `METRICS` at the thresholds of `nms`; what is undefined is 0, so none is ever NaN.

    Raises `EvaluationError` where there is no picture to measure on.
    """
    if not len(raw):
        raise EvaluationError("there are raw detections of no picture; nothing can be measured")
    objective = Objective(
        false_positives_per_picture=options.false_positives_per_picture,
        miss_cost=options.miss_cost,
        false_alarm_cost=options.false_alarm_cost,
    )
    values = threshold_metrics(raw, truth, nms, objective)
    return {name: values[name] for name in METRICS}


def read_validation(evaluation: AnyPath, data: DataSet) -> tuple[RawDetections, GroundTruth]:
    """Raw detections of the validation split with its truth; `EvaluationError` when made on another data set."""
    return read_with_truth(input_path(evaluation, what="evaluation") / detections_name(SPLIT), data)


def read_with_truth(detections: AnyPath, data: DataSet) -> tuple[RawDetections, GroundTruth]:
    """A file of raw detections of the validation split with its truth."""
    raw = RawDetections.load(detections)
    expected = images_fingerprint(data, SPLIT)
    if raw.protocol.images_fingerprint != expected:
        found = raw.protocol.images_fingerprint
        raise EvaluationError(
            f"{detections} was made on pictures {found}, the data set {data.root} has {expected}; evaluate again"
        )
    return raw, read_ground_truth(data.coco_path(SPLIT), raw.classes)


def thresholds_trial(
    evaluation: AnyPath, dataset: AnyPath, nms: NmsOptions, options: MetricOptions
) -> dict[str, float]:
    """The metrics of an evaluation's raw detections at two thresholds: a trial that trains nothing."""
    raw, truth = read_validation(evaluation, DataSet.open(dataset))
    return trial_metrics(raw, truth, nms, options)
