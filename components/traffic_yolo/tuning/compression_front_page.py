"""The front of a compression's trials as a page, a picture and a file: AP against latency and against BFLOPs."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from traffic_yolo.html_report import Html, callout, figure_svg, page, paragraph, standalone_svg, table
from traffic_yolo.page_origin import About, Subject
from traffic_yolo.storage import AnyPath, atomic_folder, output_path, write_json, write_text
from traffic_yolo.tuning.compression_front import TITLES, CompressionFront, pareto
from traffic_yolo.tuning.compression_record import CompressionRecord

REPORT_NAME, RESULT_NAME, PICTURE_NAME = "report.html", "front.json", "front.svg"
SCHEMA_VERSION = 1
SHOWN_NAME = len("training-") + 8  # characters
# One sign and one colour for each kind of pruning (Okabe and Ito's, told apart by all readers)
SIGNS = {
    "channels": ("o", "#0072b2"),
    "regular": ("s", "#e69f00"),
    "blocks": ("^", "#009e73"),
    "whole": ("D", "#888888"),
}
CHOSEN_COLOUR = "#d55e00"


def write_front(front: CompressionFront, store: AnyPath, out: AnyPath) -> None:
    """Writes the folder `out`: report.html, front.json, front.svg; it appears whole or not at all."""
    target = output_path(out)
    picture = _svg(front)
    with atomic_folder(target) as folder:
        write_json(folder / RESULT_NAME, {"schema_version": SCHEMA_VERSION, "store": str(store), **front.document()})
        write_text(folder / PICTURE_NAME, standalone_svg(picture))
        write_text(folder / REPORT_NAME, _front_html(front, picture, store, target))


def _front_html(front: CompressionFront, picture: Html, store: AnyPath, folder: Path | None) -> str:
    """The page: which trial to take, the `picture`, the front, all trials. `folder`: where it will lie."""
    title, cost = TITLES[front.options.metric], TITLES[front.options.cost_of]
    told = (
        "One sign a trial; the stair goes over those that no other beats in both, the ring is the one to take. "
        f"{title} is of the validation split, on which it was chosen among others: the test split says what it is "
        "worth."
    )
    on_front = [front.records[place] for place in front.on_front]
    rows = [(*_row(record), "yes" if record in on_front else "") for record in front.records]
    sections = [
        ("", Html(callout(front.why, kind="" if front.chosen is not None else "warning") + _next_steps(front, store))),
        (f"{title} against what it costs", Html(picture + paragraph(told, quiet=True))),
        (f"The front of {title} against {cost}", table(HEADERS, [_row(record) for record in on_front])),
        ("All trials", table((*HEADERS, "on the front"), rows, caption=f"From the lowest {cost} up")),
    ]
    subjects = (Subject("store", str(store)), Subject("judged by", front.judged_by.text))
    return page("Compression: which trial to take", sections, about=About(subjects, folder))


HEADERS = ("pruning", "trained", "AP", "AP50", "ms", "BFLOPs", "weights", "training")


def _row(record: CompressionRecord) -> tuple[str | float, ...]:
    of = record.metrics
    numbers = (of["map"], of["map50"], of["latency_ms"], of["bflops"], round(of["weights"]))
    return (record.pruned_text, record.trained_text, *numbers, _short(record.run))


def _short(run: str) -> str:
    """The name of a training with the beginning of its key; front.json has the whole."""
    name = run.partition("/")[0]
    return name if len(name) <= SHOWN_NAME else f"{name[:SHOWN_NAME]}…"


def _next_steps(front: CompressionFront, store: AnyPath) -> Html:
    if front.chosen is None:
        return Html("")
    run = f"{store}/{front.records[front.chosen].run}"
    return paragraph(
        f"Go on with traffic-yolo export --run {run}, and hold it against the model before: traffic-yolo compress "
        "report --before MODEL --after EXPORT --dataset DATASET."
    )


def _svg(front: CompressionFront) -> Html:
    title = TITLES[front.options.metric]
    return figure_svg(front_figure(front), title=f"{title} of each trial against milliseconds and against BFLOPs")


def front_figure(front: CompressionFront) -> Figure:
    """Two pictures side by side: AP against milliseconds, and against BFLOPs."""
    figure = Figure(figsize=(9.5, 3.8))
    figure.subplots_adjust(left=0.07, right=0.985, bottom=0.14, top=0.9, wspace=0.2)
    left, right = figure.subplots(1, 2)
    _draw(left, front, "latency_ms")
    _draw(right, front, "bflops")
    if front.most_ms is not None:
        left.axvline(front.most_ms, color=CHOSEN_COLOUR, linewidth=1, linestyle="--", label="limit")
    left.legend(fontsize="small", loc="lower right", framealpha=0.6)
    return figure


def _draw(axes: Axes, front: CompressionFront, cost_of: str) -> None:
    metric = front.options.metric
    points = sorted((each.metrics[cost_of], -each.metrics[metric], each.kind) for each in front.records)
    costs, values = [cost for cost, _, _ in points], [-negative for _, negative, _ in points]
    best = pareto(costs, values)
    _steps(axes, [costs[place] for place in best], [values[place] for place in best], 1.05 * max(costs))
    for kind, (sign, colour) in SIGNS.items():
        places = [place for place, point in enumerate(points) if point[2] == kind]
        if places:
            x, y = [costs[place] for place in places], [values[place] for place in places]
            axes.scatter(x, y, marker=sign, s=34, color=colour, linewidths=0, label=kind, zorder=3)
    if front.chosen is not None:
        of = front.records[front.chosen].metrics
        axes.plot([of[cost_of]], [of[metric]], "o", ms=13, mfc="none", mec=CHOSEN_COLOUR, mew=2, zorder=4)
    axes.set(xlabel=TITLES[cost_of], ylabel=TITLES[metric])
    axes.set_xlim(0, 1.05 * max(costs))
    axes.grid(color="#888888", alpha=0.35, linewidth=0.5)
    axes.set_axisbelow(True)


def _steps(axes: Axes, costs: Sequence[float], values: Sequence[float], end: float) -> None:
    """The best that can be had for at most so much, as a stair."""
    axes.step([*costs, end], [*values, values[-1]], where="post", color="#888888", linewidth=1.2, zorder=2)
