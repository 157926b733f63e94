"""What is in a data set: counts by split, class and site, sizes and places of boxes, gathered frame by frame."""

import dataclasses
import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.picture_choice import BLURRED
from traffic_yolo.dataset.records import SPLITS, Annotation, Frame
from traffic_yolo.dataset.report_page import HEAT_BINS_WH, SIZE_EDGES, Distributions, report_page
from traffic_yolo.dataset.split import hash_position
from traffic_yolo.dataset.tiny_boxes import REASON
from traffic_yolo.html_report import Html
from traffic_yolo.page_origin import About

SAMPLES_PER_SPLIT = 4
COUNT_NAMES = ("images", "empty_images", "boxes", "ignored", "device")
RARE_SHARE = 0.01  # of all boxes; a class below is named in the notes


@dataclass(frozen=True)
class Report:
    """Counts of pictures and boxes by split, by site and by class; `notes` says what was left out or changed.

    `counts[split]` has images, empty_images, boxes, ignored and device; `boxes_by_class[split]` the boxes that count.
    `ignored_by_reason` says why boxes do not count.
    """

    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]
    boxes_by_class: dict[str, dict[str, int]]
    sites: dict[str, list[str]]
    images_by_site: dict[str, int]
    boxes_by_site: dict[str, dict[str, int]]
    notes: list[str]
    ignored_by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits of the data set, empty ones too."""
        return tuple(self.counts)

    def scalars(self) -> dict[str, int]:
        """`train_images`, `train_boxes` and so on, for the Kubeflow UI's metrics."""
        names = ("images", "boxes")
        return {f"{split}_{name}": self.counts[split][name] for split in self.splits for name in names}

    def as_dict(self) -> dict[str, object]:
        """The report as JSON values."""
        return dataclasses.asdict(self)


def report_markdown(report: Report) -> str:
    """Tables of splits and classes, and the notes, for the Kubeflow UI."""
    lines = ["| split | pictures | boxes | ignored | sites |", "|---|---:|---:|---:|---|"]
    for split in report.splits:
        counts = report.counts[split]
        sites = ", ".join(report.sites[split])
        lines.append(f"| {split} | {counts['images']} | {counts['boxes']} | {counts['ignored']} | {sites} |")
    lines += ["", f"| class | {' | '.join(report.splits)} |", f"|---|{'---:|' * len(report.splits)}"]
    for name in report.classes:
        lines.append(f"| {name} | {' | '.join(str(report.boxes_by_class[split][name]) for split in report.splits)} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in report.notes)]) + "\n"


class ReportBuilder:
    """Counts frames one at a time; its size depends on classes and sites, not on frames."""

    def __init__(self, classes: tuple[str, ...], splits: tuple[str, ...] = SPLITS) -> None:
        self._classes = classes
        self._splits = splits
        self._ids = {name: index for index, name in enumerate(classes)}
        self._counts = {split: Counter[str]() for split in splits}
        self._by_class = {split: Counter[str]() for split in splits}
        self._sites: dict[str, set[str]] = {split: set() for split in splits}
        self._images_by_site: Counter[str] = Counter()
        self._boxes_by_site: dict[str, Counter[str]] = {}
        self._reasons: Counter[str] = Counter()
        self._found = Distributions.empty(len(classes), splits)
        self._samples: dict[str, list[tuple[float, Frame]]] = {split: [] for split in splits}

    def add(self, frame: Frame, split: str) -> None:
        """Counts a frame of a split."""
        counts, site = self._counts[split], frame.site or frame.recording
        counts["images"] += 1
        counts["empty_images"] += not frame.annotations
        self._sites[split].add(site)
        self._images_by_site[site] += 1
        self._found.crowding[split][len(frame.annotations)] += 1
        by_site = self._boxes_by_site.setdefault(site, Counter())
        boxes = []
        for annotation in frame.annotations:
            counts["device"] += annotation.label_source != "human"
            if not annotation.counts:
                counts["ignored"] += 1
                self._reasons[self._reason(annotation)] += 1
                continue
            counts["boxes"] += 1
            self._by_class[split][annotation.class_name] += 1
            by_site[annotation.class_name] += 1
            boxes.append((*annotation.xywh, self._ids[annotation.class_name]))
        if boxes:
            self._add_boxes(np.array(boxes, dtype=np.float64), (frame.width, frame.height), split)
        self._sample(frame, split)

    def report(self, notes: Sequence[str]) -> Report:
        """What was counted; a class that some split lacks, or that is rare, becomes a note."""
        all_notes = list(notes)
        for split in self._splits:
            lacking = [name for name in self._classes if not self._by_class[split][name]]
            if self._counts[split]["images"] and lacking:
                all_notes.append(f"the {split} split has no box of {', '.join(lacking)}")
        total = sum(counts["boxes"] for counts in self._counts.values())
        boxes = {name: sum(self._by_class[split][name] for split in self._splits) for name in self._classes}
        rare = [name for name, count in boxes.items() if 0 < count < RARE_SHARE * total]
        if rare:
            all_notes.append(f"fewer than {RARE_SHARE:.0%} of the boxes are of {', '.join(rare)}")
        return Report(
            classes=self._classes,
            counts={split: {name: self._counts[split][name] for name in COUNT_NAMES} for split in self._splits},
            boxes_by_class={
                split: {name: self._by_class[split][name] for name in self._classes} for split in self._splits
            },
            sites={split: sorted(self._sites[split]) for split in self._splits},
            images_by_site=dict(sorted(self._images_by_site.items())),
            boxes_by_site={site: dict(self._boxes_by_site[site]) for site in sorted(self._boxes_by_site)},
            notes=all_notes,
            ignored_by_reason=dict(sorted(self._reasons.items())),
        )

    def html(
        self,
        report: Report,
        *,
        title: str,
        left_out: Mapping[str, int] | None = None,
        sections: Sequence[tuple[str, Html]] = (),
        pictures: str = BLURRED,
        about: About | None = None,
    ) -> str:
        """The report as one self-contained page; `left_out` counts by reason, `sections` are those of observers.

        `pictures`: a word of `PictureChoice`.
        """
        samples = {
            split: sorted((frame for _, frame in kept), key=lambda frame: frame.file_name)
            for split, kept in self._samples.items()
        }
        return report_page(
            report,
            self._found,
            samples,
            title=title,
            left_out=left_out or {},
            sections=sections,
            pictures=pictures,
            about=about or About(),
        )

    def _reason(self, annotation: Annotation) -> str:
        if annotation.is_crowd:
            return "crowd"
        stated = str(annotation.attributes.get(REASON, "")).partition(":")[0]
        if stated:
            return stated
        return "labelled so" if annotation.class_name in self._ids else f"class {annotation.class_name}"

    def _add_boxes(self, boxes: NDArray[np.float64], image_wh: tuple[int, int], split: str) -> None:
        """`boxes` (n, 5): left, top, width, height, class id."""
        size = np.array(image_wh)
        relative = boxes[:, 2:4] / size  # (n, 2)
        class_ids = boxes[:, 4].astype(int)
        bins = np.searchsorted(SIZE_EDGES, relative, side="right") - 1
        for axis, counts in enumerate((self._found.widths, self._found.heights)):
            inside = (bins[:, axis] >= 0) & (bins[:, axis] < len(SIZE_EDGES) - 1)
            np.add.at(counts, (class_ids[inside], bins[inside, axis]), 1)
        self._found.add_aspects(class_ids, boxes[:, 2] / boxes[:, 3])
        centres = (boxes[:, :2] + boxes[:, 2:4] / 2) / size
        cells = np.clip((centres * HEAT_BINS_WH).astype(int), 0, np.array(HEAT_BINS_WH) - 1)
        np.add.at(self._found.heat[split], (cells[:, 0], cells[:, 1]), 1)

    def _sample(self, frame: Frame, split: str) -> None:
        """Keeps the frames whose hashes are smallest, which are spread over the split and the same in every run."""
        kept, position = self._samples[split], -hash_position(frame.file_name)
        if len(kept) < SAMPLES_PER_SPLIT:
            heapq.heappush(kept, (position, frame))
        elif position > kept[0][0]:
            heapq.heapreplace(kept, (position, frame))
