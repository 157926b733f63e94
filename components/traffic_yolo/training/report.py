"""The page of a training: what it came to, by which settings, on what it was trained, and where it still errs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from traffic_yolo.html_report import (
    Cell,
    Html,
    callout,
    details,
    page,
    paragraph,
    picture,
    pictures,
    table,
    tiles,
)
from traffic_yolo.page_origin import About
from traffic_yolo.training.anchor_report import AnchorFit, anchor_section
from traffic_yolo.training.batch_pictures import ShownPicture, prediction_key

REPORT_NAME = "report.html"


@dataclass(frozen=True)
class ClassResult:
    """AP50 of one class on val, of the start (None where it does not know the class) and of the best weights."""

    name: str
    true_boxes: int
    start_ap50: float | None
    best_ap50: float | None


@dataclass(frozen=True)
class TrainingReport:
    """What the page shows; what is empty or None has no section.

    `verdicts`: one line each; `is_improvement`: whether they say that the result is better, None where there is nothing
    to compare. `settings`: name -> value as resolved. `curves`: of `curves_svg`. `numbers`: large figures with
    their names, in order. `advice`: lines on what may bring more. `batches` and `predictions`: of `batch_pictures`.
    `size_advice`: lines. `dropped`: boxes by the reason why they are not trained on; `skipped`: pictures by theirs.
    `scales`: of `scale_history.scales_html`.
    """

    verdicts: Sequence[str]
    is_improvement: bool | None
    curves: str
    settings: Mapping[str, Any]
    numbers: Sequence[tuple[str, Cell]] = ()
    advice: Sequence[str] = ()
    classes: Sequence[ClassResult] = ()
    batches: Sequence[ShownPicture] = ()
    predictions: Sequence[ShownPicture] = ()
    anchors: AnchorFit | None = None
    size_advice: Sequence[str] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    scales: str = ""


def training_report(report: TrainingReport, about: About) -> str:
    """The HTML page, which needs no other file; below 1 MB with the pictures of `batch_pictures`."""
    sections: list[tuple[str, str]] = [
        ("", _headline(report)),
        ("Curves", report.curves),
        ("Batch-norm scales", report.scales),
        ("Classes", _classes(report.classes)),
        ("Worst pictures of val at the best weights", _predictions(report.predictions)),
        (
            "What it was given",
            pictures(picture(one.jpeg, one.caption) for one in report.batches) if report.batches else "",
        ),
        ("Network size", Html("".join(paragraph(line) for line in report.size_advice))),
        ("Anchors", anchor_section(report.anchors) if report.anchors else ""),
        ("Boxes and pictures left out", _left_out(report)),
        ("Settings", _settings(report.settings)),
    ]
    return page("Training", [each for each in sections if each[1]], about=about)


def _headline(report: TrainingReport) -> Html:
    kind = {True: "good", False: "warning", None: ""}[report.is_improvement]
    lines = Html("".join(callout(line, kind=kind) for line in report.verdicts))
    advice = Html("".join(paragraph(line) for line in report.advice))
    return Html(lines + (tiles(report.numbers) if report.numbers else "") + advice)


def _classes(classes: Sequence[ClassResult]) -> Html:
    if not classes:
        return Html("")
    rows = [(one.name, one.true_boxes, one.start_ap50, one.best_ap50, _gain(one)) for one in classes]
    caption = "On val, at all sizes. The start knows nothing of a class without a number."
    return table(["class", "true boxes", "AP50 of the start", "AP50 of the best", "gain"], rows, caption=caption)


def _gain(one: ClassResult) -> float | None:
    if one.start_ap50 is None or one.best_ap50 is None:
        return None
    return one.best_ap50 - one.start_ap50


def _predictions(shown: Sequence[ShownPicture]) -> Html:
    if not shown:
        return Html("")
    return Html(prediction_key() + pictures(picture(one.jpeg, one.caption, marks=one.marks) for one in shown))


def _left_out(report: TrainingReport) -> Html:
    rows = [("boxes", reason, count) for reason, count in report.dropped.items() if count]
    rows += [("pictures", reason, count) for reason, count in report.skipped.items() if count]
    return table(["what", "why", "how many"], rows) if rows else Html("")


def _settings(settings: Mapping[str, Any]) -> Html:
    rows = [(name, "–" if value is None else str(value)) for name, value in settings.items()]
    return details(f"{len(rows)} settings as they were used", table(["setting", "value"], rows)) if rows else Html("")
