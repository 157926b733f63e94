"""Curves of a run: loss and its parts, learning rate, and the metrics on val with the untouched start as a line.

Takes rows of any type that has `iteration`; of the other names it draws those that are there. A run of any length
makes a picture of the same size: many updates become means of as many bins.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.html_report import Html, figure_svg, log_scale, log_ticks

LOSS_PARTS = {"box": "#0072b2", "objectness": "#d55e00", "classes": "#009e73", "distillation": "#cc79a7"}
# What a history may call each metric -> what the axis says, and its colour (Okabe and Ito's palette)
METRICS = {
    "ap50": ("mAP50", "#009e73"),
    "map50": ("mAP50", "#009e73"),
    "ap": ("mAP", "#0072b2"),
    "map": ("mAP", "#0072b2"),
    "f1": ("F1", "#cc79a7"),
}
# Beside the panel: on it, it would lie on curves
LEGEND: dict[str, Any] = {
    "fontsize": "small",
    "loc": "upper left",
    "bbox_to_anchor": (1.01, 1),
    "borderaxespad": 0,
    "frameon": False,
}
MOST_POINTS = 500  # of a curve; a screen has not many more
LOG_FROM = 20.0  # largest over smallest value from which an axis is logarithmic
LEAST_METRIC_SPAN = 0.05  # of the metric axis: less would make noise look like a trend

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """A curve: `iterations` (n,) rising, `values` (n,) finite."""

    iterations: FloatArray
    values: FloatArray

    def binned(self) -> "Series":
        """At most `MOST_POINTS` points, each the mean of a bin of updates."""
        if len(self.values) <= MOST_POINTS:
            return self
        bins = np.arange(len(self.values)) * MOST_POINTS // len(self.values)
        counts = np.bincount(bins)
        return Series(np.bincount(bins, self.iterations) / counts, np.bincount(bins, self.values) / counts)


def series(rows: Sequence[Any], name: str) -> Series:
    """The finite numbers that rows have under a name; empty where they have none."""
    found = [(row.iteration, value) for row in rows if (value := getattr(row, name, None)) is not None]
    pairs = np.array([pair for pair in found if math.isfinite(pair[1])], np.float64).reshape(-1, 2)
    return Series(pairs[:, 0], pairs[:, 1])


def curves_figure(
    rows: Sequence[Any], *, baseline: Mapping[str, float] | None = None, best_iteration: int | None = None
) -> Figure:
    """Panels over the iterations, each with an axis that fits what is in it; those without numbers are left out.

    `baseline`: metrics of the untouched start by the names of the rows; by default those of the row of iteration 0,
    where there is one. `best_iteration` is marked.
    """
    start = [row for row in rows if row.iteration == 0]
    if baseline is None and start:
        baseline = {name: series(start, name).values[0] for name in METRICS if len(series(start, name).values)}
    updates = [row for row in rows if row.iteration > 0]
    drawn = {name: series(rows if name in METRICS else updates, name) for name in (*_NAMES, *METRICS)}
    panels = [
        ("loss per picture", 3, {"loss": drawn["loss"]}),
        ("parts of the loss", 3, {name: drawn[name] for name in LOSS_PARTS}),
        ("on val", 3, {name: drawn[name] for name in METRICS}),
        ("learning rate", 1.5, {"learning_rate": drawn["learning_rate"]}),
        ("images/s", 1.5, {"images_per_s": drawn["images_per_s"]}),
    ]
    panels = [panel for panel in panels if any(len(one.values) for one in panel[2].values())]
    height = 0.9 + sum(0.75 * panel[1] for panel in panels)
    figure = Figure(figsize=(9, height))
    if not panels:
        return figure
    figure.subplots_adjust(left=0.09, right=0.78, bottom=0.5 / height, top=1 - 0.15 / height, hspace=0.12)
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=[panel[1] for panel in panels])
    for axes, (label, _, curves) in zip(all_axes[:, 0], panels, strict=True):
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        if label == "on val":
            _draw_metrics(axes, curves, baseline or {})
        else:
            _draw(axes, curves)
        if best_iteration is not None:
            axes.axvline(best_iteration, color="#888888", linewidth=0.8, linestyle=":")
    all_axes[-1, 0].set_xlabel("iteration" if best_iteration is None else "iteration (dotted: the best)")
    return figure


def curves_svg(
    rows: Sequence[Any], *, baseline: Mapping[str, float] | None = None, best_iteration: int | None = None
) -> Html:
    """`curves_figure` as a page takes it; empty without anything to draw. Equal rows give equal text."""
    figure = curves_figure(rows, baseline=baseline, best_iteration=best_iteration)
    return figure_svg(figure, title="Curves of the training") if figure.axes else Html("")


_NAMES = ("loss", *LOSS_PARTS, "learning_rate", "images_per_s")


def _draw(axes: Axes, curves: Mapping[str, Series]) -> None:
    """Curves on an axis from 0, or a logarithmic one where they differ by more than `LOG_FROM`."""
    shown = {name: one.binned() for name, one in curves.items() if len(one.values)}
    everything = np.concatenate([one.values for one in shown.values()])
    positive = everything[everything > 0]
    logarithmic = len(positive) > 0 and bool(positive.max() > LOG_FROM * positive.min())
    for name, one in shown.items():
        # A part that is 0 (one class has no class loss to speak of) has no place on a logarithmic axis
        values = np.where(one.values > 0, one.values, np.nan) if logarithmic else one.values
        axes.plot(one.iterations, values, label=name, color=LOSS_PARTS.get(name, "#555555"), linewidth=1.2)
    if logarithmic:
        low, high = float(positive.min()) / 1.2, float(positive.max()) * 1.2
        axes.set_ylim(low, high)
        log_scale(axes.yaxis, log_ticks(low, high))
        axes.set_ylim(low, high)
    else:
        axes.set_ylim(min(0.0, 1.05 * everything.min()), max(1.05 * everything.max(), 1e-12))
    if len(shown) > 1:
        axes.legend(**LEGEND)


def _draw_metrics(axes: Axes, curves: Mapping[str, Series], baseline: Mapping[str, float]) -> None:
    """Metrics with a point for each validation, and a broken line where the start stands."""
    seen = []
    for name, one in curves.items():
        if not len(one.values):
            continue
        label, colour = METRICS[name]
        shown = one.binned()
        axes.plot(shown.iterations, shown.values, "o-", label=label, color=colour, markersize=3, linewidth=1.2)
        seen.append(shown.values)
        if name in baseline and math.isfinite(baseline[name]):
            start = float(baseline[name])
            axes.axhline(start, color=colour, linewidth=1, linestyle="--", label=f"{label} of the start, {start:.3f}")
            seen.append(np.array([start]))
    values = np.concatenate(seen)
    middle, span = (values.max() + values.min()) / 2, max(1.2 * (values.max() - values.min()), LEAST_METRIC_SPAN)
    axes.set_ylim(max(0.0, middle - span / 2) - 0.002, min(1.0, middle + span / 2) + 0.002)
    axes.legend(**LEGEND)
