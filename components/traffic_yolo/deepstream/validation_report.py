"""The validation report: one self-contained HTML page about the parity of a model."""

import html
from collections.abc import Sequence

from traffic_yolo.deepstream.config.nvinfer_config import NvinferConfig
from traffic_yolo.deepstream.parity.limits import (
    BOXES_OF_CHANCE,
    CHANCE,
    MAX_AP50_DROP,
    MAX_CLASS_AP50_DROP,
    MIN_CLASS_AGREEMENT,
    MIN_EXPLAINED_AGREEMENT,
    beyond_chance,
)
from traffic_yolo.deepstream.parity.sections import classes_table, counts_table, matched_boxes, within
from traffic_yolo.deepstream.verdict import SINGLE_LABEL, ValidationSummary
from traffic_yolo.deepstream.waterfall.report import waterfall_sections
from traffic_yolo.detection.nms import NmsOptions
from traffic_yolo.html_report import Cell, Html, callout, page, paragraph, table
from traffic_yolo.page_origin import About

SIMULATED_RULES = "nvinfer's rules"
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
        f"{summary.pictures:,} pictures of split {summary.split} at confidence {nms.confidence_threshold:g} and NMS "
        f"IoU {nms.iou_threshold:g} ({nms.kind} in {summary.left}). The deployed model is {reached}.",
        kind="good" if summary.passed else "warning",
    )
    sections = [
        ("", headline),
        ("Limits", limits_table(summary)),
        ("Average precision", _metrics(summary)),
        *(waterfall_sections(summary.waterfall) if summary.waterfall else []),
        ("Boxes", counts_table(parity, summary.left, SIMULATED_RULES)),
        ("Matched boxes", matched_boxes(parity, summary.left, SIMULATED_RULES)),
        ("Classes", classes_table(parity, classes, summary.left, SIMULATED_RULES)),
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
    fall = summary.worst_fall
    worst = f" ({fall.class_name})" if fall else ", of which none has truth"
    allowed = f", {fall.most:.4f} for it" if fall else ""
    agreed = summary.parity.explained_agreement >= MIN_EXPLAINED_AGREEMENT and summary.parity.boxes > 0
    rows: list[Sequence[Cell]] = [
        ["agreement of boxes, explained ones not counted", summary.parity.explained_agreement,
         f"at least {MIN_EXPLAINED_AGREEMENT:g}", within(agreed)],
        ["AP50 lost, with one class a box on both sides", drop, f"at most {MAX_AP50_DROP:g}",
         within(drop is None or drop <= MAX_AP50_DROP)],
        ["agreement of the worst class", min(agreements, default=None),
         f"at least {MIN_CLASS_AGREEMENT:g}, but for what chance does in {CHANCE:.0%} of cases", within(not bad)],
        [f"AP50 lost by the worst class{worst}", fall.lost if fall else None,
         f"at most {MAX_CLASS_AP50_DROP:g}, and what {BOXES_OF_CHANCE} boxes are worth{allowed}",
         within(fall is None or not fall.is_too_far)],
    ]  # fmt: skip
    return table(["measured", "value", "limit", "verdict"], rows)


def _metrics(summary: ValidationSummary) -> Html:
    names = list(summary.metrics["pytorch"])
    rows = [[side, *(values[name] for name in names)] for side, values in summary.metrics.items()]
    return table(["rules", *(name.upper() for name in names)], rows, caption="From a confidence of 0.001 up.")
