"""The report of a sweep: the choice, the heat-map of F1, and why AP cannot choose a confidence threshold."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.evaluation.nms import NmsOptions
from traffic_yolo.evaluation.operating_point import OperatingPoint
from traffic_yolo.html_report import Cell, Html, figure_svg, page, paragraph, table
from traffic_yolo.tuning.sweep import Sweep


def tuning_report_html(
    result: Sweep,
    chosen: OperatingPoint,
    test: OperatingPoint | None,
    nms: NmsOptions,
    ap_rows: Sequence[tuple[float, float | None, float | None, float]],
) -> str:
    """The page. `ap_rows`: (confidence, AP, AP50, F1) on the validation split, confidence rising."""
    sections = [
        ("", _choice(chosen, test, nms)),
        (
            "F1 on the validation split",
            figure_svg(heat_map(result, chosen), title="F1 over confidence and IoU threshold")
            + paragraph(f"The circle is the choice. {_flatness(result)}", quiet=True),
        ),
        ("Classes at the chosen point", _classes(chosen, test)),
        ("Why not by AP", _ap_section(ap_rows, chosen)),
    ]
    return page("Choice of thresholds", sections)


def heat_map(result: Sweep, chosen: OperatingPoint) -> Figure:
    """F1 over both thresholds, with the chosen point."""
    figure = Figure(figsize=(8, 3.6), layout="tight")
    axes = figure.subplots()
    x, y = _edges(result.confidences), _edges(result.iou_thresholds)
    colours = Normalize(0, max(float(result.f1.max()), 1e-9))
    axes.pcolormesh(x, y, result.f1.T, cmap="viridis", norm=colours, edgecolors="face", linewidth=0.2)
    axes.plot([chosen.confidence_threshold], [chosen.iou_threshold], "o", ms=9, mfc="none", mec="#d55e00", mew=2)
    axes.set(xlabel="confidence threshold", ylabel="NMS IoU threshold")
    # The colour bar as a second mesh: matplotlib's own embeds a PNG.
    bar = axes.inset_axes((1.03, 0, 0.03, 1))
    levels = np.linspace(0, colours.vmax or 1, 41)
    bar.pcolormesh([0, 1], levels, (levels[:-1, None] + levels[1:, None]) / 2, cmap="viridis", norm=colours)
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_title("F1", fontsize=9)
    return figure


def _choice(chosen: OperatingPoint, test: OperatingPoint | None, nms: NmsOptions) -> Html:
    text = (
        f"confidence_threshold {chosen.confidence_threshold:g} and iou_threshold {chosen.iou_threshold:g} ({nms.kind} "
        f"NMS, at most {nms.max_detections} detections a picture) give the best F1 on the validation split. The test "
        "split had no part in the choice."
    )
    headers = ["split", "pictures", "precision", "recall", "F1", "right", "wrong", "missed", "wrong per picture"]
    rows: list[list[Cell]] = [
        [
            *(split, point.num_pictures, point.precision, point.recall, point.f1),
            *(point.true_positives, point.false_positives, point.false_negatives, point.false_positives_per_picture),
        ]
        for split, point in (("val (chosen on)", chosen), ("test", test))
        if point is not None
    ]
    return Html(paragraph(text) + table(headers, rows))


def _classes(chosen: OperatingPoint, test: OperatingPoint | None) -> Html:
    headers = ["class", "precision", "recall", "F1", "right", "wrong", "missed"]
    parts = []
    for split, point in (("val", chosen), ("test", test)):
        if point is not None:
            rows: list[list[Cell]] = [
                [
                    *(counts.class_name, counts.precision, counts.recall, counts.f1),
                    *(counts.true_positives, counts.false_positives, counts.false_negatives),
                ]
                for counts in point.per_class
            ]
            parts.append(table(headers, rows, caption=f"split {split}"))
    return Html("".join(parts))


def _ap_section(ap_rows: Sequence[tuple[float, float | None, float | None, float]], chosen: OperatingPoint) -> Html:
    lowest = ap_rows[0]
    at_choice = next(row for row in ap_rows if row[0] == chosen.confidence_threshold)
    text = (
        "AP never falls when the confidence threshold falls: weaker detections only lengthen the precision/recall "
        "curve on its right, however many of them are wrong. So AP alone would always choose the lowest threshold: "
        f"here {lowest[0]:g}, with AP {_shown(lowest[1])} and F1 {lowest[3]:.4f}, against AP {_shown(at_choice[1])} "
        f"and F1 {at_choice[3]:.4f} at the chosen {at_choice[0]:g}."
    )
    caption = f"validation split, NMS IoU {chosen.iou_threshold:g}"
    return Html(paragraph(text) + table(["confidence", "AP", "AP50", "F1"], ap_rows, caption=caption))


def _flatness(result: Sweep) -> str:
    """How much of the grid is as good as the best, to a hundredth: a flat top means the choice hardly matters."""
    f1 = result.f1
    near = f1 >= f1.max() - 0.01
    confidences = np.array(result.confidences)[near.any(axis=1)]
    return (
        f"F1 stays within 0.01 of its best for {int(near.sum())} of {near.size} cells, confidence "
        f"{confidences.min():g} to {confidences.max():g}."
    )


def _edges(values: Sequence[float]) -> NDArray[np.float64]:
    """Edges between the values of a grid, (n + 1,)."""
    centres = np.array(values, np.float64)
    if len(centres) == 1:
        return np.array([centres[0] - 0.005, centres[0] + 0.005])
    middle = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
