"""The figures of an evaluation report about errors: confusion, costs of the kinds, slices, counting."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from traffic_yolo.evaluation.error_split import KIND_NAMES, ErrorCosts
from traffic_yolo.evaluation.figures import COLOURS
from traffic_yolo.evaluation.slice_metrics import SliceMetrics
from traffic_yolo.metrics.operating_point import ConfusionMatrix

MAX_CONFUSED = 20  # classes in the matrix; a cell of an 80-class one would be a few pixels wide
MAX_VALUES = 12  # of a dimension of slices
DARK_TEXT, LIGHT_TEXT = "#111111", "#fefefe"  # black and white would follow the page's mode
FRAME = "#888888"


def confusion_figure(matrix: ConfusionMatrix) -> Figure:
    """Truth by row, report by column; colour is the share of the row, the number is the count.

    Of more than `MAX_CONFUSED` classes, those that are mistaken for one another most, and background.
    """
    chosen = most_confused(matrix.counts)
    counts, labels = matrix.counts[np.ix_(chosen, chosen)], [matrix.labels[index] for index in chosen]
    count = len(labels)
    size = min(9.0, 2.0 + 0.5 * count)
    figure = Figure(figsize=(size + 1.2, size), layout="tight")
    axes = figure.subplots()
    sums = matrix.counts.sum(axis=1, keepdims=True)[chosen]
    shares = np.divide(counts, sums, out=np.zeros(counts.shape), where=sums > 0)
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors=FRAME, linewidth=0.3)
    axes.invert_yaxis()
    for row, column in np.argwhere(counts > 0).tolist():
        colour = LIGHT_TEXT if shares[row, column] > 0.5 else DARK_TEXT
        number = str(counts[row, column])
        axes.text(column + 0.5, row + 0.5, number, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(np.arange(count) + 0.5, labels, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(np.arange(count) + 0.5, labels, fontsize=8)
    axes.set_xlabel("reported")
    axes.set_ylabel("truth")
    return figure


def most_confused(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the classes to show, in their order, and background last."""
    classes = len(counts) - 1
    if classes <= MAX_CONFUSED:
        return np.arange(classes + 1)
    mistaken = counts[:classes, :classes].copy()
    np.fill_diagonal(mistaken, 0)
    errors = mistaken.sum(axis=0) + mistaken.sum(axis=1)
    ranked = np.lexsort((-counts[:classes].sum(axis=1), -errors))[:MAX_CONFUSED]
    return np.append(np.sort(ranked), classes)


def cost_figure(costs: ErrorCosts) -> Figure:
    """A bar for each kind of error: what its repair alone adds to AP50."""
    figure = Figure(figsize=(7.8, 2.6))
    figure.subplots_adjust(left=0.16, right=0.94, bottom=0.19, top=0.97)
    axes = figure.subplots()
    values = [costs.by_kind[name] or 0.0 for name in KIND_NAMES]
    places = np.arange(len(KIND_NAMES))
    axes.barh(places, values, color=COLOURS[: len(KIND_NAMES)], height=0.7)
    for place, name in enumerate(KIND_NAMES):
        value = costs.by_kind[name]
        text = "undefined" if value is None else f" {value:.3f}"
        axes.text(max(values[place], 0), place, text, va="center", fontsize=8)
    axes.set_yticks(places, KIND_NAMES, fontsize=9)
    axes.invert_yaxis()
    axes.set_xlim(0, max(*values, 0.01) * 1.12)
    axes.set_xlabel("AP50 gained by repairing this kind alone")
    axes.grid(axis="x", color=FRAME, alpha=0.35, linewidth=0.5)
    return figure


def slice_figure(parts: Sequence[SliceMetrics], overall_recall: float) -> Figure:
    """Recall of each slice with its interval, dimension by dimension, and AP50 as a hollow mark."""
    shown = [part for part in shown_slices(parts) if part.recall is not None]
    dimensions = list(dict.fromkeys(part.dimension for part in shown))
    lines = len(shown) + len(dimensions)
    figure = Figure(figsize=(7.8, 0.75 + 0.235 * lines))
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.27, right=0.8, bottom=0.5 / height, top=1 - 0.08 / height)
    axes = figure.subplots()
    names, y = [], 0
    for dimension in dimensions:
        names.append((y, dimension, True))
        y += 1
        for part in (each for each in shown if each.dimension == dimension):
            if part.recall_interval:
                axes.plot(part.recall_interval, [y, y], color=COLOURS[0], lw=1.6)
            axes.plot([part.recall or 0], [y], "o", ms=5, color=COLOURS[0])
            axes.plot([part.ap50 or 0], [y], "D", ms=5, mfc="none", mec=COLOURS[5])
            axes.text(1.02, y, f"{part.truths} box{'es' * (part.truths != 1)}", va="center", fontsize=8)
            names.append((y, part.value, False))
            y += 1
    axes.axvline(overall_recall, color="#000000", lw=0.8, ls=":")
    axes.set(xlim=(0, 1), ylim=(y - 0.4, -0.8), xlabel="● recall with 95 % interval   ◇ AP50   ┄ recall overall")
    axes.set_yticks([place for place, _, _ in names], [name for _, name, _ in names], fontsize=8)
    for label, (_, _, is_heading) in zip(axes.get_yticklabels(), names, strict=True):
        label.set_fontweight("bold" if is_heading else "normal")
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FRAME, alpha=0.35, linewidth=0.5)
    return figure


def shown_slices(parts: Sequence[SliceMetrics]) -> list[SliceMetrics]:
    """At most `MAX_VALUES` of each dimension: those with most true boxes, in their order."""
    kept: list[SliceMetrics] = []
    for dimension in dict.fromkeys(part.dimension for part in parts):
        mine = [part for part in parts if part.dimension == dimension]
        most = sorted(mine, key=lambda part: -part.truths)[:MAX_VALUES]
        kept += [part for part in mine if part in most]
    return kept


def count_figure(differences: NDArray[np.int64]) -> Figure:
    """How many pictures are counted wrong by how much; `differences` (M,): reported less true."""
    figure = Figure(figsize=(7.8, 2.4))
    figure.subplots_adjust(left=0.09, right=0.94, bottom=0.2, top=0.96)
    axes = figure.subplots()
    steps = np.arange(min(differences.min(initial=0), -3), max(differences.max(initial=0), 3) + 1)
    counts, _ = np.histogram(differences, np.append(steps, steps[-1] + 1) - 0.5)
    axes.bar(steps, counts, width=0.9, color=np.where(steps == 0, COLOURS[2], COLOURS[0]))
    axes.set(xlabel="reported less true boxes in a picture (green: right)", ylabel="pictures")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color=FRAME, alpha=0.35, linewidth=0.5)
    return figure
