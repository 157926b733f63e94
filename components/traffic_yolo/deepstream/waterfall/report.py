"""What a report shows of a waterfall: one picture, a table of stages, one of rules for each stage, one of classes."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from traffic_yolo.deepstream.waterfall.waterfall import (
    NUMBERS,
    SHOWN,
    UNIT,
    RuleRow,
    Stage,
    Waterfall,
    count_text,
    in_units,
)
from traffic_yolo.html_report import (
    Cell,
    Html,
    callout,
    details,
    figure_svg,
    paragraph,
    table,
    table_of_many_columns,
)
from traffic_yolo.metrics.paired import Difference

LOSS, GAIN, UNSURE, POINT = "#d55e00", "#009e73", "#999999", "#0072b2"


def waterfall_sections(found: Waterfall) -> list[tuple[str, str]]:
    """Headings and bodies for a page."""
    verdict = callout(
        "Every stage is within its limits." if found.passed else f"NOT within the limits: {'; '.join(found.problems)}",
        kind="good" if found.passed else "warning",
    )
    how = paragraph(
        f"{found.inferences} inferences of each picture were made; rules after the network use what is kept. "
        f"A cause is named for a number, or for boxes lost or gained, whose 95 % interval over {found.groups.count} "
        f"{found.groups.of}s excludes 0, all rules on the same resamples. "
        f"{found.groups.note[:1].upper()}{found.groups.note[1:]}",
        quiet=True,
    )
    body = [verdict, waterfall_figure(found), _stages(found), how]
    rules = [_rules(stage) for stage in found.stages if stage.rows]
    return [
        ("From Darknet to DeepStream", "".join(body)),
        ("What each loss is due to", "".join(rules)),
        ("Classes from Darknet to DeepStream", _classes(found)),
    ]


def waterfall_figure(found: Waterfall) -> Html:
    """The picture, as inline SVG: a point for each stage, between them a bar for each rule with its interval."""
    lines: list[tuple[str, Stage, RuleRow | None]] = []
    for stage in found.stages:
        lines += [(row.cause, stage, row) for row in stage.rows]
        lines.append((stage.name, stage, None))
    numbers = [name for name in NUMBERS if name in found.stages[0].values]
    height = 0.9 + 0.27 * len(lines)
    figure = Figure(figsize=(9.0, height))
    figure.subplots_adjust(left=0.2, right=0.985, top=1 - 0.3 / height, bottom=0.45 / height, wspace=0.08)
    for index, name in enumerate(numbers):
        axes = figure.add_subplot(1, len(numbers), index + 1)
        for place, (_, stage, row) in enumerate(lines):
            if row is None:
                _draw_stage(axes, place, stage.values[name])
            else:
                _draw_rule(axes, place, row, name)
        axes.set_title(SHOWN[name], fontsize=10)
        axes.set(ylim=(len(lines) - 0.4, -0.6))
        axes.use_sticky_edges = False  # bars would keep the margin away
        axes.margins(x=0.22)  # room for the number beside the last point
        axes.tick_params(labelsize=8)
        # Ticks at the ends would touch those of the picture beside it
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, prune="both"))
        axes.set_yticks(range(len(lines)), [text if row is None else f"   {text}" for text, _, row in lines])
        if index:
            axes.set_yticklabels([])
        axes.grid(axis="x", color="#999999", alpha=0.3, lw=0.5)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure_svg(figure, title="AP, AP50 and F1 from Darknet to DeepStream, and what each rule moves")


def _draw_stage(axes: Axes, place: int, value: float) -> None:
    axes.plot([value], [place], "o", color=POINT, ms=6)
    axes.annotate(f"{value:.4f}", (value, place), xytext=(6, 3), textcoords="offset points", fontsize=7.5)


def _draw_rule(axes: Axes, place: int, row: RuleRow, name: str) -> None:
    """A bar from the value before the rule to the one after it; the whisker is the interval of the step."""
    (step,) = [each for each in row.steps if each.name == name]
    after, moved = row.values[name], step.difference
    before = after - moved.value
    sure = moved.low > 0 or moved.high < 0
    colour = UNSURE if not sure else LOSS if moved.value < 0 else GAIN
    axes.barh(place, moved.value, left=before, height=0.55, color=colour)
    axes.plot([before + moved.low, before + moved.high], [place, place], color=colour, lw=1)
    axes.plot([after, after], [place, place + 1], color="#999999", lw=0.6, ls=":")


def _stages(found: Waterfall) -> Html:
    rows: list[list[Cell]] = []
    names = {stage.key: stage.name for stage in found.stages}
    for stage in found.stages:
        drops = dict(zip(NUMBERS, _steps(stage), strict=True))
        rows.append(
            [
                stage.name,
                *(stage.values.get(name) for name in NUMBERS),
                f"against {names[stage.before]}" if stage.before else "the first",
                *(drops[name] if stage.before else None for name in NUMBERS),
                stage.boxes.only_left if stage.before else None,
                stage.boxes.only_right if stage.before else None,
                "passed" if stage.passed else "FAILED",
                stage.note,
            ]
        )
    moved = [f"{SHOWN[name]} moved" for name in NUMBERS]
    headers = ["stage", *(SHOWN[name] for name in NUMBERS), "held", *moved, "boxes lost", "gained", "gate", "note"]
    caption = "AP and AP50 from a confidence of 0.001 up; F1 and boxes at the operating point."
    return table_of_many_columns(headers, rows, caption=caption)


def _rules(stage: Stage) -> Html:
    """The rules of one stage; the steps as shown add up to the last row as shown."""
    steps = {name: in_units(_reached(stage, name)) for name in NUMBERS if name in stage.values}
    rows: list[list[Cell]] = []
    for index, row in enumerate(stage.rows):
        cells: list[Cell] = [row.cause]
        for name in NUMBERS:
            cells += [steps[name][index] / UNIT if name in steps else None, _interval(row.steps, name)]
        cells += [_alone(row, name) for name in NUMBERS]
        rows.append([*cells, count_text(row.lost), count_text(row.gained), _verdict(row)])
    together: list[Cell] = ["together"]
    for name in NUMBERS:
        together += [sum(steps[name]) / UNIT if name in steps else None, _interval(stage.together, name)]
    rows.append([*together, None, None, None, stage.boxes.only_left, stage.boxes.only_right, ""])
    headers = ["rule"]
    for name in NUMBERS:
        headers += [SHOWN[name], f"{SHOWN[name]} interval"]
    headers += [*(f"{SHOWN[name]} alone" for name in NUMBERS), "boxes lost", "gained", "named for"]
    meanings = "; ".join(f"{row.cause}: {row.meaning}" for row in stage.rows)
    caption = f"{stage.name}: rules in the order in which they are turned, each on top of those above. {meanings}."
    return table_of_many_columns(headers, rows, caption=caption)


def _reached(stage: Stage, name: str) -> list[float]:
    """The number before the first rule and after each."""
    return [stage.start[name], *(row.values[name] for row in stage.rows)]


def _steps(stage: Stage) -> list[float | None]:
    return [
        in_units([stage.start[name], stage.values[name]])[0] / UNIT if name in stage.values else None
        for name in NUMBERS
    ]


def _interval(found: Sequence[Difference], name: str) -> str:
    moved = next((each.difference for each in found if each.name == name), None)
    return "–" if moved is None else f"{moved.low:+.4f} to {moved.high:+.4f}"


def _alone(row: RuleRow, name: str) -> float | None:
    value = next((each.difference.value for each in row.alone if each.name == name), None)
    return None if value is None else round(value * UNIT) / UNIT


def _verdict(row: RuleRow) -> str:
    words = [SHOWN[each.name] for each in row.named]
    if row.named_boxes:
        words.append(f"boxes {' and '.join(word for word, _ in row.named_boxes)}")
    return ", ".join(words) or "–"


def _classes(found: Waterfall) -> Html:
    """One foldable table a stage: a class has a line in each."""
    shown = []
    for stage in found.stages:
        rows: list[list[Cell]] = [
            [each.class_name, each.ap, each.ap50, each.f1, each.lost, each.gained] for each in stage.per_class
        ]
        shown.append(details(stage.name, table(["class", "AP", "AP50", "F1", "boxes lost", "gained"], rows)))
    return Html("".join(shown))
