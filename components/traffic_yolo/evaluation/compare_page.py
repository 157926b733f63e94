"""A comparison of two models as a page: every number of both, how sure its difference is, and what else differs."""

import math
from pathlib import Path

from matplotlib.figure import Figure

from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.evaluation.compare import Comparison
from traffic_yolo.evaluation.error_figures import FRAME
from traffic_yolo.evaluation.figures import COLOURS
from traffic_yolo.evaluation.record import RECORD_NAME, EvaluationRecord
from traffic_yolo.html_report import Html, badge, callout, figure_svg, format_cell, page, paragraph, table
from traffic_yolo.metrics.bootstrap import CONFIDENCE
from traffic_yolo.metrics.paired import BETTER, WORSE, Difference
from traffic_yolo.page_origin import About, Subject, folder_subject
from traffic_yolo.storage import AnyPath, input_path, output_path, write_text

VERDICT_KINDS = {BETTER: "good", WORSE: "error"}  # of a badge; a verdict that is neither has no colour
VERDICT_COLOURS = {BETTER: COLOURS[2], WORSE: COLOURS[5]}


def write_comparison(file: AnyPath, comparison: Comparison, first: AnyPath, second: AnyPath, dataset: AnyPath) -> Path:
    """Writes the page of a comparison to `file`, linked to both evaluations and the data set. Returns its path."""
    target = output_path(file)
    folders = [input_path(folder, what="evaluation") for folder in (first, second)]
    weights = [str(EvaluationRecord.read(folder / RECORD_NAME).protocol["weights_sha256"]) for folder in folders]
    evaluations = [
        folder_subject(what, folder, digest, target.parent)
        for what, folder, digest in zip(("first", "second"), folders, weights, strict=True)
    ]
    subjects = (*evaluations, DataSet.open(dataset).subject(target.parent), Subject("split", comparison.split))
    write_text(target, comparison_html(comparison, About(subjects, target.parent)))
    return target


def comparison_html(comparison: Comparison, about: About) -> str:
    """The comparison as one self-contained page; `about`: both evaluations and the data set."""
    sections = [
        ("Is the second better?", comparison_body(comparison)),
        ("What else they differ in", _differing(comparison)),
    ]
    return page("Two models compared", sections, about=about)


def comparison_body(comparison: Comparison, names: tuple[str, str] = ("first", "second")) -> Html:
    """Every number of both models, called `names`, with the interval of its difference: a picture and a table."""
    confidence = f"{100 * CONFIDENCE:g} %"
    rows = [
        (
            each.label,
            f"{each.first:.4f}",
            f"{each.second:.4f}",
            f"{100 * each.difference.value:+.1f}",
            f"{100 * each.difference.low:+.1f} to {100 * each.difference.high:+.1f}",
            badge(each.verdict, VERDICT_KINDS.get(each.verdict, "")),
        )
        for each in comparison.differences
    ]
    headers = ["number", *names, "difference, points", f"{confidence} interval, points", "verdict"]
    groups = comparison.groups
    head = (
        f"Both on the same {format_cell(comparison.pictures)} pictures of the split {comparison.split}, and on the "
        f"same draws of {format_cell(groups.count)} {groups.of}s. One is better or worse where the whole interval lies "
        "on that side of 0."
    )
    return Html(
        paragraph(head)
        + (callout(groups.note[:1].upper() + groups.note[1:], kind="warning") if groups.note else "")
        + figure_svg(difference_figure(comparison.differences, names), title="Differences with their intervals")
        + table(headers, rows)
    )


def difference_figure(differences: tuple[Difference, ...], names: tuple[str, str] = ("first", "second")) -> Figure:
    """A line for each number: the second's less the first's in percentage points, and its interval."""
    height = 0.75 + 0.32 * len(differences)
    figure = Figure(figsize=(7.8, height))
    figure.subplots_adjust(left=0.13, right=0.97, bottom=0.5 / height, top=1 - 0.08 / height)
    axes = figure.subplots()
    axes.axvline(0, color="#000000", lw=1)
    reach = 0.5  # points, the least that is drawn to each side, so that nothing stays a hair's breadth
    for row, each in enumerate(differences):
        low, value, high = (
            100 * number for number in (each.difference.low, each.difference.value, each.difference.high)
        )
        colour = VERDICT_COLOURS.get(each.verdict, FRAME)
        axes.plot([low, high], [row, row], color=colour, lw=2.5, solid_capstyle="butt")
        axes.plot([value], [row], "o", color=colour, ms=6)
        reach = max([reach, *(abs(number) for number in (low, value, high) if math.isfinite(number))])
    axes.set(xlim=(-1.08 * reach, 1.08 * reach), ylim=(len(differences) - 0.5, -0.5))
    axes.set_yticks(range(len(differences)), [each.label for each in differences], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"{names[1]} less {names[0]}, percentage points")
    axes.grid(axis="x", color=FRAME, alpha=0.35, linewidth=0.5)
    return figure


def _differing(comparison: Comparison) -> Html:
    if not comparison.differing:
        return paragraph("Nothing that moves the numbers but the weights.")
    rows = [(name, _shown(one), _shown(other)) for name, (one, other) in comparison.differing.items()]
    return Html(paragraph("These move the numbers too.") + table(["setting", "first", "second"], rows))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_cell(value) if value is None or isinstance(value, str | int | float) else str(value)
