"""The evaluation report: one self-contained HTML page below 1 MB."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.evaluation.analysis import Analysis
from traffic_yolo.evaluation.count_error import CountError
from traffic_yolo.evaluation.error_figures import (
    MAX_CONFUSED,
    confusion_figure,
    cost_figure,
    count_figure,
    shown_slices,
    slice_figure,
)
from traffic_yolo.evaluation.error_split import KIND_NAMES
from traffic_yolo.evaluation.figures import (
    MAX_CURVES,
    confidence_figure,
    f1_figure,
    precision_recall_figure,
    surface_figure,
)
from traffic_yolo.evaluation.provenance import MAY_HAVE_SEEN, NOT_SEEN, SEEN
from traffic_yolo.evaluation.record import EvaluationRecord
from traffic_yolo.evaluation.samples import Samples
from traffic_yolo.evaluation.slice_metrics import SliceMetrics
from traffic_yolo.evaluation.summary import provenance_sentence
from traffic_yolo.evaluation.threshold_surface import ThresholdSurface
from traffic_yolo.html_report import (
    Cell,
    Html,
    callout,
    details,
    figure_svg,
    format_cell,
    page,
    paragraph,
    table,
    tiles,
)
from traffic_yolo.metrics.coco import CocoMetrics
from traffic_yolo.metrics.operating_point import ConfusionMatrix, Curve, OperatingPoint
from traffic_yolo.page_origin import About

MAX_ROWS = 16  # of a table in sight; the rest unfolds


@dataclass(frozen=True)
class Evaluation:
    """All that one evaluation came to, beside its record: what the page shows.

    `curve` is of all classes, `class_curves` has one for each. `count_differences` (M,): reported less true boxes of
    each picture. `surface`: of a sweep on the same detections, where one was given.
    """

    coco: CocoMetrics
    point: OperatingPoint
    curve: Curve
    class_curves: tuple[Curve, ...]
    matrix: ConfusionMatrix
    analysis: Analysis
    count_differences: NDArray[np.int64]
    samples: Samples
    surface: ThresholdSurface | None = None


def report_html(record: EvaluationRecord, evaluation: Evaluation, about: About) -> str:
    """The page of the evaluation that `record` describes; `about`: model and data set."""
    sections = [
        ("", _headline(record)),
        ("Classes", _classes(record, evaluation.point)),
        ("Precision and recall", _curves(evaluation)),
        ("Choice of the confidence threshold", _thresholds(record, evaluation)),
        ("What is mistaken for what", _confusion(record, evaluation.matrix)),
        ("Kinds of errors", _errors(record, evaluation.analysis)),
        ("Where it is weak", _slices(evaluation.analysis.slices, evaluation.point)),
        ("Counting", _counting(evaluation)),
        ("Pictures with most errors", evaluation.samples.worst),
        ("Other pictures", evaluation.samples.spread),
        ("Everything that moves these numbers", _record_table(record)),
    ]
    return page(f"Evaluation on split {record.split}", [each for each in sections if each[1]], about=about)


def _headline(record: EvaluationRecord) -> Html:
    metrics, data, nms = record.metrics, record.data, record.nms
    text = (
        f"{data['pictures']:,} pictures, {data['truths']:,} true boxes, {data['ignored']:,} crowds and ignore regions. "
        f"Precision, recall and F1 at confidence {nms['confidence_threshold']:g} and NMS IoU {nms['iou_threshold']:g} "
        f"({nms['kind']}), matched at IoU {record.matching['iou']:g}."
    )
    verdict = record.provenance["verdict"]
    kind = "warning" if verdict in (SEEN, MAY_HAVE_SEEN) else "good" if verdict == NOT_SEEN else ""
    names = ("ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar_small", "ar_medium", "ar_large")
    return Html(
        paragraph(text)
        + tiles([(_label(name), metrics.get(name)) for name in ("ap", "ap50", "ap75", "ar100")])
        + tiles(
            [(_label(name), metrics.get(name)) for name in ("precision", "recall", "f1")]
            + [("false positives per picture", metrics.get("false_positives_per_picture"))]
        )
        + callout(provenance_sentence(record), kind=kind)
        + table([_label(name) for name in names], [[metrics.get(name) for name in names]])
    )


def _label(name: str) -> str:
    """`ap_small` as people write it: AP small."""
    first, *rest = name.split("_")
    return " ".join([first.upper() if first[:2] in ("ap", "ar", "f1") else first, *rest])


def _classes(record: EvaluationRecord, point: OperatingPoint) -> Html:
    headers = ["class", "AP", "AP50", "precision", "recall", "F1", "true boxes", "right", "wrong", "missed"]
    rows: list[list[Cell]] = [
        [
            *(entry[name] for name in ("class_name", "ap", "ap50", "precision", "recall", "f1", "num_truths")),
            *(counts.true_positives, counts.false_positives, counts.false_negatives),
        ]
        for entry, counts in zip(record.per_class, point.per_class, strict=True)
    ]
    if len(rows) > MAX_ROWS:
        rows.sort(key=lambda row: -int(row[6] or 0))
    return _long_table(headers, rows, "")


def _long_table(headers: Sequence[str], rows: Sequence[Sequence[Cell]], caption: str) -> Html:
    """A table whose rows beyond the first `MAX_ROWS` unfold."""
    first, rest = rows[:MAX_ROWS], rows[MAX_ROWS:]
    more = details(f"{len(rest)} more", table(headers, rest)) if rest else ""
    return Html(table(headers, first, caption=caption) + more)


def _curves(evaluation: Evaluation) -> Html:
    title = "Precision over recall at IoU 0.50"
    many = len(evaluation.coco.per_class) > MAX_CURVES
    shown = f"The {MAX_CURVES} classes with most true boxes. " if many else ""
    return Html(
        figure_svg(precision_recall_figure(evaluation.coco), title=title)
        + paragraph(f"{shown}At IoU 0.50; the number is AP50.", quiet=True)
    )


def _thresholds(record: EvaluationRecord, evaluation: Evaluation) -> Html:
    confidence, iou = evaluation.point.confidence_threshold, evaluation.point.iou_threshold
    parts = [
        figure_svg(confidence_figure(evaluation.curve, confidence), title="Precision, recall and F1 over confidence"),
        figure_svg(f1_figure(evaluation.class_curves, evaluation.point), title="F1 of each class over confidence"),
        paragraph(
            "Dots: the best F1 of a class. AP does not depend on the threshold: it is computed from all detections "
            f"above {record.protocol['confidence_floor']:g}.",
            quiet=True,
        ),
    ]
    if evaluation.surface is not None:
        figure = surface_figure(evaluation.surface, confidence, iou)
        parts.append(figure_svg(figure, title="F1 over confidence and NMS IoU threshold"))
        parts.append(paragraph("F1 over both thresholds, from the sweep; the circle is the point in use.", quiet=True))
    return Html("".join(parts))


def _confusion(record: EvaluationRecord, matrix: ConfusionMatrix) -> Html:
    text = (
        f"At confidence {record.nms['confidence_threshold']:g}. Row: what is there; column: what was reported in its "
        "place, regardless of class. Column background: missed; row background: reported where nothing is."
    )
    if len(matrix.labels) - 1 > MAX_CONFUSED:
        text += f" The {MAX_CONFUSED} classes that are mistaken most; record.json has all {len(matrix.labels) - 1}."
    return Html(
        figure_svg(confusion_figure(matrix), title="Confusion matrix with background") + paragraph(text, quiet=True)
    )


def _errors(record: EvaluationRecord, analysis: Analysis) -> Html:
    costs, errors = analysis.costs, analysis.errors
    explained = (
        "Classification: on a box of another class (IoU 0.5 or more). Localisation: on one of its own class, loosely "
        "(0.1 to 0.5). Both: loosely on another class. Duplicate: on a box that a stronger detection has. Background: "
        "on nothing. Missed: no detection meant the box."
    )
    summary = f"Repairing every false positive would add {format_cell(costs.false_positives)} to AP50, finding every "
    summary += (
        f"missed box {format_cell(costs.false_negatives)}; the kinds do not add up, since one repair uncovers another."
    )
    ranked = sorted(range(len(errors.classes)), key=lambda index: -int(errors.counts[:, index].sum()))
    rows: list[list[Cell]] = [["all", *errors.counts.sum(axis=1).tolist()]]
    rows += [[errors.classes[index], *errors.counts[:, index].tolist()] for index in ranked]
    caption = f"errors at confidence {record.nms['confidence_threshold']:g}, by class"
    return Html(
        figure_svg(cost_figure(costs), title="AP50 that each kind of error costs")
        + paragraph(explained + " " + summary, quiet=True)
        + _long_table(["class", *KIND_NAMES], rows, caption)
    )


def _slices(parts: Sequence[SliceMetrics], point: OperatingPoint) -> Html:
    if not parts:
        return Html("")
    headers = [
        "slice of",
        "value",
        "pictures",
        "true boxes",
        "AP",
        "AP50",
        "precision",
        "recall",
        "95 % interval",
        "F1",
    ]
    rows: list[list[Cell]] = [
        [
            *(part.dimension, part.value, part.pictures, part.truths, part.ap, part.ap50, part.precision, part.recall),
            "–" if part.recall_interval is None else f"{part.recall_interval[0]:.3f} to {part.recall_interval[1]:.3f}",
            part.f1,
        ]
        for part in parts
    ]
    left = len(parts) - len(shown_slices(parts))
    text = (
        "The interval is that of recall, over resampled recordings (pictures where there are no recordings to tell "
        "apart); a slice of fewer than five has none. Light is measured. Size, distance, lane and occlusion are "
        "slices of boxes: a detection that matches nothing counts in each of them, so compare their recall."
    )
    if left:
        text += f" {left} slices with few boxes are in the table alone."
    return Html(
        figure_svg(slice_figure(parts, point.recall), title="Recall and AP50 of each slice")
        + paragraph(text, quiet=True)
        + details(f"all {len(parts)} slices in numbers", table(headers, rows, filter_by=("slice of",)))
    )


def _counting(evaluation: Evaluation) -> Html:
    counting = evaluation.analysis.counting
    headers = ["what", "true per picture", "mean error", "mean absolute error", "pictures counted right"]

    def row(each: CountError) -> list[Cell]:
        return [each.name, each.true_per_picture, each.mean, each.mean_absolute, each.exact]

    classes = sorted(counting.per_class, key=lambda each: -(each.true_per_picture or 0))
    parts = [
        figure_svg(count_figure(evaluation.count_differences), title="Counting error of the pictures"),
        _long_table(headers, [row(counting.overall), *map(row, classes)], "reported less true boxes, by class"),
    ]
    if len(counting.per_site) > 1:
        parts.append(_long_table(headers, list(map(row, counting.per_site)), "all classes, by site"))
    return Html("".join(parts))


def _record_table(record: EvaluationRecord) -> Html:
    rows: list[tuple[str, str]] = [("engine", record.engine)]
    for part in ("nms", "matching", "protocol", "data", "provenance", "training", "software"):
        rows.extend(_flat(part, getattr(record, part)))
    return details(f"{len(rows)} settings, hashes and versions", table(["setting", "value"], rows))


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in _flat(f"{name}.{key}", inner)]
    return [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]
