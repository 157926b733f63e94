"""A quantisation as a page: what each setting costs and saves, which convolutions cost most, what ranges came from."""

import dataclasses

from matplotlib.figure import Figure

from traffic_yolo.html_report import (
    Cell,
    Html,
    callout,
    details,
    figure_svg,
    format_cell,
    page,
    paragraph,
    table,
    tiles,
)
from traffic_yolo.page_origin import About
from traffic_yolo.quantization.options import PERCENTILE, TRAIN
from traffic_yolo.quantization.result import Quantization, Setting

MAX_ROWS = 16  # convolutions in sight; the rest unfolds
TRIED_COLOUR, WRITTEN_COLOUR, LIMIT_COLOUR = "#56b4e9", "#0072b2", "#d55e00"  # Okabe and Ito's
GRID = "#888888"


def quantization_html(done: Quantization, about: About) -> str:
    """The quantisation as one self-contained page; `about`: model, data set and split."""
    sections = [
        ("", _headline(done)),
        ("Settings", _settings(done)),
        ("What each convolution costs by itself", _noise(done)),
        ("What ranges were found on", _calibration(done)),
        ("Options", _options(done)),
    ]
    return page("INT8 and FP16", [each for each in sections if each[1]], about=about)


def _headline(done: Quantization) -> Html:
    start, chosen = done.settings[0], done.chosen
    most = _points(done.options.max_ap_drop)
    said = f"The INT8 file loses {_points(done.lost(chosen))} points of AP; {most} are allowed."
    if done.problem:
        said = f"Beyond the limit: {done.problem}."
    return Html(
        callout(said, kind="warning" if done.problem else "good")
        + tiles(
            [
                ("AP of float32", start.precision.ap),
                ("AP of INT8", chosen.precision.ap),
                ("MB, float32", round(start.bytes / 1e6, 2)),
                ("MB, INT8", round(chosen.bytes / 1e6, 2)),
                ("convolutions in INT8", f"{chosen.int8} of {done.convolutions}"),
            ]
        )
        + paragraph(
            f"AP on {format_cell(done.pictures)} pictures of the split {done.split}, one class a box, NMS at IoU 0.45. "
            "A setting that was chosen on a split flatters on it."
        )
    )


def _settings(done: Quantization) -> Html:
    start = done.settings[0]
    rows: list[list[Cell]] = [
        [
            each.name,
            each.precision.ap,
            each.precision.ap50,
            None if (lost := done.lost(each)) is None else round(100 * lost, 2),
            round(each.bytes / 1e6, 2),
            f"{1 - each.bytes / start.bytes:.1%}" if each is not start else None,
            each.int8,
            each.written or None,
        ]
        for each in done.settings
    ]
    headers = ["setting", "AP", "AP50", "AP lost, points", "MB", "saved", "in INT8", "became"]
    figure = figure_svg(loss_figure(done), title="AP lost by setting") if _has_losses(done) else ""
    kept = ", ".join(map(str, done.chosen.kept)) or "none"
    return Html(
        figure
        + table(headers, rows, caption="Sizes are of the ONNX files.")
        + paragraph(f"Layers that stay float in the INT8 file besides those before [yolo]: {kept}.")
    )


def _has_losses(done: Quantization) -> bool:
    return any(done.lost(each) is not None for each in done.settings[1:])


def loss_figure(done: Quantization) -> Figure:
    """A bar for each setting but float32: AP lost in percentage points, with the most that INT8 may lose."""
    shown: list[tuple[Setting, float]] = [
        (each, 100 * lost) for each in done.settings[1:] if (lost := done.lost(each)) is not None
    ]
    height = 0.75 + 0.32 * len(shown)
    figure = Figure(figsize=(7.8, height))
    figure.subplots_adjust(left=0.27, right=0.95, bottom=0.5 / height, top=1 - 0.08 / height)
    axes = figure.subplots()
    for row, (each, lost) in enumerate(shown):
        axes.barh(row, lost, height=0.65, color=WRITTEN_COLOUR if each.written else TRIED_COLOUR)
    axes.axvline(0, color="#000000", lw=0.8)
    axes.axvline(100 * done.options.max_ap_drop, color=LIMIT_COLOUR, lw=1.4, ls="--")
    axes.set_yticks(range(len(shown)), [each.name for each, _ in shown], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.margins(x=0.06)
    axes.set_xlabel("AP lost, percentage points; dark: written; dashed: most that INT8 may lose")
    axes.grid(axis="x", color=GRID, alpha=0.35, linewidth=0.5)
    return figure


def _noise(done: Quantization) -> Html:
    if not done.noise:
        return Html("")
    kept = set(done.chosen.kept)
    ranked = sorted(done.noise.items(), key=lambda item: -item[1])
    rows: list[list[Cell]] = [
        [str(layer), 100 * share, "float" if layer in kept else "INT8"] for layer, share in ranked
    ]
    headers = ["layer", "noise, %", "in the file"]
    rest = rows[MAX_ROWS:]
    text = (
        "Noise that reaches what is decoded where this convolution alone is in INT8, as a share of the variance there; "
        "the costliest first. Layers are numbered as Darknet does."
    )
    more = details(f"{len(rest)} more", table(headers, rest)) if rest else ""
    return Html(paragraph(text) + table(headers, rows[:MAX_ROWS]) + more)


def _calibration(done: Quantization) -> Html:
    found, options = done.calibration, done.options
    by_percentile = options.calibration_method == PERCENTILE
    method = f"{PERCENTILE} {options.percentile:g}" if by_percentile else options.calibration_method
    pictures = format_cell(found["pictures"])
    text = f"{pictures} pictures of the split {TRAIN}, by {method}, spread over sites and brightness."
    return Html(
        paragraph(text)
        + table(["site", "pictures"], sorted(found["sites"].items()))
        + table(["brightness", "pictures"], list(found["brightness"].items()))
    )


def _options(done: Quantization) -> Html:
    rows = [(name, str(value)) for name, value in dataclasses.asdict(done.options).items()]
    return details(f"{len(rows)} options as they were used", table(["option", "value"], rows))


def _points(share: float | None) -> str:
    return "an unknown number of" if share is None else f"{100 * share:.2f}"
