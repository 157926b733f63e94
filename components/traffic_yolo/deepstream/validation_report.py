"""The validation report: one self-contained HTML page about the parity of a model."""

import html
from collections.abc import Sequence

from matplotlib.figure import Figure

from traffic_yolo.deepstream.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.parity import QUANTILES, Parity
from traffic_yolo.deepstream.verdict import (
    BOXES_OF_CHANCE,
    CHANCE,
    CLASSES_FALL,
    MAX_AP50_DROP,
    MAX_CLASS_AP50_DROP,
    MIN_CLASS_AGREEMENT,
    MIN_EXPLAINED_AGREEMENT,
    SINGLE_LABEL,
    ValidationSummary,
    beyond_chance,
)
from traffic_yolo.deepstream.waterfall_report import waterfall_sections
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.html_report import Cell, Html, badge, callout, figure_svg, page, paragraph, table
from traffic_yolo.page_origin import About

MAX_POINTS = 2000  # of the scatter plot; more would only make the page heavy
ASSUMPTIONS = (
    "Simulated with onnxruntime on a CPU; TensorRT's arithmetic (above all FP16) is not in these numbers.",
    "The stream muxer runs at the pictures' own size; otherwise a second resize comes first.",
    "The hardware scaler is taken as bilinear with half-pixel centres and without smoothing (scaling-filter=1), or as "
    "nearest (0, and where the key is absent).",
    "Pictures are RGB from the start; a video's 4:2:0 colour is not simulated.",
)


def validation_report(
    summary: ValidationSummary, classes: tuple[str, ...], nms: NmsOptions, config: NvinferConfig, about: About
) -> str:
    """The page. All arguments belong to the one validation that `summary` describes; `about`: model and data set."""
    parity = summary.parity
    reached = "within the limits" if summary.passed else f"NOT within the limits: {'; '.join(summary.problems)}"
    headline = callout(
        f"{summary.pictures} pictures of split {summary.split} at confidence {nms.confidence_threshold:g} and NMS IoU "
        f"{nms.iou_threshold:g} ({nms.kind} in {summary.left}). The deployed model is {reached}.",
        kind="good" if summary.passed else "warning",
    )
    sections = [
        ("", headline),
        ("Limits", limits_table(summary)),
        ("Average precision", _metrics(summary)),
        *(waterfall_sections(summary.waterfall) if summary.waterfall else []),
        ("Boxes", _counts(summary)),
        ("Matched boxes", _quantiles(parity) + _scatter(summary)),
        ("Classes", _classes(summary, classes)),
        ("What is not in these numbers", "".join(paragraph(text) for text in ASSUMPTIONS)),
        ("Configuration", f'<pre class="wide">{html.escape(config.to_text())}</pre>'),
    ]
    return page("DeepStream parity", sections, about=about)


def limits_table(summary: ValidationSummary) -> Html:
    """Each limit that parity is held to, what was measured, and whether that is within."""
    aps = summary.metrics
    before, after = aps[SINGLE_LABEL]["ap50"], aps["deepstream"]["ap50"]
    drop = None if before is None or after is None else before - after
    agreements = [counts.explained_agreement for counts in summary.parity.per_class if counts.boxes]
    bad = sum(map(beyond_chance, summary.parity.per_class))
    fallen = any(problem.startswith(CLASSES_FALL) for problem in summary.problems)
    agreed = summary.parity.explained_agreement >= MIN_EXPLAINED_AGREEMENT and summary.parity.boxes > 0
    rows: list[Sequence[Cell]] = [
        ["agreement of boxes, explained ones not counted", summary.parity.explained_agreement,
         f"at least {MIN_EXPLAINED_AGREEMENT:g}", _within(agreed)],
        ["AP50 lost, with one class a box on both sides", drop, f"at most {MAX_AP50_DROP:g}",
         _within(drop is None or drop <= MAX_AP50_DROP)],
        ["agreement of the worst class", min(agreements, default=None),
         f"at least {MIN_CLASS_AGREEMENT:g}, but for what chance does in {CHANCE:.0%} of cases", _within(not bad)],
        ["AP50 lost by the worst class", None,
         f"at most {MAX_CLASS_AP50_DROP:g}, and what {BOXES_OF_CHANCE} boxes are worth", _within(not fallen)],
    ]  # fmt: skip
    return table(["measured", "value", "limit", "verdict"], rows)


def _within(is_within: bool) -> Html:
    return badge("within", "good") if is_within else badge("BEYOND", "error")


def _metrics(summary: ValidationSummary) -> Html:
    names = list(summary.metrics["pytorch"])
    rows = [[side, *(values[name] for name in names)] for side, values in summary.metrics.items()]
    return table(["rules", *(name.upper() for name in names)], rows, caption="From a confidence of 0.001 up.")


def _counts(summary: ValidationSummary) -> Html:
    parity = summary.parity
    rows: list[tuple[str, int | float]] = [
        ("reported by both", parity.matched),
        (f"by {summary.left} only", parity.only_left),
        ("under nvinfer's rules only", parity.only_right),
        (
            "of these: same box under a second class, which nvinfer does not report",
            parity.second_labels,
        ),
        ("of these: score within 0.05 of the confidence threshold", parity.near_threshold),
        ("of these: unexplained", parity.unexplained),
        ("agreement, as a share", parity.agreement),
        ("agreement, explained ones not counted", parity.explained_agreement),
    ]
    return table(["what", "boxes"], rows)


def _quantiles(parity: Parity) -> Html:
    if not parity.matched:
        return paragraph("No box is reported by both.")
    rows: list[Sequence[Cell]] = [
        ["IoU", *parity.iou_quantiles],
        ["score difference", *parity.score_difference_quantiles],
    ]
    return table(
        ["quantile", *(f"{quantile:.0%}" for quantile in QUANTILES)], rows, caption="Quantiles over matched boxes."
    )


def _classes(summary: ValidationSummary, classes: tuple[str, ...]) -> Html:
    rows: list[Sequence[Cell]] = [
        [name, counts.matched, counts.only_left, counts.only_right, counts.agreement, counts.explained_agreement]
        for name, counts in zip(classes, summary.parity.per_class, strict=True)
    ]
    return table(["class", "both", f"{summary.left} only", "nvinfer only", "agreement", "explained"], rows)


def _scatter(summary: ValidationSummary) -> Html:
    pairs = summary.parity.score_pairs
    figure = Figure(figsize=(4.2, 4.0))
    figure.subplots_adjust(left=0.15, right=0.96, bottom=0.13, top=0.97)
    axes = figure.subplots()
    step = max(1, -(-len(pairs) // MAX_POINTS))
    shown = pairs[::step]
    axes.plot([0, 1], [0, 1], color="#888888", lw=1)
    axes.scatter(shown[:, 0], shown[:, 1], s=6, color="#0072b2", alpha=0.6, linewidths=0)
    axes.set(xlabel=f"score in {summary.left}", ylabel="score under nvinfer's rules", xlim=(0, 1), ylim=(0, 1))
    return figure_svg(figure, title=f"Score here over score in {summary.left}")
