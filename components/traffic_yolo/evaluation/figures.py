"""The curves of an evaluation report and the surface of its thresholds, drawn with matplotlib."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.evaluation.threshold_surface import ThresholdSurface
from traffic_yolo.html_report import draw_cells
from traffic_yolo.metrics.coco import CocoMetrics
from traffic_yolo.metrics.operating_point import Curve, OperatingPoint

# Okabe and Ito's palette without its black: told apart by colour-blind readers, readable on white and on black.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#a8a032")
MAX_CURVES = 10
LEGEND: dict[str, Any] = {
    "fontsize": 8,
    "loc": "upper left",
    "bbox_to_anchor": (1.01, 1),
    "borderaxespad": 0,
    "frameon": False,
}


def precision_recall_figure(metrics: CocoMetrics) -> Figure:
    """Precision over recall at IoU 0.50: the mean over classes, and the classes with most truth."""
    figure, axes = unit_plot("recall", "precision")
    recalls = np.linspace(0, 1, metrics.precision.shape[1])
    at_50 = metrics.precision[0]  # (R, K)
    counts = [entry.num_truths for entry in metrics.per_class]
    for place, index in enumerate(busiest(counts)):
        entry = metrics.per_class[index]
        axes.plot(recalls, at_50[:, index], **_line(place), label=f"{_short(entry.class_name)} {entry.ap50:.3f}")
    defined = [index for index, count in enumerate(counts) if count]
    if defined:
        axes.plot(recalls, at_50[:, defined].mean(axis=1), color="#000000", lw=2, label=f"mean {metrics.ap50:.3f}")
        axes.legend(**LEGEND)
    return figure


def confidence_figure(curve: Curve, confidence_threshold: float) -> Figure:
    """Precision, recall and F1 of all classes over the confidence threshold, with the one in use."""
    figure, axes = unit_plot("confidence threshold", "")
    reported = (curve.precision > 0) | (curve.recall > 0)  # above the highest score there is no precision to draw
    drawn: Sequence[tuple[NDArray[np.float64], str, str]] = (
        (np.where(reported, curve.precision, np.nan), COLOURS[0], "precision"),
        (curve.recall, COLOURS[1], "recall"),
        (curve.f1, COLOURS[2], "F1"),
    )
    for values, colour, label in drawn:
        axes.plot(curve.confidences, values, color=colour, label=label)
    _mark(axes, confidence_threshold)
    return figure


def f1_figure(curves: Sequence[Curve], point: OperatingPoint) -> Figure:
    """F1 of each class over the confidence threshold, `curves` one for each class; those with most truth."""
    figure, axes = unit_plot("confidence threshold", "F1")
    counts = [each.true_positives + each.false_negatives for each in point.per_class]
    for place, index in enumerate(busiest(counts)):
        curve = curves[index]
        best = int(np.argmax(curve.f1))
        name = _short(point.per_class[index].class_name)
        label = f"{name}: {curve.f1[best]:.2f} at {curve.confidences[best]:.2f}"
        axes.plot(curve.confidences, curve.f1, **_line(place), label=label)
        axes.plot(curve.confidences[best], curve.f1[best], "o", ms=4, color=COLOURS[place % len(COLOURS)])
    _mark(axes, point.confidence_threshold)
    return figure


def surface_figure(surface: ThresholdSurface, confidence_threshold: float, iou_threshold: float) -> Figure:
    """F1 over both thresholds, with the point in use."""
    figure = Figure(figsize=(8, 3.6))
    figure.subplots_adjust(left=0.08, right=0.9, bottom=0.14, top=0.92)
    axes = figure.subplots()
    x, y = cell_edges(surface.confidences), cell_edges(surface.iou_thresholds)
    top = float(np.nanmax(surface.f1)) if np.isfinite(surface.f1).any() else 0.0
    colours = Normalize(0, max(top, 1e-9))
    shown = np.ma.masked_invalid(surface.f1.T)
    draw_cells(axes, x, y, shown, "viridis", colours)
    axes.plot([confidence_threshold], [iou_threshold], "o", ms=9, mfc="none", mec="#d55e00", mew=2, clip_on=False)
    axes.set(xlabel="confidence threshold", ylabel="NMS IoU threshold")
    # The colour bar as cells too: matplotlib's own embeds a PNG.
    bar = axes.inset_axes((1.03, 0, 0.03, 1))
    levels = np.linspace(0, colours.vmax or 1, 41)
    draw_cells(bar, np.array([0.0, 1.0]), levels, (levels[:-1, None] + levels[1:, None]) / 2, "viridis", colours)
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_title("F1", fontsize=9)
    return figure


def busiest(counts: Sequence[int]) -> list[int]:
    """Indices of up to `MAX_CURVES` classes with truth, those with most first."""
    defined = [index for index, count in enumerate(counts) if count]
    return sorted(defined, key=lambda index: (-counts[index], index))[:MAX_CURVES]


def cell_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges between the rising values of a grid, (n + 1,)."""
    if len(values) == 1:
        return np.array([values[0] - 0.005, values[0] + 0.005])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def unit_plot(x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """Axes from 0 to 1 with room for a legend on the right."""
    figure = Figure(figsize=(7.8, 3.6))
    figure.subplots_adjust(left=0.09, right=0.69, bottom=0.15, top=0.96)
    axes = figure.subplots()
    axes.set(xlabel=x_label, ylabel=y_label, xlim=(0, 1), ylim=(0, 1.02))
    axes.grid(color="#888888", alpha=0.35, linewidth=0.5)
    return figure, axes


def _mark(axes: Axes, confidence_threshold: float) -> None:
    axes.axvline(confidence_threshold, color="#000000", lw=1, ls=":", label=f"in use: {confidence_threshold:g}")
    axes.legend(**LEGEND)


def _line(place: int) -> dict[str, Any]:
    return {"ls": "-" if place < len(COLOURS) else "--", "color": COLOURS[place % len(COLOURS)], "lw": 1.2}


def _short(name: str) -> str:
    """A class name that leaves room for its numbers in the legend."""
    return name if len(name) <= 18 else f"{name[:17]}…"
