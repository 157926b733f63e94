"""What is in a data set, for people: counts by split, class and site, sizes, places, samples, and what was left out."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.dataset.records import SPLITS, Frame
from traffic_yolo.html_report import Html, figure_svg, page, paragraph, picture, pictures, table

SAMPLES_PER_SPLIT = 4
SAMPLE_PIXELS = 384 * 216  # of any shape: twelve samples stay below 700 kB
SAMPLE_JPEG_QUALITY = 70
HEAT_BINS_WH = (32, 18)
# Colours of classes in samples, RGB; told apart by the colour-blind (Okabe and Ito's palette)
PALETTE = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))


@dataclass(frozen=True)
class Report:
    """Counts of pictures and boxes by split, by site and by class; `notes` says what was left out or changed.

    `counts[split]` has images, empty_images, boxes, ignored and device; `boxes_by_class[split]` the boxes that count.
    """

    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    boxes_by_class: dict[str, dict[str, int]]
    sites: dict[str, list[str]]
    images_by_site: dict[str, int]
    boxes_by_site: dict[str, dict[str, int]]
    notes: list[str]

    @classmethod
    def of(
        cls, frames: Mapping[str, Sequence[tuple[int, Frame]]], classes: tuple[str, ...], notes: Sequence[str]
    ) -> "Report":
        """Counts the frames of each split; a class that some split lacks becomes a note."""
        counts: dict[str, dict[str, int]] = {}
        by_class: dict[str, dict[str, int]] = {}
        by_site: dict[str, Counter[str]] = {}
        images_by_site: Counter[str] = Counter()
        all_notes = list(notes)
        for split in SPLITS:
            kept = [frame for _, frame in frames[split]]
            counted = Counter(a.class_name for f in kept for a in f.annotations if a.counts)
            counts[split] = {
                "images": len(kept),
                "empty_images": sum(not frame.annotations for frame in kept),
                "boxes": counted.total(),
                "ignored": sum(not a.counts for f in kept for a in f.annotations),
                "device": sum(a.label_source != "human" for f in kept for a in f.annotations),
            }
            by_class[split] = {name: counted[name] for name in classes}
            lacking = [name for name in classes if not counted[name]]
            if kept and lacking:
                all_notes.append(f"the {split} split has no box of {', '.join(lacking)}")
            for frame in kept:
                images_by_site[frame.site or frame.recording] += 1
                site = by_site.setdefault(frame.site or frame.recording, Counter())
                site.update(a.class_name for a in frame.annotations if a.counts)
        return cls(
            classes=classes,
            counts=counts,
            boxes_by_class=by_class,
            sites={split: sorted({f.site or f.recording for _, f in frames[split]}) for split in SPLITS},
            images_by_site=dict(sorted(images_by_site.items())),
            boxes_by_site={site: dict(by_site[site]) for site in sorted(by_site)},
            notes=all_notes,
        )

    def scalars(self) -> dict[str, int]:
        """`train_images`, `train_boxes` and so on, for the Kubeflow UI's metrics."""
        names = ("images", "boxes")
        return {f"{split}_{name}": self.counts[split][name] for split in SPLITS for name in names}

    def as_dict(self) -> dict[str, object]:
        """The report as JSON values."""
        return dataclasses.asdict(self)


def report_markdown(report: Report) -> str:
    """A table of the splits and the notes, for the Kubeflow UI."""
    lines = ["| split | pictures | boxes | ignored | sites |", "|---|---:|---:|---:|---|"]
    for split in SPLITS:
        counts = report.counts[split]
        sites = ", ".join(report.sites[split])
        lines.append(f"| {split} | {counts['images']} | {counts['boxes']} | {counts['ignored']} | {sites} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in report.notes)]) + "\n"


def report_html(report: Report, frames: Mapping[str, Sequence[tuple[int, Frame]]], *, title: str) -> str:
    """The report as one self-contained page."""
    boxes = {split: _boxes(frames[split], report.classes) for split in SPLITS}
    notes = Html("<ul>" + "".join(f"<li>{paragraph(note)}</li>" for note in report.notes) + "</ul>")
    return page(
        title,
        [
            ("Splits", _split_table(report)),
            ("Boxes by class", _class_table(report)),
            ("Boxes by site", _site_table(report)),
            ("Sizes", figure_svg(_size_figure(boxes, report.classes), title="Box width and height by class")),
            ("Places of box centres", figure_svg(_heat_figure(boxes), title="Heat map of box centres")),
            ("Boxes in a picture", figure_svg(_crowding_figure(frames), title="Boxes in a picture")),
            *[(f"Samples: {split}", _samples(frames[split], report.classes)) for split in SPLITS],
            ("Notes", notes if report.notes else paragraph("Nothing was left out or changed.")),
        ],
    )


def _split_table(report: Report) -> Html:
    names = ("images", "empty_images", "boxes", "ignored", "device")
    headers = ["split", "pictures", "without objects", "boxes", "ignored", "drawn by the device", "sites"]
    return table(
        headers,
        [(split, *(report.counts[split][name] for name in names), ", ".join(report.sites[split])) for split in SPLITS],
    )


def _class_table(report: Report) -> Html:
    by_class = report.boxes_by_class
    return table(["class", *SPLITS], [(name, *(by_class[split][name] for split in SPLITS)) for name in report.classes])


def _site_table(report: Report) -> Html:
    split_of = {site: split for split in SPLITS for site in report.sites[split]}
    rows: list[tuple[str | int, ...]] = [
        (site, split_of.get(site, ""), report.images_by_site[site], *(counts.get(name, 0) for name in report.classes))
        for site, counts in report.boxes_by_site.items()
    ]
    return table(["site", "split", "pictures", *report.classes], rows)


def _boxes(frames: Sequence[tuple[int, Frame]], classes: Sequence[str]) -> NDArray[np.float64]:
    """(n, 5): centre x, centre y, width, height relative to the picture, class id; boxes that count."""
    ids = {name: index for index, name in enumerate(classes)}
    rows = [
        (
            (a.xywh[0] + a.xywh[2] / 2) / f.width,
            (a.xywh[1] + a.xywh[3] / 2) / f.height,
            a.xywh[2] / f.width,
            a.xywh[3] / f.height,
            ids[a.class_name],
        )
        for _, f in frames
        for a in f.annotations
        if a.counts
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 5)


def _size_figure(boxes: Mapping[str, NDArray[np.float64]], classes: Sequence[str]) -> Figure:
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    together = np.concatenate(list(boxes.values()))
    edges = np.geomspace(0.003, 1, 30)
    # As many as there are colours: the most frequent
    frequency = np.bincount(together[:, 4].astype(int), minlength=len(classes))
    shown = sorted(np.argsort(-frequency, kind="stable")[: len(PALETTE)])
    for axis, column, name in zip(axes, (2, 3), ("width", "height"), strict=True):
        for class_id in shown:
            values = together[together[:, 4] == class_id, column]
            colour = np.array(PALETTE[class_id % len(PALETTE)]) / 255
            counts, _ = np.histogram(values, edges)
            axis.stairs(counts, edges, label=classes[class_id], color=tuple(colour))
        axis.set_xscale("log")
        axis.set_xlabel(f"{name}, share of the picture")
    axes[0].set_ylabel("boxes")
    axes[1].legend(fontsize="small")
    return figure


def _heat_figure(boxes: Mapping[str, NDArray[np.float64]]) -> Figure:
    figure = Figure(figsize=(9, 2.2), layout="constrained")
    axes = figure.subplots(1, len(SPLITS), sharey=True)
    for axis, split in zip(axes, SPLITS, strict=True):
        columns, rows = HEAT_BINS_WH
        bounds = [(0, 1), (0, 1)]
        counts, xs, ys = np.histogram2d(boxes[split][:, 0], boxes[split][:, 1], bins=(columns, rows), range=bounds)
        # Edges of the face's colour: without, the page shows through between the cells
        axis.pcolormesh(xs, ys, counts.T, cmap="viridis", edgecolors="face", linewidth=0.3)
        axis.invert_yaxis()
        axis.set_title(split)
        axis.set_xticks([])
        axis.set_yticks([])
    return figure


def _crowding_figure(frames: Mapping[str, Sequence[tuple[int, Frame]]]) -> Figure:
    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axis = figure.subplots()
    numbers = {split: [len(frame.annotations) for _, frame in frames[split]] for split in SPLITS}
    edges = np.arange(0, max(max(counts, default=0) for counts in numbers.values()) + 2) - 0.5
    for split, counts in numbers.items():
        if not counts:
            continue
        axis.stairs(np.histogram(counts, edges)[0] / len(counts), edges, label=split)
    axis.set_xlabel("boxes in a picture")
    axis.set_ylabel("share of pictures")
    axis.legend(fontsize="small")
    return figure


def _samples(frames: Sequence[tuple[int, Frame]], classes: Sequence[str]) -> Html:
    """Pictures spread evenly over the split, small, with their boxes."""
    if not frames:
        return paragraph("No pictures.")
    chosen = np.linspace(0, len(frames) - 1, min(SAMPLES_PER_SPLIT, len(frames))).round().astype(int)
    return pictures(_sample(frames[index][1], classes) for index in chosen)


def _sample(frame: Frame, classes: Sequence[str]) -> Html:
    mode = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(frame.picture(), np.uint8), mode)
    assert image is not None, f"{frame.file_name}: decoded when it was added"
    scale = min(1.0, (SAMPLE_PIXELS / (frame.width * frame.height)) ** 0.5)
    size_wh = (max(1, round(frame.width * scale)), max(1, round(frame.height * scale)))
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    for annotation in frame.annotations:
        x, y, width, height = (round(value * scale) for value in annotation.xywh)
        ignored = not annotation.counts
        colour = (128, 128, 128) if ignored else PALETTE[classes.index(annotation.class_name) % len(PALETTE)][::-1]
        cv2.rectangle(small, (x, y), (x + width, y + height), colour, 1)
        if not ignored:
            cv2.putText(small, annotation.class_name, (x, max(y - 2, 8)), cv2.FONT_HERSHEY_PLAIN, 0.7, colour)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, SAMPLE_JPEG_QUALITY])
    return picture(data.tobytes(), f"{frame.file_name}, site {frame.site or '-'}, {len(frame.annotations)} boxes")
