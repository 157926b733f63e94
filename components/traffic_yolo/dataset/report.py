"""What is in a data set, for people: counts by split, class and site, sizes, places, samples, and what was left out."""

import dataclasses
import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from traffic_yolo.dataset.records import SPLITS, Frame
from traffic_yolo.dataset.split import hash_position
from traffic_yolo.html_report import Html, figure_svg, page, paragraph, picture, pictures, table

SAMPLES_PER_SPLIT = 4
SAMPLE_PIXELS = 384 * 216  # of any shape: twelve samples stay below 700 kB
SAMPLE_JPEG_QUALITY = 70
HEAT_BINS_WH = (32, 18)
SIZE_EDGES = np.geomspace(0.003, 1, 30)  # shares of the picture
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


class ReportBuilder:
    """Counts frames one at a time; its size depends on classes and sites, not on frames."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes
        self._ids = {name: index for index, name in enumerate(classes)}
        self._counts = {split: Counter[str]() for split in SPLITS}
        self._by_class = {split: Counter[str]() for split in SPLITS}
        self._sites: dict[str, set[str]] = {split: set() for split in SPLITS}
        self._images_by_site: Counter[str] = Counter()
        self._boxes_by_site: dict[str, Counter[str]] = {}
        self._sizes = np.zeros((2, len(classes), len(SIZE_EDGES) - 1), dtype=np.int64)  # width, height
        self._heat = {split: np.zeros(HEAT_BINS_WH, dtype=np.int64) for split in SPLITS}
        self._crowding = {split: Counter[int]() for split in SPLITS}
        self._samples: dict[str, list[tuple[float, Frame]]] = {split: [] for split in SPLITS}

    def add(self, frame: Frame, split: str) -> None:
        """Counts a frame of a split."""
        counts, site = self._counts[split], frame.site or frame.recording
        counts["images"] += 1
        counts["empty_images"] += not frame.annotations
        self._sites[split].add(site)
        self._images_by_site[site] += 1
        self._crowding[split][len(frame.annotations)] += 1
        by_site = self._boxes_by_site.setdefault(site, Counter())
        boxes = []
        for annotation in frame.annotations:
            counts["device"] += annotation.label_source != "human"
            if not annotation.counts:
                counts["ignored"] += 1
                continue
            counts["boxes"] += 1
            self._by_class[split][annotation.class_name] += 1
            by_site[annotation.class_name] += 1
            boxes.append((*annotation.xywh, self._ids[annotation.class_name]))
        if boxes:
            self._add_boxes(np.array(boxes, dtype=np.float64), frame, split)
        self._sample(frame, split)

    def report(self, notes: Sequence[str]) -> Report:
        """What was counted; a class that some split lacks becomes a note."""
        all_notes = list(notes)
        for split in SPLITS:
            lacking = [name for name in self._classes if not self._by_class[split][name]]
            if self._counts[split]["images"] and lacking:
                all_notes.append(f"the {split} split has no box of {', '.join(lacking)}")
        names = ("images", "empty_images", "boxes", "ignored", "device")
        return Report(
            classes=self._classes,
            counts={split: {name: self._counts[split][name] for name in names} for split in SPLITS},
            boxes_by_class={split: {name: self._by_class[split][name] for name in self._classes} for split in SPLITS},
            sites={split: sorted(self._sites[split]) for split in SPLITS},
            images_by_site=dict(sorted(self._images_by_site.items())),
            boxes_by_site={site: dict(self._boxes_by_site[site]) for site in sorted(self._boxes_by_site)},
            notes=all_notes,
        )

    def html(self, report: Report, *, title: str) -> str:
        """The report as one self-contained page."""
        notes = Html("<ul>" + "".join(f"<li>{paragraph(note)}</li>" for note in report.notes) + "</ul>")
        sizes, heat, crowding = self._size_figure(), self._heat_figure(), self._crowding_figure()
        return page(
            title,
            [
                ("Splits", _split_table(report)),
                ("Boxes by class", _class_table(report)),
                ("Boxes by site", _site_table(report)),
                ("Sizes", figure_svg(sizes, title="Box width and height by class")),
                ("Places of box centres", figure_svg(heat, title="Heat map of box centres")),
                ("Boxes in a picture", figure_svg(crowding, title="Boxes in a picture")),
                *[(f"Samples: {split}", self._sample_pictures(split)) for split in SPLITS],
                ("Notes", notes if report.notes else paragraph("Nothing was left out or changed.")),
            ],
        )

    def _add_boxes(self, boxes: NDArray[np.float64], frame: Frame, split: str) -> None:
        """`boxes` (n, 5): left, top, width, height, class id."""
        size = np.array([frame.width, frame.height])
        relative = boxes[:, 2:4] / size  # (n, 2)
        bins = np.searchsorted(SIZE_EDGES, relative, side="right") - 1
        for axis in (0, 1):
            inside = (bins[:, axis] >= 0) & (bins[:, axis] < len(SIZE_EDGES) - 1)
            np.add.at(self._sizes[axis], (boxes[inside, 4].astype(int), bins[inside, axis]), 1)
        centres = (boxes[:, :2] + boxes[:, 2:4] / 2) / size
        cells = np.clip((centres * HEAT_BINS_WH).astype(int), 0, np.array(HEAT_BINS_WH) - 1)
        np.add.at(self._heat[split], (cells[:, 0], cells[:, 1]), 1)

    def _sample(self, frame: Frame, split: str) -> None:
        """Keeps the frames whose hashes are smallest, which are spread over the split and the same in every run."""
        kept, position = self._samples[split], -hash_position(frame.file_name)
        if len(kept) < SAMPLES_PER_SPLIT:
            heapq.heappush(kept, (position, frame))
        elif position > kept[0][0]:
            heapq.heapreplace(kept, (position, frame))

    def _size_figure(self) -> Figure:
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        # As many as there are colours: the most frequent
        frequency = self._sizes[0].sum(axis=1)
        shown = sorted(np.argsort(-frequency, kind="stable")[: len(PALETTE)])
        for axis, counts, name in zip(axes, self._sizes, ("width", "height"), strict=True):
            for class_id in shown:
                colour = np.array(PALETTE[class_id % len(PALETTE)]) / 255
                axis.stairs(counts[class_id], SIZE_EDGES, label=self._classes[class_id], color=tuple(colour))
            axis.set_xscale("log")
            axis.set_xlabel(f"{name}, share of the picture")
        axes[0].set_ylabel("boxes")
        axes[1].legend(fontsize="small")
        return figure

    def _heat_figure(self) -> Figure:
        figure = Figure(figsize=(9, 2.2), layout="constrained")
        axes = figure.subplots(1, len(SPLITS), sharey=True)
        xs, ys = (np.linspace(0, 1, bins + 1) for bins in HEAT_BINS_WH)
        for axis, split in zip(axes, SPLITS, strict=True):
            # Edges of the face's colour: without, the page shows through between the cells
            axis.pcolormesh(xs, ys, self._heat[split].T, cmap="viridis", edgecolors="face", linewidth=0.3)
            axis.invert_yaxis()
            axis.set_title(split)
            axis.set_xticks([])
            axis.set_yticks([])
        return figure

    def _crowding_figure(self) -> Figure:
        figure = Figure(figsize=(7, 2.4), layout="constrained")
        axis = figure.subplots()
        most = max((max(counts, default=0) for counts in self._crowding.values()), default=0)
        for split, counts in self._crowding.items():
            if counts:
                shares = np.array([counts[number] for number in range(most + 1)]) / counts.total()
                axis.stairs(shares, np.arange(most + 2) - 0.5, label=split)
        axis.set_xlabel("boxes in a picture")
        axis.set_ylabel("share of pictures")
        axis.legend(fontsize="small")
        return figure

    def _sample_pictures(self, split: str) -> Html:
        if not self._samples[split]:
            return paragraph("No pictures.")
        chosen = sorted((frame for _, frame in self._samples[split]), key=lambda frame: frame.file_name)
        return pictures(_sample(frame, self._classes) for frame in chosen)


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
