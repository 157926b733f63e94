"""First stage of a conversion: pictures and YOLO text of one shard's frames into a folder, their records into a spool.

Knows nothing of other shards; what only the whole set can tell is left to `folder_writer`.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.folder.frame_selection import FrameSelection
from traffic_yolo.dataset.formats.yolo import yolo_lines
from traffic_yolo.dataset.frame_spool import FileEntry, SpooledFrame, write_frame
from traffic_yolo.dataset.observers import PlugIns
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.quarantine import Quarantine
from traffic_yolo.dataset.records import Frame


class FrameWriter:
    """Writes the file `spool`, and pictures and text beside it. A context manager; call `add` for each frame in order.

    `tally` counts what was left out or changed, by what the report says after the number; `ignored_names` are the
    classes that occur in ignored boxes only.
    """

    def __init__(
        self,
        spool: Path,
        class_map: ClassMap,
        options: ConvertOptions,
        plug_ins: PlugIns,
        quarantine: Quarantine | None = None,
    ) -> None:
        self._quarantine = quarantine
        self._folder = spool.parent
        self._map = class_map
        self._options = options
        self._plug_ins = plug_ins
        self._made: set[str] = set()
        self._selection = FrameSelection(class_map, options, plug_ins)
        self.tally: Counter[str] = self._selection.tally
        self.ignored_names: set[str] = set()
        self._spool = spool.open("wb")

    def __enter__(self) -> "FrameWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        self._spool.close()

    def add(self, frame: Frame, split: str) -> None:
        """Writes the frame, unless it has no labels that may be used in the split, or a filter drops it.

        One that would fail the conversion goes to the quarantine, where there is one.
        """
        chosen = self._selection.chosen(frame, split)
        if chosen is None:
            return
        picture = chosen.picture()
        measured = self._plug_ins.measured(chosen, split, picture)
        bad = self._plug_ins.objections(measured) if self._quarantine is not None else []
        if self._quarantine is not None and bad:
            self._quarantine.put_frame(chosen, bad, picture)
        else:
            self._write(chosen, split, picture, measured)

    def _write(self, frame: Frame, split: str, picture: bytes, measured: Mapping[str, Any]) -> None:
        lines = yolo_lines(frame.annotations, self._map.classes, (frame.width, frame.height))
        self._count_unsaid(frame, len(lines))
        text = "".join(line + "\n" for line in lines).encode()
        if self._options.labels_only:
            self._write_label(frame, text)
        else:
            self._write_files(frame, picture, text)
        self.ignored_names.update(a.class_name for a in frame.annotations if a.class_name not in self._map.classes)
        entry = None if self._options.labels_only else _entry(picture)
        write_frame(self._spool, SpooledFrame(frame, split, entry, _entry(text), measured))

    def _count_unsaid(self, frame: Frame, num_lines: int) -> None:
        """Counts what YOLO text cannot say of the frame; the COCO file beside it says it."""
        annotations = frame.annotations
        for what, count in (
            ("ignored and crowd boxes", len(annotations) - num_lines),
            ("confidences", sum(a.confidence is not None for a in annotations)),
            ("boxes' attributes", sum(bool(a.attributes) for a in annotations)),
        ):
            if count:
                self.tally[f"{what} that YOLO text cannot say (COCO has them)"] += count

    def _write_files(self, frame: Frame, picture: bytes, text: bytes) -> None:
        """The picture below `images/`; its text below `labels/`, where ultralytics looks, and beside it for Darknet.

        Darknet turns a picture's path into that of its labels by replacing the suffix, and no folder but
        `/images/train2017/`, `/images/val2017/` and `/JPEGImages/` (AlexeyAB utils.c, replace_image_to_label).
        """
        images, labels = (self._folder_of(frame, name) for name in ("images", "labels"))
        _write_bytes(f"{images}/{frame.scan}{frame.suffix}", picture)
        _write_bytes(f"{labels}/{frame.scan}.txt", text)
        try:
            os.link(f"{labels}/{frame.scan}.txt", f"{images}/{frame.scan}.txt")
        except OSError:  # a file system without hard links
            _write_bytes(f"{images}/{frame.scan}.txt", text)

    def _write_label(self, frame: Frame, text: bytes) -> None:
        """The text below `labels/` alone: a data set of labels only has no folder of pictures."""
        _write_bytes(f"{self._folder_of(frame, 'labels')}/{frame.scan}.txt", text)

    def _folder_of(self, frame: Frame, name: str) -> str:
        """The folder of the frame's recording below `name`, which is there afterwards."""
        folder = f"{self._folder}/{name}/{frame.recording}"
        if folder not in self._made:
            self._made.add(folder)
            os.makedirs(folder, exist_ok=True)
        if "/" in frame.scan:
            os.makedirs(os.path.dirname(f"{folder}/{frame.scan}"), exist_ok=True)
        return folder


def _write_bytes(path: str, data: bytes) -> None:
    # No buffer: one call writes the whole file
    with open(path, "wb", buffering=0) as file:
        written = file.write(data)
        while written < len(data):
            written += file.write(data[written:])


def _entry(data: bytes) -> FileEntry:
    return FileEntry(len(data), hashlib.sha256(data).hexdigest())


def notes_of(tally: Counter[str]) -> list[str]:
    """A tally as lines for the report."""
    return [f"{count} {what}" for what, count in sorted(tally.items()) if count]
