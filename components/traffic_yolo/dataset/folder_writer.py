"""Writes the files of a data set folder, frame by frame; knows the layout of the folder and nothing of sources."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.boxes import clip_xyxy, xywh_to_xyxy, xyxy_to_xywh
from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.coco import coco_document
from traffic_yolo.dataset.data_set import CLASSES_NAME, MANIFEST_NAME, SCHEMA_VERSION
from traffic_yolo.dataset.manifest import content_fingerprint, file_entry
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.records import SPLITS, Annotation, Frame
from traffic_yolo.dataset.report import Report, report_html
from traffic_yolo.dataset.yolo import darknet_data_text, data_yaml_text, picture_list_text, yolo_lines
from traffic_yolo.errors import DatasetError
from traffic_yolo.storage import write_json

NOTED_CUT_PX = 0.5  # below, a box that sticks out is the rounding of a label file


class FolderWriter:
    """Writes into `folder`, which is empty; the records of all frames stay in memory, their pictures do not.

    Call `add` for each frame, then `check_splits`, `write_labels`, `write_manifest` and `write_report` in this order.
    """

    def __init__(self, folder: Path, class_map: ClassMap, options: ConvertOptions) -> None:
        self._folder = folder
        self._map = class_map
        self._options = options
        self._frames: dict[str, list[tuple[int, Frame]]] = {split: [] for split in SPLITS}
        self._files: list[dict[str, Any]] = []
        self._tally: Counter[str] = Counter()
        self._next_id = 1

    def add(self, frame: Frame, split: str) -> None:
        """Writes the picture and its YOLO labels, unless the frame has no labels that may be used in the split."""
        if not frame.labelled:
            usable = self._usable_device_labels(frame, split)
            if usable is None:
                return
            frame = replace(frame, annotations=usable)
        frame = replace(frame, annotations=tuple(self._mapped(frame)))
        self._write(f"images/{frame.file_name}", frame.picture())
        lines = yolo_lines(frame.annotations, self._map.classes, (frame.width, frame.height))
        self._tally["ignored and crowd boxes that YOLO text cannot say (COCO has them)"] += len(
            frame.annotations
        ) - len(lines)
        self._write_yolo_labels(frame, "".join(line + "\n" for line in lines).encode())
        # The record outlives the picture's bytes: a share of millions must not stay in memory
        written = replace(frame, picture=(self._folder / "images" / frame.file_name).read_bytes)
        self._frames[split].append((self._next_id, written))
        self._next_id += 1

    def check_splits(self, *, required: tuple[str, ...]) -> None:
        """Raises `DatasetError` where a required split has no picture."""
        for split in required:
            if not self._frames[split]:
                raise DatasetError(f"the {split} split has no picture with labels; name other sites, or label more")

    def notes(self) -> list[str]:
        """Lines for the report: what was left out or changed."""
        return [f"{count} {what}" for what, count in sorted(self._tally.items()) if count]

    def write_labels(self, notes: list[str]) -> Report:
        """Writes the COCO files, the classes, the lists of pictures and what Darknet and ultralytics start from."""
        classes = self._map.classes
        for split, frames in self._frames.items():
            document = coco_document(frames, classes, description=f"{split} split")
            path = f"annotations/instances_{split}.json"
            write_json(self._folder / path, document)
            self._files.append(file_entry(path, (self._folder / path).read_bytes()))
            self._write(f"{split}.txt", picture_list_text([frame.file_name for _, frame in frames]).encode())
        self._write(CLASSES_NAME, self._map.to_yaml().encode())
        self._write("classes.names", "".join(name + "\n" for name in classes).encode())
        self._write("data.yaml", data_yaml_text(classes).encode())
        self._write("darknet.data", darknet_data_text(len(classes)).encode())
        return Report.of(self._frames, classes, notes)

    def write_manifest(
        self, report: Report, source_description: str, split_rule: str, source_fingerprint: str | None
    ) -> str:
        """Writes the manifest of what was written so far; returns the fingerprint."""
        fingerprint = content_fingerprint(self._files)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": fingerprint,
            "source": {
                "location": self._options.source,
                "labels": self._options.labels,
                "description": source_description,
            },
            "parent_fingerprint": source_fingerprint,
            "class_map_sha256": self._map.sha256,
            "device_labels": self._options.device_labels,
            "min_device_confidence": self._options.min_device_confidence,
            "split_rule": split_rule,
            "splits": report.sites,
            "counts": report.counts,
            "files": sorted(self._files, key=lambda entry: str(entry["path"])),
        }
        write_json(self._folder / MANIFEST_NAME, manifest)
        return fingerprint

    def write_report(self, report: Report) -> None:
        """Writes report.json and report.html; neither is in the manifest, since a plot may change with its library."""
        write_json(self._folder / "report.json", report.as_dict())
        title = "Data set"
        (self._folder / "report.html").write_text(report_html(report, self._frames, title=title), encoding="utf-8")

    def _write(self, path: str, data: bytes) -> None:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self._files.append(file_entry(path, data))

    def _write_yolo_labels(self, frame: Frame, data: bytes) -> None:
        """Below `labels/`, where ultralytics looks, and beside the picture, where Darknet does.

        Darknet turns a picture's path into that of its labels by replacing the suffix, and no folder but
        `/images/train2017/`, `/images/val2017/` and `/JPEGImages/` (AlexeyAB utils.c, replace_image_to_label).
        """
        name = f"{frame.recording}/{frame.scan}.txt"
        self._write(f"labels/{name}", data)
        try:
            os.link(self._folder / "labels" / name, self._folder / "images" / name)
        except OSError:  # a file system without hard links
            (self._folder / "images" / name).write_bytes(data)
        self._files.append(file_entry(f"images/{name}", data))

    def _usable_device_labels(self, frame: Frame, split: str) -> tuple[Annotation, ...] | None:
        """What may be used of the boxes of a frame that no human labelled; None to leave the frame out."""
        if self._options.device_labels == "never":
            self._tally["pictures without human labels left out"] += 1
            return None
        if split != "train":
            self._tally["pictures without human labels left out, of sites that are not for training"] += 1
            return None
        floor = self._options.min_device_confidence
        usable = tuple(a for a in frame.annotations if a.confidence is None or a.confidence >= floor)
        self._tally[f"device detections below confidence {floor:g} left out"] += len(frame.annotations) - len(usable)
        if not usable:
            # The device's silence is no proof of an empty road
            self._tally["pictures without human labels or a usable device detection left out"] += 1
            return None
        self._tally["pictures labelled by the device"] += 1
        return usable

    def _mapped(self, frame: Frame) -> list[Annotation]:
        """The frame's annotations under the class map, cut at the picture's edges."""
        kept = []
        for annotation in frame.annotations:
            number = f" annotation {annotation.number}" if annotation.number else ""
            where = f"{frame.label_file}{number} ({frame.recording} {frame.scan})"
            fate, name = self._map.fate(annotation.class_name, ignored=annotation.ignore, where=where)
            if fate == "drop":
                self._tally[f"boxes of dropped class {name}"] += 1
                continue
            ignore = annotation.ignore or fate == "ignore"
            cut = self._cut(annotation, frame)
            if cut is not None:
                kept.append(replace(cut, class_name=name, ignore=ignore))
        return kept

    def _cut(self, annotation: Annotation, frame: Frame) -> Annotation | None:
        """The annotation cut at the picture's edges; None where it lies outside."""
        box = np.array(annotation.xywh, dtype=np.float64)
        box_xyxy = xywh_to_xyxy(box)
        cut_xyxy = clip_xyxy(box_xyxy, (frame.height, frame.width))
        if np.array_equal(cut_xyxy, box_xyxy):
            return annotation  # bit for bit
        x, y, width, height = map(float, xyxy_to_xywh(cut_xyxy))
        if width <= 0 or height <= 0:
            self._tally["boxes wholly outside the picture left out"] += 1
            return None
        if np.abs(cut_xyxy - box_xyxy).max() >= NOTED_CUT_PX:
            self._tally[f"boxes cut at the edge of the picture by {NOTED_CUT_PX:g} px or more"] += 1
        return replace(annotation, xywh=(x, y, width, height), area=None)
