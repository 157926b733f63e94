"""Makes a data set folder of a source: pictures byte for byte, COCO and YOLO labels, splits, manifest, report."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.boxes import clip_xyxy, xywh_to_xyxy, xyxy_to_xywh
from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.coco import coco_document
from traffic_yolo.dataset.data_set import CLASSES_NAME, MANIFEST_NAME
from traffic_yolo.dataset.manifest import content_fingerprint, file_entry
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.records import SPLITS, Annotation, Frame
from traffic_yolo.dataset.report import Report, report_html, report_markdown
from traffic_yolo.dataset.sources import Source, open_source
from traffic_yolo.dataset.split_plan import SplitPlan
from traffic_yolo.dataset.yolo import darknet_data_text, data_yaml_text, picture_list_text, yolo_lines
from traffic_yolo.errors import DatasetError
from traffic_yolo.progress import progress
from traffic_yolo.snapshot.snapshot import read_snapshot
from traffic_yolo.storage import atomic_folder, local_path, write_json, write_text

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class ConvertSummary:
    """What came out. `text` for a terminal, `markdown` for the Kubeflow UI, `counts` as scalars by name."""

    fingerprint: str
    counts: dict[str, int]
    text: str
    markdown: str


def convert(
    options: ConvertOptions, out: Path, *, snapshot_path: Path | None = None, expected_fingerprint: str = ""
) -> ConvertSummary:
    """Writes the data set folder `out` (docs/architecture.md, Artifacts); it appears whole or not at all.

    The same source and options give the same bytes. `snapshot_path` is kept in the manifest as the state of the source;
    `expected_fingerprint` must be its fingerprint. Raises what the source raises, `LabelError` for labels that fit no
    class or frame, `OptionsError` for sites that do not exist, `DatasetError` for a picture that cannot be read or a
    split without a labelled picture, `StorageError` for a disk that is full.
    """
    snapshot = read_snapshot(snapshot_path) if snapshot_path else None
    if snapshot and expected_fingerprint and snapshot.fingerprint != expected_fingerprint:
        raise DatasetError(f"{snapshot_path}: fingerprint is not {expected_fingerprint}; take the snapshot again")
    source = open_source(options.source, labels=options.labels, source_format=options.source_format)
    class_map = _class_map(options, source)
    plan = SplitPlan.of(source, val_sites=options.val_site_names, test_sites=options.test_site_names)
    with atomic_folder(out) as folder:
        writer = _FolderWriter(folder, class_map, source.description)
        for frame in progress(source.frames(), description="convert", unit="picture", total=source.num_frames):
            writer.add(frame, plan, options)
        return writer.finish(source, options, plan, snapshot.fingerprint if snapshot else "")


def _class_map(options: ConvertOptions, source: Source) -> ClassMap:
    if options.class_map:
        return ClassMap.read(local_path(options.class_map))
    if not source.labelled_classes:
        raise DatasetError(
            f"{options.source}: no human label at all; the val and test split need some: give --labels FILE"
        )
    return ClassMap.default(source.classes, source.labelled_classes)


class _FolderWriter:
    """Collects the frames of a data set and writes its files."""

    def __init__(self, folder: Path, class_map: ClassMap, description: str) -> None:
        self._folder = folder
        self._map = class_map
        self._description = description
        self._frames: dict[str, list[tuple[int, Frame]]] = {split: [] for split in SPLITS}
        self._files: list[dict[str, Any]] = []
        self._tally: Counter[str] = Counter()
        self._next_id = 1

    def add(self, frame: Frame, plan: SplitPlan, options: ConvertOptions) -> None:
        """Writes the picture and its YOLO labels, unless the frame has no labels that may be used."""
        split = plan.split_of(frame)
        if frame.attributes.get("labels") == "device":
            if options.device_labels == "never" or split != "train":
                self._tally["pictures without human labels left out"] += 1
                return
            usable = tuple(a for a in frame.annotations if (a.confidence or 0) >= options.min_device_confidence)
            self._tally["device detections below the confidence left out"] += len(frame.annotations) - len(usable)
            frame = replace(frame, annotations=usable)
        frame = replace(frame, annotations=tuple(self._mapped(frame)))
        data = frame.picture()
        picture = self._folder / "images" / frame.file_name
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_bytes(data)
        label = (self._folder / "labels" / frame.file_name).with_suffix(".txt")
        label.parent.mkdir(parents=True, exist_ok=True)
        lines = yolo_lines(frame.annotations, self._map.classes, (frame.width, frame.height))
        label.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        self._files.append(file_entry(f"images/{frame.file_name}", data))
        # The record outlives the picture's bytes: a share of millions must not stay in memory
        self._frames[split].append((self._next_id, replace(frame, picture=picture.read_bytes)))
        self._next_id += 1

    def finish(self, source: Source, options: ConvertOptions, plan: SplitPlan, snapshot: str) -> ConvertSummary:
        """Writes the files that describe the whole set, the manifest last but the report."""
        for split in SPLITS:
            if not self._frames[split]:
                raise DatasetError(f"the {split} split has no labelled picture; name other sites or label more")
        classes = self._map.classes
        notes = [*plan.notes, *source.notes, *(f"{n} {what}" for what, n in sorted(self._tally.items()) if n)]
        report = Report.of(self._frames, classes, notes)
        for split, frames in self._frames.items():
            document = coco_document(frames, classes, description=f"{split} split; {self._description}")
            write_json(self._folder / "annotations" / f"instances_{split}.json", document)
            write_text(self._folder / f"{split}.txt", picture_list_text([frame.file_name for _, frame in frames]))
        write_text(self._folder / CLASSES_NAME, self._map.to_yaml())
        write_text(self._folder / "classes.names", "".join(name + "\n" for name in classes))
        write_text(self._folder / "data.yaml", data_yaml_text(classes))
        write_text(self._folder / "darknet.data", darknet_data_text(len(classes)))
        fingerprint = self._write_manifest(options, plan, report, snapshot)
        write_json(self._folder / "report.json", report.as_dict())
        write_text(self._folder / "report.html", report_html(report, self._frames, title="Data set"))
        scalars = report.scalars()
        text = "\n".join(
            f"{split}: {scalars[f'{split}_images']} pictures, {scalars[f'{split}_boxes']} boxes, "
            f"sites {', '.join(report.sites[split]) or '-'}"
            for split in SPLITS
        )
        return ConvertSummary(fingerprint, scalars, text, report_markdown(report))

    def _write_manifest(self, options: ConvertOptions, plan: SplitPlan, report: "Report", snapshot: str) -> str:
        for path in sorted((self._folder / "annotations").iterdir()):
            self._files.append(file_entry(f"annotations/{path.name}", path.read_bytes()))
        self._files.append(file_entry(CLASSES_NAME, (self._folder / CLASSES_NAME).read_bytes()))
        fingerprint = content_fingerprint(self._files)
        write_json(
            self._folder / MANIFEST_NAME,
            {
                "schema_version": SCHEMA_VERSION,
                "fingerprint": fingerprint,
                "source": {"location": options.source, "labels": options.labels, "fingerprint": snapshot},
                "class_map_sha256": self._map.sha256,
                "device_labels": options.device_labels,
                "min_device_confidence": options.min_device_confidence,
                "split_rule": plan.rule,
                "splits": report.sites,
                "counts": report.counts,
                "files": self._files,
            },
        )
        return fingerprint

    def _mapped(self, frame: Frame) -> list[Annotation]:
        """The frame's annotations under the class map, cut at the picture's edges."""
        kept = []
        for annotation in frame.annotations:
            where = f"{frame.recording} {frame.scan}"
            fate, name = self._map.fate(annotation.class_name, where=where)
            if fate == "drop":
                self._tally[f"boxes of dropped class {name}"] += 1
                continue
            box = np.array(annotation.xywh, dtype=np.float64)
            cut = xyxy_to_xywh(clip_xyxy(xywh_to_xyxy(box), (frame.height, frame.width)))
            if cut[2] <= 0 or cut[3] <= 0:
                self._tally["boxes wholly outside the picture left out"] += 1
                continue
            if np.abs(cut - box).max() > 1e-6:
                self._tally["boxes cut at the edge of the picture"] += 1
            x, y, width, height = map(float, cut)
            ignore = annotation.ignore or fate == "ignore"
            kept.append(replace(annotation, class_name=name, xywh=(x, y, width, height), ignore=ignore))
        return kept
