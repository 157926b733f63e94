"""The step `tune`: chooses the two thresholds on the validation split and states what they give on the test split."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.errors import EvaluationError, OptionsError
from traffic_yolo.evaluation.artifact import COCO_MAX_DETECTIONS, detections_name, images_fingerprint
from traffic_yolo.evaluation.coco import evaluate_coco
from traffic_yolo.evaluation.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.evaluation.matching import MATCH_IOU, match
from traffic_yolo.evaluation.nms import NmsOptions, non_maximum_suppression
from traffic_yolo.evaluation.operating_point import Counts, OperatingPoint, operating_point
from traffic_yolo.evaluation.raw_detections import RawDetections
from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord
from traffic_yolo.storage import atomic_folder, write_json, write_text
from traffic_yolo.tuning.report import tuning_report_html
from traffic_yolo.tuning.sweep import DEFAULT_CONFIDENCES, DEFAULT_IOU_THRESHOLDS, Sweep, best_by_f1, sweep, write_csv

SCHEMA_VERSION = 1
OBJECTIVES = ("f1",)
POINT_NAME = "operating_point.json"
SWEEP_NAME = "sweep.csv"
REPORT_NAME = "report.html"
CHOSEN_ON, REPORTED_ON = "val", "test"
AP_CONFIDENCES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75)  # where the report shows AP, besides the floor and the choice


@dataclass(frozen=True)
class TuningSummary:
    """The chosen point on the split that it was chosen on, and on the other (None when that has no pictures)."""

    path: Path
    chosen: OperatingPoint
    test: OperatingPoint | None

    @property
    def text(self) -> str:
        """Two lines for people."""
        chosen = self.chosen
        thresholds = f"confidence_threshold {chosen.confidence_threshold:g}, iou_threshold {chosen.iou_threshold:g}"
        lines = [f"{thresholds}: best F1 on {CHOSEN_ON}: {_described(chosen)}"]
        if not chosen.true_positives:
            lines[0] += "; no threshold finds anything right: train longer"
        lines.append(f"on {REPORTED_ON}: {_described(self.test) if self.test else 'no pictures'}")
        return "\n".join(lines)

    @property
    def scalars(self) -> dict[str, float]:
        """The chosen thresholds, and precision, recall and F1 on both splits."""
        values = {
            "confidence_threshold": self.chosen.confidence_threshold,
            "iou_threshold": self.chosen.iou_threshold,
        }
        for split, point in ((CHOSEN_ON, self.chosen), (REPORTED_ON, self.test)):
            if point is not None:
                values |= {f"{split}_{name}": getattr(point, name) for name in ("precision", "recall", "f1")}
        return values


def tune(
    evaluation: Path,
    dataset: Path,
    out: Path,
    *,
    objective: str = "f1",
    confidences: Sequence[float] = DEFAULT_CONFIDENCES,
    iou_thresholds: Sequence[float] = DEFAULT_IOU_THRESHOLDS,
) -> TuningSummary:
    """Writes `operating_point.json`, `sweep.csv` (the validation split) and `report.html` to the folder `out`.

    `evaluation`: folder of the step evaluate; NMS kind and max_detections are those of its record. Raises
    `EvaluationError` for a validation split without pictures, and for detections that were made on another data set.
    """
    if objective not in OBJECTIVES:
        raise OptionsError(f"objective {objective!r} is unknown; expected one of {', '.join(OBJECTIVES)}")
    record = EvaluationRecord.read(evaluation / RECORD_NAME)
    data = DataSet.open(dataset)
    nms = NmsOptions(**record.nms)
    raw, truth = read_split(evaluation, data, CHOSEN_ON)
    if not len(raw):
        raise EvaluationError(
            f"{dataset}: split {CHOSEN_ON!r} has no pictures, so there is nothing to choose thresholds on (the test "
            f"split must stay unseen); convert with val_sites"
        )
    result = sweep(raw, truth, confidences=confidences, iou_thresholds=iou_thresholds, nms=nms)
    chosen = best_by_f1(result)
    nms = dataclasses.replace(nms, confidence_threshold=chosen.confidence_threshold, iou_threshold=chosen.iou_threshold)
    test_raw, test_truth = read_split(evaluation, data, REPORTED_ON)
    test = point_at(test_raw, test_truth, nms) if len(test_raw) else None
    ap_rows = ap_by_confidence(raw, truth, nms)
    with atomic_folder(out) as folder:
        write_json(folder / POINT_NAME, _document(nms, chosen, test, result, record))
        write_csv([result], folder / SWEEP_NAME)
        write_text(folder / REPORT_NAME, tuning_report_html(result, chosen, test, nms, ap_rows))
    return TuningSummary(out, chosen, test)


def read_split(evaluation: Path, data: DataSet, split: str) -> tuple[RawDetections, GroundTruth]:
    """Raw detections of a split with its truth; `EvaluationError` when they were made on another data set."""
    path = evaluation / detections_name(split)
    raw = RawDetections.load(path)
    expected = images_fingerprint(data, split)
    if raw.protocol.images_fingerprint != expected:
        raise EvaluationError(
            f"{path} was made on pictures {raw.protocol.images_fingerprint}, the data set {data.root} has {expected}; "
            f"evaluate again"
        )
    return raw, read_ground_truth(data.coco_path(split), raw.classes)


def point_at(raw: RawDetections, truth: GroundTruth, nms: NmsOptions) -> OperatingPoint:
    """The operating point at the thresholds of `nms`."""
    return operating_point(
        match(non_maximum_suppression(raw, nms), truth),
        truth.classes,
        confidence_threshold=nms.confidence_threshold,
        iou_threshold=nms.iou_threshold,
    )


def ap_by_confidence(
    raw: RawDetections, truth: GroundTruth, nms: NmsOptions
) -> list[tuple[float, float | None, float | None, float]]:
    """(confidence, AP, AP50, F1) at a few confidences from the floor up, at the IoU threshold of `nms`."""
    floor = raw.protocol.confidence_floor
    everything = non_maximum_suppression(raw, dataclasses.replace(nms, confidence_threshold=floor))
    matching = match(everything, truth)
    rows = []
    for confidence in sorted({floor, *AP_CONFIDENCES, nms.confidence_threshold}):
        kept = everything.select(everything.scores > np.float32(confidence))
        coco = evaluate_coco(truth, kept, max_detections=COCO_MAX_DETECTIONS)
        point = operating_point(
            matching, truth.classes, confidence_threshold=confidence, iou_threshold=nms.iou_threshold
        )
        rows.append((confidence, coco.ap, coco.ap50, point.f1))
    return rows


def _document(
    nms: NmsOptions, chosen: OperatingPoint, test: OperatingPoint | None, result: Sweep, record: EvaluationRecord
) -> dict[str, Any]:
    """The content of operating_point.json."""
    per_class = [
        {
            "class_name": counts.class_name,
            CHOSEN_ON: _numbers(counts),
            REPORTED_ON: _numbers(test.per_class[index]) if test else None,
        }
        for index, counts in enumerate(chosen.per_class)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "confidence_threshold": nms.confidence_threshold,
        "iou_threshold": nms.iou_threshold,
        "nms": {"kind": nms.kind, "beta": nms.beta, "max_detections": nms.max_detections},
        "chosen_on": CHOSEN_ON,
        "objective": "f1",
        "match_iou": MATCH_IOU,
        CHOSEN_ON: _point_numbers(chosen),
        REPORTED_ON: _point_numbers(test) if test else None,
        "per_class": per_class,
        "grid": {"confidences": list(result.confidences), "iou_thresholds": list(result.iou_thresholds)},
        "model": {name: record.protocol[name] for name in ("cfg_sha256", "weights_sha256")},
        "data_fingerprint": record.data["fingerprint"],
    }


def _point_numbers(point: OperatingPoint) -> dict[str, float]:
    shared = {"pictures": point.num_pictures, "false_positives_per_picture": point.false_positives_per_picture}
    return {**_numbers(point), **shared}


def _numbers(counts: Counts) -> dict[str, float]:
    names = ("precision", "recall", "f1", "true_positives", "false_positives", "false_negatives")
    return {name: getattr(counts, name) for name in names}


def _described(point: OperatingPoint) -> str:
    ratios = f"precision {point.precision:.4f}, recall {point.recall:.4f}, F1 {point.f1:.4f}"
    return f"{ratios}, {point.false_positives_per_picture:.2f} false positives for each picture"
