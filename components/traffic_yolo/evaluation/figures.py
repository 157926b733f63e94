"""The figures of an evaluation report: curves and the confusion matrix, drawn with matplotlib."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.evaluation.coco import CocoMetrics
from traffic_yolo.evaluation.operating_point import ConfusionMatrix, Curve

# Okabe and Ito's palette without its black: told apart by colour-blind readers, readable on white and on black.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#a8a032")
MAX_CURVES = 10
MAX_LABELLED_CLASSES = 15
DARK_TEXT, LIGHT_TEXT = "#111111", "#fefefe"  # black and white would follow the page's mode


def precision_recall_figure(metrics: CocoMetrics) -> Figure:
    """Precision over recall at IoU 0.50: the mean over classes, and the classes with most truth."""
    figure, axes = _plot("recall", "precision")
    recalls = np.linspace(0, 1, metrics.precision.shape[1])
    at_50 = metrics.precision[0]  # (R, K)
    defined = [index for index, entry in enumerate(metrics.per_class) if entry.num_truths]
    busiest = sorted(defined, key=lambda index: (-metrics.per_class[index].num_truths, index))[:MAX_CURVES]
    for place, index in enumerate(busiest):
        entry = metrics.per_class[index]
        label = f"{entry.class_name} {entry.ap50:.3f}"
        dashes = "-" if place < len(COLOURS) else "--"
        axes.plot(recalls, at_50[:, index], dashes, color=COLOURS[place % len(COLOURS)], lw=1.2, label=label)
    if defined:
        axes.plot(recalls, at_50[:, defined].mean(axis=1), color="#000000", lw=2, label=f"mean {metrics.ap50:.3f}")
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False)
    return figure


def confidence_figure(curve: Curve, confidence_threshold: float) -> Figure:
    """Precision, recall and F1 over the confidence threshold, with the one in use."""
    figure, axes = _plot("confidence threshold", "")
    drawn: Sequence[tuple[NDArray[np.float64], str, str]] = (
        (curve.precision, COLOURS[0], "precision"),
        (curve.recall, COLOURS[1], "recall"),
        (curve.f1, COLOURS[2], "F1"),
    )
    for values, colour, label in drawn:
        axes.plot(curve.confidences, values, color=colour, label=label)
    axes.axvline(confidence_threshold, color="#000000", lw=1, ls=":", label=f"in use: {confidence_threshold:g}")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False)
    return figure


def confusion_figure(matrix: ConfusionMatrix) -> Figure:
    """Truth by row, report by column; colour is the share of the row, the number is the count."""
    count = len(matrix.labels)
    size = min(10.0, 2.2 + 0.55 * count)
    figure = Figure(figsize=(size + 1, size), layout="tight")
    axes = figure.subplots()
    sums = matrix.counts.sum(axis=1, keepdims=True)
    shares = np.divide(matrix.counts, sums, out=np.zeros(matrix.counts.shape), where=sums > 0)
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="#888888", linewidth=0.3)
    axes.invert_yaxis()
    if count <= MAX_LABELLED_CLASSES + 1:
        for row in range(count):
            for column in range(count):
                colour = LIGHT_TEXT if shares[row, column] > 0.5 else DARK_TEXT
                number = str(matrix.counts[row, column])
                axes.text(column + 0.5, row + 0.5, number, ha="center", va="center", fontsize=8, color=colour)
        axes.set_xticks(np.arange(count) + 0.5, matrix.labels, rotation=45, ha="right", fontsize=8)
        axes.set_yticks(np.arange(count) + 0.5, matrix.labels, fontsize=8)
    axes.set_xlabel("reported")
    axes.set_ylabel("truth")
    return figure


def _plot(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """Axes from 0 to 1 with room for a legend on the right."""
    figure = Figure(figsize=(7.5, 3.6))
    figure.subplots_adjust(left=0.09, right=0.72, bottom=0.15, top=0.96)
    axes = figure.subplots()
    axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(color="#888888", alpha=0.35, linewidth=0.5)
    return figure, axes
