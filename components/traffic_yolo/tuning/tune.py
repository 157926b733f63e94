"""The step `tune`: chooses the thresholds on the validation split and states what they give on the test split."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.detection.protocol import detections_name, images_fingerprint
from traffic_yolo.detection.raw_detections import RawDetections
from traffic_yolo.errors import EvaluationError
from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord
from traffic_yolo.metrics.bootstrap import coarsest_groups
from traffic_yolo.metrics.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.metrics.label_attributes import read_label_attributes
from traffic_yolo.metrics.operating_point import OperatingPoint
from traffic_yolo.page_origin import About, Subject, hashed, short_path, subject_with_page
from traffic_yolo.progress import stage
from traffic_yolo.storage import AnyPath, atomic_folder, input_path, output_path, write_json, write_text
from traffic_yolo.tuning.point_file import POINT_NAME, described, point_document
from traffic_yolo.tuning.report import tuning_report_html
from traffic_yolo.tuning.search import ApRow, Found, Part, intervals_of, matched, point_of, search
from traffic_yolo.tuning.sweep import sweep, write_csv
from traffic_yolo.tuning.sweep_options import SweepOptions

SWEEP_NAME = "sweep.csv"
REPORT_NAME = "report.html"
CHOSEN_ON, REPORTED_ON = "val", "test"
AP_CONFIDENCES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75)  # where the report shows AP, besides the floor and the choice


@dataclass(frozen=True)
class TuningSummary:
    """The choice, and what it gives on each split: first where it was made. `absent`: splits without pictures."""

    path: Path
    found: Found
    parts: tuple[Part, ...]
    ap_rows: tuple[ApRow, ...]
    absent: tuple[str, ...] = ()

    @property
    def chosen(self) -> OperatingPoint:
        """What the choice gives where it was made."""
        return self.found.point

    @property
    def test(self) -> OperatingPoint | None:
        """What it gives on the test split."""
        return next((part.point for part in self.parts if part.split == REPORTED_ON), None)

    @property
    def text(self) -> str:
        """A few lines for people."""
        return described(self.found, self.parts, self.ap_rows, absent=self.absent)

    @property
    def scalars(self) -> dict[str, float]:
        """The chosen thresholds, and precision, recall and F1 on both splits."""
        values = {
            "confidence_threshold": self.chosen.confidence_threshold,
            "iou_threshold": self.chosen.iou_threshold,
        }
        for part in self.parts:
            values |= {f"{part.split}_{name}": getattr(part.point, name) for name in ("precision", "recall", "f1")}
        return values


def tune(evaluation: AnyPath, dataset: AnyPath, out: AnyPath, options: SweepOptions | None = None) -> TuningSummary:
    """Writes `operating_point.json`, `sweep.csv` (the validation split) and `report.html` to the folder `out`.

    `evaluation`: folder of the step evaluate; NMS kind and max_detections are those of its record unless `options` name
    others. Raises `EvaluationError` for a validation split without pictures, and for detections that were made on
    another data set.
    """
    options = options or SweepOptions()
    target, evaluation = output_path(out), input_path(evaluation, what="evaluation")
    record = EvaluationRecord.read(evaluation / RECORD_NAME)
    data = DataSet.open(dataset)
    split_read = read_split(evaluation, data, CHOSEN_ON) if CHOSEN_ON in data.splits else None
    if split_read is None or not len(split_read[0]):
        raise EvaluationError(
            f"{dataset}: split {CHOSEN_ON!r} has no pictures, so there is nothing to choose thresholds on (the test "
            f"split must stay unseen); {data.filled_splits}"
        )
    raw, truth = split_read
    with stage("searching thresholds"):
        found = search(raw, truth, options, NmsOptions(**record.nms))
    parts = [part_of(raw, truth, data.coco_path(CHOSEN_ON), CHOSEN_ON, found, found.point)]
    test_raw, test_truth = read_split(evaluation, data, REPORTED_ON)
    if len(test_raw):
        _, matching = matched(test_raw, test_truth, found.nms)
        point = point_of(matching, truth.classes, found.nms, class_thresholds=found.point.class_thresholds)
        parts.append(part_of(test_raw, test_truth, data.coco_path(REPORTED_ON), REPORTED_ON, found, point))
    absent = () if len(test_raw) else (REPORTED_ON,)
    summary = TuningSummary(target, found, tuple(parts), tuple(ap_by_confidence(raw, truth, found.nms)), absent)
    made_of: dict[str, Any] = {
        "model": {name: record.protocol[name] for name in ("cfg_sha256", "weights_sha256")},
        "data_fingerprint": record.data["fingerprint"],
    }
    about = (
        Subject("model", hashed("weights", record.protocol["weights_sha256"])),
        data.subject(target),
        subject_with_page("detections", short_path(evaluation), evaluation, target),
    )
    write_choice(summary, made_of, about)
    return summary


def write_choice(summary: TuningSummary, made_of: Mapping[str, Any], about: tuple[Subject, ...]) -> None:
    """Writes the three files of a choice to the folder of `summary`.

    `made_of` is added to the operating point; `about`: what the page says it is about.
    """
    found, parts = summary.found, summary.parts
    with stage("writing the report"), atomic_folder(summary.path) as folder:
        write_json(folder / POINT_NAME, point_document(found, parts, absent=summary.absent) | dict(made_of))
        write_csv(found.sweeps, folder / SWEEP_NAME)
        write_text(folder / REPORT_NAME, tuning_report_html(found, parts, summary.ap_rows, About(about, summary.path)))


def sweep_file(
    detections: AnyPath, truth_path: AnyPath, out: AnyPath, options: SweepOptions, nms: NmsOptions | None = None
) -> TuningSummary:
    """The choice on one file of raw detections and its truth (a COCO file), into the folder `out`, as `tune` writes it.

    Kind and limit that `options` leave open are those of `nms`. Raises `EvaluationError` for detections that are not of
    the truth's pictures, `DatasetError` for truth without the model's classes.
    """
    target, truth_path = output_path(out), input_path(truth_path, what="COCO file")
    raw = RawDetections.load(detections)
    truth = read_ground_truth(truth_path, raw.classes)
    with stage("searching thresholds"):
        found = search(raw, truth, options, nms or NmsOptions())
    part = part_of(raw, truth, truth_path, truth_path.stem, found, found.point)
    summary = TuningSummary(target, found, (part,), tuple(ap_by_confidence(raw, truth, found.nms)))
    protocol = raw.protocol
    made_of = {"cfg_sha256": protocol.cfg_sha256, "weights_sha256": protocol.weights_sha256}
    about = (
        Subject("model", hashed("weights", protocol.weights_sha256)),
        Subject("data set", hashed(short_path(truth_path), protocol.images_fingerprint)),
        Subject("detections", short_path(str(detections))),
    )
    write_choice(summary, {"model": made_of, "images_fingerprint": protocol.images_fingerprint}, about)
    return summary


def part_of(
    raw: RawDetections, truth: GroundTruth, labels_path: AnyPath, split: str, found: Found, point: OperatingPoint
) -> Part:
    """What the choice gives on one split, with its intervals over the sites or recordings that `labels_path` names."""
    groups = coarsest_groups(read_label_attributes(labels_path, truth))
    with stage(f"resampling {split}"):
        return Part(split, point, intervals_of(raw, truth, found.nms, point, groups), groups)


def read_split(evaluation: AnyPath, data: DataSet, split: str) -> tuple[RawDetections, GroundTruth]:
    """Raw detections of a split with its truth; `EvaluationError` when they were made on another data set."""
    path = input_path(evaluation, what="evaluation") / detections_name(split)
    raw = RawDetections.load(path)
    expected = images_fingerprint(data, split)
    if raw.protocol.images_fingerprint != expected:
        raise EvaluationError(
            f"{path} was made on pictures {raw.protocol.images_fingerprint}, the data set {data.root} has {expected}; "
            f"evaluate again"
        )
    return raw, read_ground_truth(data.coco_path(split), raw.classes)


def ap_by_confidence(raw: RawDetections, truth: GroundTruth, nms: NmsOptions) -> list[ApRow]:
    """AP and F1 at a few confidences from the floor up and at the chosen one, at the IoU threshold of `nms`."""
    floor = raw.protocol.confidence_floor
    confidences = sorted({floor, nms.confidence_threshold, *(value for value in AP_CONFIDENCES if value > floor)})
    with stage("computing AP by confidence"):
        result = sweep(raw, truth, confidences=confidences, iou_thresholds=(nms.iou_threshold,), nms=nms)
    columns = [values[:, 0].tolist() for values in (result.ap, result.ap50, result.f1)]
    return [ApRow(*row) for row in zip(confidences, *columns, strict=True)]
