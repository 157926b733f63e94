"""The page of a run of the real deepstream-app: whether it agrees with the simulation, box by box and in AP."""

from collections.abc import Sequence

from traffic_yolo.deepstream.parity.limits import MAX_AP50_DROP, MIN_EXPLAINED_AGREEMENT
from traffic_yolo.deepstream.parity.sections import classes_table, counts_table, matched_boxes, within
from traffic_yolo.deepstream.run.summary import GpuRunSummary
from traffic_yolo.html_report import Cell, Html, callout, page, paragraph, table
from traffic_yolo.page_origin import About

LEFT, RIGHT = "the simulation", "deepstream-app"


def gpu_run_report(summary: GpuRunSummary, classes: Sequence[str], about: About) -> str:
    """The page of the run that `summary` describes; `about`: model and data set."""
    found = "within its limits" if summary.passed else f"NOT within its limits: {'; '.join(summary.problems)}"
    head = callout(f"The run is {found}.", kind="good" if summary.passed else "warning")
    facts: list[Sequence[Cell]] = [
        ["pictures", summary.pictures],
        ["sizes, each a run of its own", summary.parts],
        ["precision that ran", summary.precision],
        ["engine", summary.engine or "none was left"],
        ["seconds, the building of the engine included", round(summary.seconds, 1)],
    ]
    parity = summary.parity
    sections = [
        ("", Html(head + table(["what", "found"], facts))),
        ("Limits", _limits(summary)),
        ("Average precision", _metrics(summary)),
        ("Boxes", counts_table(parity, LEFT, RIGHT)),
        ("Matched boxes", matched_boxes(parity, LEFT, RIGHT)),
        ("Classes", classes_table(parity, classes, LEFT, RIGHT)),
        (
            "Files",
            paragraph("run.json has the same as numbers; the log, both configurations and the KITTI files lie beside."),
        ),
    ]
    return page("Run of DeepStream", sections, about=about)


def _limits(summary: GpuRunSummary) -> Html:
    agreement = summary.parity.explained_agreement
    before, after = (summary.metrics[side]["ap50"] for side in ("simulated", "deepstream"))
    drop = None if before is None or after is None else before - after
    agrees = agreement >= MIN_EXPLAINED_AGREEMENT and summary.parity.boxes > 0
    rows: list[Sequence[Cell]] = [
        [
            "agreement of boxes, explained ones not counted",
            agreement,
            f"at least {MIN_EXPLAINED_AGREEMENT:g}",
            within(agrees),
        ],
        ["AP50 lost", drop, f"at most {MAX_AP50_DROP:g}", within(drop is None or drop <= MAX_AP50_DROP)],
    ]
    caption = "Single classes and the precision are held too; what is beyond stands above."
    return table(["measured", "value", "limit", "verdict"], rows, caption=caption)


def _metrics(summary: GpuRunSummary) -> Html:
    names = list(summary.metrics["deepstream"])
    rows = [[side, *(values[name] for name in names)] for side, values in summary.metrics.items()]
    return table(["boxes of", *(name.upper() for name in names)], rows, caption="From a confidence of 0.001 up.")
