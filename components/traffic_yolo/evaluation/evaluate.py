"""The step `evaluate`: detect once on both held-out splits, then metrics, record and report of one of them."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from traffic_yolo.darknet.network import Network
from traffic_yolo.dataset.data_set import DataSet, LabelledImage
from traffic_yolo.errors import EvaluationError
from traffic_yolo.evaluation.artifact import COCO_MAX_DETECTIONS as COCO_MAX_DETECTIONS
from traffic_yolo.evaluation.artifact import detections_name as detections_name
from traffic_yolo.evaluation.artifact import images_fingerprint as images_fingerprint
from traffic_yolo.evaluation.coco import CocoMetrics, evaluate_coco
from traffic_yolo.evaluation.detect import detect
from traffic_yolo.evaluation.ground_truth import GroundTruth, read_ground_truth
from traffic_yolo.evaluation.matching import MATCH_IOU, match
from traffic_yolo.evaluation.nms import Detections, NmsOptions, non_maximum_suppression
from traffic_yolo.evaluation.operating_point import (
    ConfusionMatrix,
    Curve,
    OperatingPoint,
    confidence_curve,
    confusion_matrix,
    operating_point,
)
from traffic_yolo.evaluation.raw_detections import CONFIDENCE_FLOOR, Protocol, RawDetections
from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord, Number, software_versions, summary_markdown
from traffic_yolo.evaluation.report import report_html
from traffic_yolo.evaluation.samples import sample_pictures
from traffic_yolo.model_folder import CFG_NAME, EXPORT_NAME, WEIGHTS_NAME, ModelFolder
from traffic_yolo.storage import atomic_folder, read_json, sha256_of_file, write_json, write_text

HELD_OUT_SPLITS = ("val", "test")
REPORT_NAME = "report.html"
METRICS_NAME = "metrics.json"
OPTIONS_NAME = "options.yaml"  # a training run's
SCALARS = ("ap", "ap50", "ap75", "ar100", "precision", "recall", "f1")


@dataclass(frozen=True)
class EvaluationSummary:
    """What `evaluate` hands on: the folder and the record; the rest follows from them."""

    path: Path
    record: EvaluationRecord

    @property
    def markdown(self) -> str:
        """The headline in a few lines."""
        return summary_markdown(self.record)

    @property
    def scalars(self) -> dict[str, float]:
        """The few numbers that the Kubeflow UI lists; one that is undefined is left out."""
        return {name: value for name in SCALARS if (value := self.record.metrics[name]) is not None}

    @property
    def confusion_labels(self) -> list[str]:
        """The classes and, last, background."""
        return list(self.record.confusion["labels"])

    @property
    def confusion_matrix(self) -> list[list[int]]:
        """Counts, truth by row."""
        return [list(row) for row in self.record.confusion["counts"]]


@dataclass(frozen=True)
class Measured:
    """All that is computed from the raw detections of one split at one choice of thresholds."""

    coco: CocoMetrics
    point: OperatingPoint
    curve: Curve
    matrix: ConfusionMatrix
    reported: Detections


def evaluate(
    model: Path,
    dataset: Path,
    out: Path,
    *,
    split: str = "test",
    nms: NmsOptions | None = None,
    batch: int = 8,
    device: str = "auto",
) -> EvaluationSummary:
    """Writes the evaluation folder: `detections_val.npz detections_test.npz record.json report.html metrics.json`.

    `split`: the one that metrics, record and report are of. `device`: "cpu", "cuda" or "auto". Raises
    `EvaluationError` for a model whose classes are not the data set's, or a split without pictures.
    """
    nms = nms or NmsOptions()
    folder_of_model, data = ModelFolder.open(model), DataSet.open(dataset)
    check_same_classes(folder_of_model.classes, data.classes)
    images = data.split(split)
    if not images:
        raise EvaluationError(f"{dataset}: split {split!r} has no pictures to evaluate on; convert with another split")
    truth = read_ground_truth(data.coco_path(split), folder_of_model.classes)
    network = Network.read(folder_of_model.cfg_path, folder_of_model.weights_path)
    network.to(_device(device))
    with atomic_folder(out) as folder:
        raw_of = {}
        for name in dict.fromkeys((*HELD_OUT_SPLITS, split)):
            raw_of[name] = detect_split(network, folder_of_model, data, name, batch=batch)
            raw_of[name].save(folder / detections_name(name))
        measured = measure(raw_of[split], truth, nms)
        record = _record(folder_of_model, data, split, truth, nms, measured, raw_of[split])
        record.write(folder / RECORD_NAME)
        summary = EvaluationSummary(out, record)
        write_json(folder / METRICS_NAME, summary.scalars)
        write_text(folder / REPORT_NAME, _report(record, measured, truth, images))
    return summary


def detect_split(network: Network, model: ModelFolder, data: DataSet, split: str, *, batch: int = 8) -> RawDetections:
    """Raw detections of one split; `network` has the weights of `model` and runs where it is."""
    protocol = Protocol(
        cfg_sha256=model.sha256(CFG_NAME),
        weights_sha256=model.sha256(WEIGHTS_NAME),
        network_hw=model.network_hw,
        resize=model.resize,
        images_fingerprint=images_fingerprint(data, split),
        confidence_floor=CONFIDENCE_FLOOR,
    )
    return detect(network, data.split(split), classes=model.classes, protocol=protocol, batch=batch)


def check_same_classes(model_classes: tuple[str, ...], data_classes: tuple[str, ...]) -> None:
    """Raises `EvaluationError` unless model and data set have the same class names; their order may differ."""
    if set(model_classes) != set(data_classes):
        raise EvaluationError(
            f"the model's classes ({', '.join(model_classes)}) are not the data set's ({', '.join(data_classes)}); "
            f"convert with a class map, or train from these weights with weights_names"
        )


def measure(raw: RawDetections, truth: GroundTruth, nms: NmsOptions) -> Measured:
    """Metrics of raw detections: one NMS at the floor serves AP, the curve and the operating point."""
    floor = dataclasses.replace(nms, confidence_threshold=raw.protocol.confidence_floor)
    everything = non_maximum_suppression(raw, floor)
    reported = everything.select(everything.scores > np.float32(nms.confidence_threshold))
    matching = match(everything, truth)
    return Measured(
        coco=evaluate_coco(truth, everything, max_detections=COCO_MAX_DETECTIONS),
        point=operating_point(
            matching,
            truth.classes,
            confidence_threshold=nms.confidence_threshold,
            iou_threshold=nms.iou_threshold,
        ),
        curve=confidence_curve(matching, np.linspace(0.005, 0.995, 199)),
        matrix=confusion_matrix(reported, truth),
        reported=reported,
    )


def metrics_of(measured: Measured) -> dict[str, Number]:
    """The metrics as records name them."""
    point = measured.point
    counts = ("true_positives", "false_positives", "false_negatives", "false_positives_per_picture")
    return {**measured.coco.twelve(), **{name: getattr(point, name) for name in ("precision", "recall", "f1", *counts)}}


def _record(
    model: ModelFolder,
    data: DataSet,
    split: str,
    truth: GroundTruth,
    nms: NmsOptions,
    measured: Measured,
    raw: RawDetections,
) -> EvaluationRecord:
    per_class = tuple(
        {
            **dataclasses.asdict(ap),
            "precision": counts.precision,
            "recall": counts.recall,
            "f1": counts.f1,
        }
        for ap, counts in zip(measured.coco.per_class, measured.point.per_class, strict=True)
    )
    return EvaluationRecord(
        split=split,
        classes=model.classes,
        metrics=metrics_of(measured),
        per_class=per_class,
        confusion={"labels": list(measured.matrix.labels), "counts": measured.matrix.counts.tolist()},
        nms=dataclasses.asdict(nms),
        matching={"iou": MATCH_IOU, "coco_max_detections": COCO_MAX_DETECTIONS},
        protocol=dataclasses.asdict(raw.protocol),
        data={
            "fingerprint": data.fingerprint,
            "ground_truth_sha256": sha256_of_file(data.coco_path(split)),
            "pictures": len(truth.image_ids),
            "truths": int(truth.num_truths.sum()),
            "ignored": int(truth.ignore.sum()),
        },
        training=_training_options(model),
        software=software_versions(),
    )


def _report(record: EvaluationRecord, measured: Measured, truth: GroundTruth, images: list[LabelledImage]) -> str:
    samples = sample_pictures(images, measured.reported, match(measured.reported, truth), truth.classes)
    return report_html(record, measured.coco, measured.point, measured.curve, measured.matrix, samples)


def _training_options(model: ModelFolder) -> dict[str, Any] | None:
    """The options of the model's training: a run keeps them in a file of its own, an exported model in export.json."""
    options: Any = None
    if (model.path / OPTIONS_NAME).is_file():
        options = yaml.safe_load((model.path / OPTIONS_NAME).read_text(encoding="utf-8"))
    elif (model.path / EXPORT_NAME).is_file():
        options = read_json(model.path / EXPORT_NAME, what="export record").get("training")
    return json.loads(json.dumps(options, default=str)) if isinstance(options, dict) else None


def _device(device: str) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
