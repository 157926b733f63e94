"""The report of a sweep: the choice, the surface of the objective, and why AP cannot choose a confidence threshold."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.html_report import Cell, Html, draw_cells, figure_svg, page, paragraph, table
from traffic_yolo.metrics.objective import OBJECTIVES, OF_RANKING
from traffic_yolo.metrics.operating_point import OperatingPoint
from traffic_yolo.page_origin import About
from traffic_yolo.tuning.search import ApRow, Found, Part, best_cell, objective_values

INTERVAL_NAMES = ("precision", "recall", "f1", "ap", "ap50")


def tuning_report_html(found: Found, parts: Sequence[Part], ap_rows: Sequence[ApRow], about: About) -> str:
    """The page. The first of `parts` is the split of the choice; `ap_rows` are of it, confidence rising.

    `about`: the model, the data set, the detections.
    """
    objective = found.options.objective
    sections = [
        ("", _choice(found, parts)),
        (
            f"{_title(objective.objective)} on split {parts[0].split}",
            figure_svg(heat_map(found), title=f"{_title(objective.objective)} over confidence and IoU threshold")
            + paragraph(f"The circle is the choice. {_flatness(found)}", quiet=True),
        ),
        ("Intervals", _intervals(parts)),
        *([("Kinds and limits", _kinds(found))] if len(found.sweeps) > 1 else []),
        ("Classes at the chosen point", _classes(found, parts)),
        ("Why not by AP", _ap_section(ap_rows, found)),
    ]
    return page("Choice of thresholds", sections, about=about)


def heat_map(found: Found) -> Figure:
    """The objective over both thresholds, with the chosen point; a cell that is no choice stays white."""
    result, objective = found.sweeps[found.best], found.options.objective
    values = objective_values(result, objective)
    figure = Figure(figsize=(8, 3.6))
    figure.subplots_adjust(left=0.08, right=0.9, bottom=0.14, top=0.88)
    axes = figure.subplots()
    x, y = _edges(result.confidences), _edges(result.iou_thresholds)
    lowest = 0.0 if objective.is_maximised else float(np.nanmin(values))
    colours = Normalize(lowest, max(float(np.nanmax(values)), lowest + 1e-9))
    palette = "viridis" if objective.is_maximised else "viridis_r"  # yellow is good
    draw_cells(axes, x, y, np.ma.masked_invalid(values.T), palette, colours)
    nms = found.nms
    axes.plot([nms.confidence_threshold], [nms.iou_threshold], "o", ms=9, mfc="none", mec="#d55e00", mew=2)
    axes.set(xlabel="confidence threshold", ylabel="NMS IoU threshold")
    # The colour bar as cells too: matplotlib's own embeds a PNG.
    bar = axes.inset_axes((1.03, 0, 0.03, 1))
    levels = np.linspace(lowest, colours.vmax or 1, 41)
    draw_cells(bar, np.array([0.0, 1.0]), levels, (levels[:-1, None] + levels[1:, None]) / 2, palette, colours)
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.set_title(_title(objective.objective), fontsize=9)
    return figure


def _title(objective: str) -> str:
    return {"f1": "F1", "map": "AP", "map50": "AP50", "recall_at_fppi": "recall", "cost": "cost"}[objective]


def _choice(found: Found, parts: Sequence[Part]) -> Html:
    nms, objective, first = found.nms, found.options.objective, parts[0]
    text = (
        f"confidence_threshold {nms.confidence_threshold:g} and iou_threshold {nms.iou_threshold:g} ({nms.kind} NMS, "
        f"at most {nms.max_detections} detections a picture) give the best {OBJECTIVES[objective.objective]} on split "
        f"{first.split}."
    )
    if objective.objective == "recall_at_fppi":
        text += f" At most {objective.false_positives_per_picture:g} false positives a picture are borne."
    if objective.objective == "cost":
        text += f" A miss costs {objective.miss_cost:g}, a false alarm {objective.false_alarm_cost:g}"
        own = [f"{name} {miss:g} and {false:g}" for name, (miss, false) in objective.class_costs.items()]
        text += f" ({'; '.join(own)})." if own else "."
    if objective.objective in OF_RANKING:
        text += " AP says nothing about the confidence threshold: it is the highest at which AP is still the best."
    if len(parts) > 1:
        text += f" The {parts[1].split} split had no part in the choice."
    headers = ["split", "pictures", "precision", "recall", "F1", "right", "wrong", "missed", "wrong per picture"]
    rows: list[list[Cell]] = []
    for index, part in enumerate(parts):
        point = part.point
        label = f"{part.split} (chosen on)" if index == 0 else part.split
        rows.append(
            [
                *(label, point.num_pictures, point.precision, point.recall, point.f1),
                *(
                    point.true_positives,
                    point.false_positives,
                    point.false_negatives,
                    point.false_positives_per_picture,
                ),
            ]
        )
    return Html(paragraph(text) + table(headers, rows))


def _intervals(parts: Sequence[Part]) -> Html:
    rows: list[list[Cell]] = []
    for part in parts:
        for name in INTERVAL_NAMES:
            if name in part.intervals:
                each = part.intervals[name]
                rows.append([part.split, name if name[0] in "pr" else name.upper(), each.value, each.low, each.high])
    notes = [f"Split {part.split}: {part.groups.count} {part.groups.of}s resampled." for part in parts]
    notes += [f"Note: {note}" for note in dict.fromkeys(part.groups.note for part in parts) if note]
    notes.append("A choice flatters the pictures that it was made on: their numbers are a little too good.")
    return Html(
        table(["split", "number", "value", "low", "high"], rows, caption="95 % intervals")
        + paragraph(" ".join(notes), quiet=True)
    )


def _kinds(found: Found) -> Html:
    rows: list[list[Cell]] = []
    for each in found.sweeps:
        values = objective_values(each, found.options.objective)
        if np.isnan(values).all():
            rows.append([each.nms.kind, each.nms.max_detections, None, None, None])
            continue
        row, column = best_cell(values, found.options.objective)
        thresholds = each.confidences[row], each.iou_thresholds[column]
        rows.append([each.nms.kind, each.nms.max_detections, *thresholds, float(values[row, column])])
    headers = [
        "NMS kind",
        "detections a picture",
        "confidence",
        "IoU threshold",
        _title(found.options.objective.objective),
    ]
    return table(headers, rows, caption="the best of each")


def _classes(found: Found, parts: Sequence[Part]) -> Html:
    headers = ["class", "threshold", "precision", "recall", "F1", "right", "wrong", "missed"]
    shown = []
    for part in parts:
        thresholds = _thresholds(part.point)
        rows: list[list[Cell]] = [
            [
                *(counts.class_name, threshold, counts.precision, counts.recall, counts.f1),
                *(counts.true_positives, counts.false_positives, counts.false_negatives),
            ]
            for counts, threshold in zip(part.point.per_class, thresholds, strict=True)
        ]
        shown.append(table(headers, rows, caption=f"split {part.split}"))
    if found.point.class_thresholds:
        shown.append(
            paragraph(
                f"A class of fewer than {found.options.least_truths} true boxes keeps the shared threshold. One "
                f"threshold for all classes gives F1 {found.shared_point.f1:.4f} on split {parts[0].split}.",
                quiet=True,
            )
        )
    return Html("".join(shown))


def _thresholds(point: OperatingPoint) -> Sequence[float]:
    return point.class_thresholds or [point.confidence_threshold] * len(point.per_class)


def _ap_section(ap_rows: Sequence[ApRow], found: Found) -> Html:
    lowest = ap_rows[0]
    at_choice = next(row for row in ap_rows if row.confidence == found.nms.confidence_threshold)
    text = (
        "AP never falls when the confidence threshold falls: weaker detections only lengthen the precision/recall "
        "curve on its right, however many of them are wrong. So AP alone would always choose the lowest threshold: "
        f"here {lowest.confidence:g}, with AP {lowest.ap:.4f} and F1 {lowest.f1:.4f}, against AP {at_choice.ap:.4f} "
        f"and F1 {at_choice.f1:.4f} at the chosen {at_choice.confidence:g}."
    )
    caption = f"the split of the choice, NMS IoU {found.nms.iou_threshold:g}"
    return Html(
        paragraph(text) + table(["confidence", "AP", "AP50", "F1"], [list(row) for row in ap_rows], caption=caption)
    )


def _flatness(found: Found) -> str:
    """How much of the grid is as good as the best, to a hundredth: a flat top means the choice hardly matters."""
    result, objective = found.sweeps[found.best], found.options.objective
    values = objective_values(result, objective)
    best = np.nanmax(values) if objective.is_maximised else np.nanmin(values)
    near = np.abs(np.nan_to_num(values, nan=np.inf) - best) <= 0.01
    confidences = np.array(result.confidences)[near.any(axis=1)]
    return (
        f"{_title(objective.objective)} stays within 0.01 of its best for {int(near.sum())} of {near.size} cells, "
        f"confidence {confidences.min():g} to {confidences.max():g}."
    )


def _edges(values: Sequence[float]) -> NDArray[np.float64]:
    """Edges between the values of a grid, (n + 1,)."""
    centres = np.array(values, np.float64)
    if len(centres) == 1:
        return np.array([centres[0] - 0.005, centres[0] + 0.005])
    middle = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])
