"""The evaluation report: one self-contained HTML page below 1 MB."""

import json
from collections.abc import Mapping
from typing import Any

from traffic_yolo.evaluation.coco import CocoMetrics
from traffic_yolo.evaluation.figures import confidence_figure, confusion_figure, precision_recall_figure
from traffic_yolo.evaluation.operating_point import ConfusionMatrix, Curve, OperatingPoint
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.html_report import Html, figure_svg, page, paragraph, table


def report_html(
    record: EvaluationRecord,
    coco: CocoMetrics,
    point: OperatingPoint,
    curve: Curve,
    matrix: ConfusionMatrix,
    samples: Html,
) -> str:
    """The page. All arguments belong to the one evaluation that `record` describes; `samples` is HTML."""
    confidence = point.confidence_threshold
    sections = [
        ("", _headline(record)),
        ("Classes", _classes(record, point)),
        ("Precision and recall at IoU 0.50", figure_svg(precision_recall_figure(coco), title="Precision over recall")),
        (
            "Choice of the confidence threshold",
            figure_svg(confidence_figure(curve, confidence), title="Precision, recall and F1 over confidence")
            + paragraph("AP does not depend on it: AP is computed from all detections above 0.001.", quiet=True),
        ),
        (
            "Confusion matrix",
            figure_svg(confusion_figure(matrix), title="Confusion matrix with background")
            + paragraph(
                f"At confidence {confidence:g}. Row: what is there; column: what was reported in its place, regardless "
                "of class. Column background: missed; row background: reported where nothing is.",
                quiet=True,
            ),
        ),
        (
            "Pictures",
            samples
            + paragraph(
                "White: truth. Green: right. Orange: wrong. Grey: in an ignore region. Half of them are the "
                "pictures with most errors.",
                quiet=True,
            ),
        ),
        ("Everything that moves these numbers", _record_table(record)),
    ]
    return page(f"Evaluation on split {record.split}", sections)


def _headline(record: EvaluationRecord) -> Html:
    metrics, data, nms = record.metrics, record.data, record.nms
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")
    point = ("precision", "recall", "f1", "false_positives_per_picture")
    text = (
        f"{data['pictures']} pictures, {data['truths']} true boxes, {data['ignored']} crowds and ignore regions. "
        f"Precision, recall and F1 at confidence {nms['confidence_threshold']:g} and NMS IoU {nms['iou_threshold']:g} "
        f"({nms['kind']}), matched at IoU {record.matching['iou']:g}."
    )
    return Html(
        paragraph(text)
        + table([_label(name) for name in names], [[metrics[name] for name in names]])
        + table([_label(name) for name in point], [[metrics[name] for name in point]])
    )


def _label(name: str) -> str:
    """`ap_small` as people write it: AP small."""
    first, *rest = name.split("_")
    return " ".join([first.upper() if first[:2] in ("ap", "ar", "f1") else first, *rest])


def _classes(record: EvaluationRecord, point: OperatingPoint) -> Html:
    headers = ["class", "AP", "AP50", "precision", "recall", "F1", "true boxes", "right", "wrong", "missed"]
    rows = [
        [
            *(entry[name] for name in ("class_name", "ap", "ap50", "precision", "recall", "f1", "num_truths")),
            *(counts.true_positives, counts.false_positives, counts.false_negatives),
        ]
        for entry, counts in zip(record.per_class, point.per_class, strict=True)
    ]
    return table(headers, rows)


def _record_table(record: EvaluationRecord) -> Html:
    rows: list[tuple[str, str]] = []
    for part in ("nms", "matching", "protocol", "data", "training", "software"):
        rows.extend(_flat(part, getattr(record, part)))
    return table(["", "value"], rows)


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in _flat(f"{name}.{key}", inner)]
    return [(name, value if isinstance(value, str) else json.dumps(value))]
