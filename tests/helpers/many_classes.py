"""An evaluation report of made-up boxes with as many classes and sites as one likes, on pictures of noise."""

import dataclasses
import tempfile
from pathlib import Path

import cv2
import numpy as np

from traffic_yolo.dataset.data_set import LabelledImage
from traffic_yolo.detection.nms import Detections
from traffic_yolo.detection.raw_detections import Protocol
from traffic_yolo.evaluation.analysis import analyse
from traffic_yolo.evaluation.count_error import picture_counts
from traffic_yolo.evaluation.evaluate import CURVE_CONFIDENCES, Measured, class_curves, metrics_of
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.evaluation.report import Evaluation, report_html
from traffic_yolo.evaluation.samples import sample_pictures
from traffic_yolo.metrics.coco import evaluate_coco
from traffic_yolo.metrics.ground_truth import GroundTruth
from traffic_yolo.metrics.label_attributes import BoxLabels, LabelAttributes, PictureLabels
from traffic_yolo.metrics.matching import match
from traffic_yolo.metrics.operating_point import confidence_curve, confusion_matrix, operating_point
from traffic_yolo.page_origin import About, Subject

CONFIDENCE = 0.3
PICTURE_HW = (360, 640)


def made_up_report(*, classes: int, sites: int) -> str:
    """The page of an evaluation with three pictures a site and a dozen boxes a picture."""
    rng = np.random.default_rng(7)
    truth, detections = _boxes(rng, classes, 3 * sites)
    with tempfile.TemporaryDirectory() as folder:
        images = [_image(Path(folder), index, rng) for index in range(3 * sites)]
        labels = LabelAttributes(
            tuple(
                PictureLabels(f"crossing number {index // 3:02d}", "", f"r{index}", "") for index in range(3 * sites)
            ),
            tuple(BoxLabels(str(row % 14), "", float(10 * (row % 20))) for row in range(len(truth.class_ids))),
        )
        measured = _measured(detections, truth)
        analysis = analyse(
            detections,
            measured.reported,
            truth,
            labels,
            images,
            protocol=Protocol("0" * 64, "0" * 64, (192, 320), "stretch", "made up/test"),
            confidence_threshold=CONFIDENCE,
            max_detections=100,
        )
        evaluation = Evaluation(
            coco=measured.coco,
            point=measured.point,
            curve=measured.curve,
            class_curves=class_curves(measured.matching, CURVE_CONFIDENCES),
            matrix=measured.matrix,
            analysis=analysis,
            count_differences=picture_counts(measured.reported, truth)[0].sum(axis=1),
            samples=sample_pictures(images, measured.reported, truth, analysis.errors),
        )
        return report_html(_record(measured, evaluation, truth), evaluation, About((Subject("model", "made up"),)))


def _boxes(rng: np.random.Generator, classes: int, pictures: int) -> tuple[GroundTruth, Detections]:
    count = 12 * pictures
    corner, size = rng.uniform(0, (500, 250), (count, 2)), rng.uniform(10, 120, (count, 2))
    truth = GroundTruth(
        classes=tuple(f"a class with quite a long name {index}" for index in range(classes)),
        image_ids=np.arange(1, pictures + 1),
        truth_pictures=np.repeat(np.arange(pictures), 12),
        boxes_xywh=np.concatenate([corner, size], axis=1),
        class_ids=rng.integers(0, classes, count),
        areas=size.prod(axis=1),
        ignore=rng.random(count) < 0.03,
    )
    boxes = np.concatenate([corner, corner + size], axis=1) + rng.normal(0, 4, (count, 4))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    same = rng.random(count) < 0.7
    detections = Detections(
        truth.image_ids[truth.truth_pictures],
        boxes.astype(np.float32),
        rng.uniform(0.01, 1, count).astype(np.float32),
        np.where(same, truth.class_ids, rng.integers(0, classes, count)),
    )
    return truth, detections


def _image(folder: Path, index: int, rng: np.random.Generator) -> LabelledImage:
    path = folder / f"{index}.jpg"
    # Noise is the worst that a JPEG can hold: the page must stay small all the same
    cv2.imwrite(str(path), rng.integers(0, 255, (*PICTURE_HW, 3), np.uint8))
    nothing = np.zeros(0, np.bool_)
    return LabelledImage(
        image_id=index + 1,
        path=path,
        file_name=path.name,
        width=PICTURE_HW[1],
        height=PICTURE_HW[0],
        site="",
        recording="",
        boxes_xyxy=np.zeros((0, 4), np.float32),
        class_ids=np.zeros(0, np.int64),
        ignore=nothing,
        is_crowd=nothing,
    )


def _measured(detections: Detections, truth: GroundTruth) -> Measured:
    matching = match(detections, truth)
    reported = detections.select(detections.scores > np.float32(CONFIDENCE))
    return Measured(
        coco=evaluate_coco(truth, detections),
        point=operating_point(matching, truth.classes, confidence_threshold=CONFIDENCE, iou_threshold=0.5),
        curve=confidence_curve(matching, CURVE_CONFIDENCES),
        matrix=confusion_matrix(reported, truth),
        reported=reported,
        everything=detections,
        matching=matching,
    )


def _record(measured: Measured, evaluation: Evaluation, truth: GroundTruth) -> EvaluationRecord:
    per_class = tuple(
        {**dataclasses.asdict(ap), "precision": point.precision, "recall": point.recall, "f1": point.f1}
        for ap, point in zip(measured.coco.per_class, measured.point.per_class, strict=True)
    )
    return EvaluationRecord(
        split="test",
        classes=truth.classes,
        engine="fast",
        metrics=metrics_of(measured),
        per_class=per_class,
        confusion={"labels": list(measured.matrix.labels), "counts": measured.matrix.counts.tolist()},
        slices=tuple(evaluation.analysis.slices_record()),
        errors=evaluation.analysis.errors_record(),
        counting=evaluation.analysis.counting_record(),
        nms={"confidence_threshold": CONFIDENCE, "iou_threshold": 0.5, "kind": "default", "max_detections": 300},
        matching={"iou": 0.5, "coco_max_detections": 100},
        protocol={"confidence_floor": 0.001, "network_hw": (192, 320)},
        data={"pictures": len(truth.image_ids), "truths": int(truth.num_truths.sum()), "ignored": 0},
        provenance={"verdict": "may have seen", "pictures": 3, "of": 90, "reasons": ["made up"], "trained_on": []},
        training=None,
        software={},
    )
