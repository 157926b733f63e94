"""What a page shows of two sides' boxes: how many agree, how well those do that match, and class by class."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from traffic_yolo.deepstream.parity.agreement import QUANTILES, Parity
from traffic_yolo.html_report import Cell, Html, badge, figure_svg, paragraph, table

MAX_POINTS = 2000  # of the scatter plot; more would only make the page heavy


def within(is_within: bool) -> Html:
    """The verdict on one limit."""
    return badge("within", "good") if is_within else badge("BEYOND", "error")


def counts_table(parity: Parity, left: str, right: str) -> Html:
    """Boxes of both sides, which are called `left` and `right`."""
    rows: list[tuple[str, int | float]] = [
        ("reported by both", parity.matched),
        (f"by {left} only", parity.only_left),
        (f"by {right} only", parity.only_right),
        ("of these: same box under a second class, which nvinfer does not report", parity.second_labels),
        ("of these: score within 0.05 of the confidence threshold", parity.near_threshold),
        ("of these: unexplained", parity.unexplained),
        ("agreement, as a share", parity.agreement),
        ("agreement, explained ones not counted", parity.explained_agreement),
    ]
    return table(["what", "boxes"], rows)


def matched_boxes(parity: Parity, left: str, right: str) -> Html:
    """How alike boxes are that both sides report: quantiles, and a picture of their scores."""
    if not parity.matched:
        return paragraph("No box is reported by both.")
    rows: list[Sequence[Cell]] = [
        ["IoU", *parity.iou_quantiles],
        ["score difference", *parity.score_difference_quantiles],
    ]
    headers = ["quantile", *(f"{quantile:.0%}" for quantile in QUANTILES)]
    return Html(table(headers, rows, caption="Quantiles over matched boxes.") + _scores(parity, left, right))


def classes_table(parity: Parity, classes: Sequence[str], left: str, right: str) -> Html:
    """The boxes of each class."""
    rows: list[Sequence[Cell]] = [
        [name, counts.matched, counts.only_left, counts.only_right, counts.agreement, counts.explained_agreement]
        for name, counts in zip(classes, parity.per_class, strict=True)
    ]
    return table(["class", "both", f"{left} only", f"{right} only", "agreement", "explained"], rows)


def _scores(parity: Parity, left: str, right: str) -> Html:
    pairs = parity.score_pairs
    figure = Figure(figsize=(4.2, 4.0))
    figure.subplots_adjust(left=0.15, right=0.96, bottom=0.13, top=0.97)
    axes = figure.subplots()
    step = max(1, -(-len(pairs) // MAX_POINTS))
    shown = pairs[::step]
    axes.plot([0, 1], [0, 1], color="#888888", lw=1)
    axes.scatter(shown[:, 0], shown[:, 1], s=6, color="#0072b2", alpha=0.6, linewidths=0)
    axes.set(xlabel=f"score in {left}", ylabel=f"score under {right}", xlim=(0, 1), ylim=(0, 1))
    return figure_svg(figure, title=f"Score here over score in {left}")
