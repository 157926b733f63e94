"""The page of a data set's report: tables, figures and samples, in one file that stays small however large the set."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from traffic_yolo.dataset.pictures.choice import BLURRED
from traffic_yolo.dataset.pictures.drawn_boxes import PALETTE
from traffic_yolo.dataset.records import Frame
from traffic_yolo.dataset.report.distributions import ASPECT_EDGES, HEAT_BINS_WH, SIZE_EDGES, Distributions
from traffic_yolo.dataset.report.report import Report
from traffic_yolo.dataset.report.samples import sample_pictures
from traffic_yolo.html_report import Html, draw_cells, figure_svg, log_scale, page, paragraph, table
from traffic_yolo.page_origin import About

SIZE_TICKS = (0.003, 0.01, 0.03, 0.1, 0.3, 1)
ASPECT_TICKS = (0.1, 0.3, 1, 3, 10)
SHOWN_SITES = 100  # a table of thousands would fill the page; report.json has them all


def report_page(
    report: Report,
    found: Distributions,
    samples: Mapping[str, Sequence[Frame]],
    *,
    title: str,
    left_out: Mapping[str, int],
    sections: Sequence[tuple[str, Html]] = (),
    pictures: str = BLURRED,
    about: About | None = None,
) -> str:
    """The report as one self-contained page, `about` the data set.

    `left_out` counts by reason, `sections` are those of observers. `samples` are a few frames of each split, whose
    pictures can be read; `pictures`: a word of `PictureChoice`.
    """
    notes = Html("<ul>" + "".join(f"<li>{paragraph(note)}</li>" for note in report.notes) + "</ul>")
    return page(
        title,
        [
            ("Splits", _split_table(report)),
            ("Notes", notes if report.notes else paragraph("Nothing to note.")),
            ("Boxes by class", _class_table(report)),
            ("Boxes by site", _site_table(report)),
            ("Left out and changed", _left_out_table(left_out, kept=sum(c["images"] for c in report.counts.values()))),
            ("Boxes that do not count", _ignored_table(report)),
            *sections,
            ("Sizes and aspect", _size_section(found, report.classes)),
            ("Places of box centres", _heat_section(found)),
            ("Boxes in a picture", _crowding_section(found)),
            *[
                (f"Samples: {split}", sample_pictures(samples[split], report.classes, pictures_shown=pictures))
                for split in report.splits
            ],
        ],
        about=about or About(),
    )


def _split_table(report: Report) -> Html:
    names = ("images", "empty_images", "boxes", "ignored", "device")
    headers = ["split", "pictures", "without objects", "boxes", "ignored", "drawn by the device", "sites"]
    rows: list[tuple[str | int, ...]] = []
    for split in report.splits:
        sites = report.sites[split]
        shown = ", ".join(sites[:20]) + (f" and {len(sites) - 20} more" if len(sites) > 20 else "")
        rows.append((split, *(report.counts[split][name] for name in names), shown))
    return table(headers, rows)


def _class_table(report: Report) -> Html:
    by_class = report.boxes_by_class
    splits = report.splits if len(report.splits) > 1 else ()  # one split is all that there is
    totals = {name: sum(by_class[split][name] for split in report.splits) for name in report.classes}
    everything = max(sum(totals.values()), 1)
    rows: list[tuple[str | int, ...]] = [
        (name, *(by_class[split][name] for split in splits), totals[name], f"{totals[name] / everything:.1%}")
        for name in report.classes
    ]
    return table(["class", *splits, "all", "share"], rows)


def _site_table(report: Report) -> Html:
    sites_of = {split: set(report.sites[split]) for split in report.splits}
    splits_of = {site: [split for split in report.splits if site in sites_of[split]] for site in report.boxes_by_site}
    rows: list[tuple[str | int, ...]] = [
        (site, ", ".join(splits_of[site]), report.images_by_site[site], *(counts.get(n, 0) for n in report.classes))
        for site, counts in list(report.boxes_by_site.items())[:SHOWN_SITES]
    ]
    more = len(report.boxes_by_site) - SHOWN_SITES
    caption = f"{more} more sites are in report.json." if more > 0 else ""
    return table(["site", "split", "pictures", *report.classes], rows, caption=caption)


def _left_out_table(left_out: Mapping[str, int], *, kept: int) -> Html:
    if not left_out:
        return paragraph(f"Nothing was left out or changed; {kept:,} pictures are in the set.")
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    caption = f"{kept:,} pictures were kept."
    return table(["number", "what"], [(count, what) for what, count in ordered], caption=caption)


def _ignored_table(report: Report) -> Html:
    if not report.ignored_by_reason:
        return paragraph("Every box counts.")
    ordered = sorted(report.ignored_by_reason.items(), key=lambda item: (-item[1], item[0]))
    caption = "Such boxes stay in the COCO files, marked ignore or iscrowd; YOLO text cannot say it and lacks them."
    return table(["boxes", "ignored because of"], [(count, reason) for reason, count in ordered], caption=caption)


def _size_section(found: Distributions, classes: Sequence[str]) -> Html:
    figure = Figure(figsize=(9, 3))
    figure.subplots_adjust(left=0.07, right=0.84, bottom=0.16, top=0.97, wspace=0.12)
    axes = figure.subplots(1, 3, sharey=True)
    # As many as there are colours: the most frequent
    frequency = found.aspects.sum(axis=1)
    shown = sorted(np.argsort(-frequency, kind="stable")[: len(PALETTE)])
    for axis, counts, edges, ticks, name in (
        (axes[0], found.widths, SIZE_EDGES, SIZE_TICKS, "width, share of the picture"),
        (axes[1], found.heights, SIZE_EDGES, SIZE_TICKS, "height, share of the picture"),
        (axes[2], found.aspects, ASPECT_EDGES, ASPECT_TICKS, "width / height"),
    ):
        for class_id in shown:
            colour = np.array(PALETTE[class_id % len(PALETTE)]) / 255
            if counts[class_id].any():
                shares = counts[class_id] / counts[class_id].sum()
                axis.stairs(shares, edges, label=classes[class_id], color=tuple(colour))
        axis.set_xlabel(name)
        log_scale(axis.xaxis, ticks)
    axes[0].set_ylabel("share of the class's boxes")
    if frequency.any():
        # Beside the panels: on one of them it would lie on curves
        axes[2].legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.02, 1), borderaxespad=0, frameon=False)
    return figure_svg(figure, title="Box sizes by class")


def _heat_section(found: Distributions) -> Html:
    figure = Figure(figsize=(9, 2.7))
    figure.subplots_adjust(left=0.07, right=0.93, bottom=0.19, top=0.9, wspace=0.08)
    axes = figure.subplots(1, len(found.heat), sharey=True, squeeze=False)[0]
    xs, ys = (np.linspace(0, 1, bins + 1) for bins in HEAT_BINS_WH)
    axes[0].set_ylabel("height (0: top)")
    for axis, split in zip(axes, found.heat, strict=True):
        counts = found.heat[split].T
        most = int(counts.max())
        draw_cells(axis, xs, ys, counts, "viridis", Normalize(0, max(most, 1)))
        axis.set_ylim(1, 0)  # shared, so said once for each and never turned twice
        axis.set_title(f"{split}: at most {most} in a cell", fontsize=9)
        axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axis.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        axis.tick_params(labelsize=8)
        axis.set_xlabel("width", fontsize=9)
    # The colours as cells too: matplotlib's own bar embeds a PNG
    bar = axes[-1].inset_axes((1.05, 0, 0.05, 1))
    levels = np.linspace(0, 1, 41)
    middles = (levels[:-1, None] + levels[1:, None]) / 2
    draw_cells(bar, np.array([0.0, 1.0]), levels, middles, "viridis", Normalize(0, 1))
    bar.set_xticks([])
    bar.set_yticks([0, 1], ["none", "most"])
    bar.yaxis.tick_right()
    bar.tick_params(labelsize=8)
    return figure_svg(figure, title="Heat map of box centres")


def _crowding_section(found: Distributions) -> Html:
    figure = Figure(figsize=(7, 2.4))
    figure.subplots_adjust(left=0.1, right=0.98, bottom=0.2, top=0.96)
    axis = figure.subplots()
    most = max((max(counts, default=0) for counts in found.crowding.values()), default=0)
    for split, counts in found.crowding.items():
        if counts:
            shares = np.array([counts[number] for number in range(most + 1)]) / counts.total()
            axis.stairs(shares, np.arange(most + 2) - 0.5, label=split)
    axis.set_xlabel("boxes in a picture")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlim(-0.5, most + 0.5)
    axis.set_ylabel("share of pictures")
    if any(found.crowding.values()):
        axis.legend(fontsize="small")
    return figure_svg(figure, title="Boxes in a picture")
