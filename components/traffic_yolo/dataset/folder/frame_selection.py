"""Which frames of a source a data set takes, and with which annotations: for whoever writes them, and whoever counts.

Frame by frame, in order. What only the whole set can tell is decided after it, by `judged_frames`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.folder.frame_mapping import FrameMapping
from traffic_yolo.dataset.frame_spool import SpooledFrame, read_frames
from traffic_yolo.dataset.observers import PlugIns, RecordFilter
from traffic_yolo.dataset.options import ConvertOptions
from traffic_yolo.dataset.records import Annotation, Frame


class FrameSelection:
    """The rules of one conversion. `tally` counts what was left out or changed, by what the report says after it."""

    def __init__(self, class_map: ClassMap, options: ConvertOptions, plug_ins: PlugIns) -> None:
        self.tally: Counter[str] = Counter()
        self._options = options
        self._plug_ins = plug_ins
        self._mapping = FrameMapping(class_map, self.tally)

    def chosen(self, frame: Frame, split: str) -> Frame | None:
        """The frame as it goes into the split; None where no labels may be used there, or a filter drops it."""
        if not frame.labelled:
            usable = self._usable_device_labels(frame, split)
            if usable is None:
                return None
            frame = replace(frame, annotations=usable)
        frame = replace(self._mapping.mapped(frame), stated=frame.annotations)
        for frame_change in self._plug_ins.changes:
            frame = frame_change.change(frame)
        for frame_filter in self._plug_ins.filters:
            reason = frame_filter.keep(frame, split, frame.picture())
            if reason:
                self.tally[reason] += 1
                return None
        return frame

    def _usable_device_labels(self, frame: Frame, split: str) -> tuple[Annotation, ...] | None:
        """What may be used of the boxes of a frame that no human labelled; None to leave the frame out."""
        if self._options.device_labels == "never":
            self.tally["pictures without human labels left out"] += 1
            return None
        if split != "train":
            self.tally["pictures without human labels left out, of sites that are not for training"] += 1
            return None
        floor = self._options.min_confidence
        usable = tuple(a for a in frame.annotations if a.is_sure(floor))
        self.tally[f"device detections below confidence {floor:g} left out"] += len(frame.annotations) - len(usable)
        if not usable:
            # The device's silence is no proof of an empty road
            self.tally["pictures without human labels or a usable device detection left out"] += 1
            return None
        self.tally["pictures labelled by the device"] += 1
        return usable


def judged_frames(spools: Sequence[Path], filters: Sequence[RecordFilter]) -> Iterator[tuple[SpooledFrame, str]]:
    """Every frame of the spools with why a filter over the whole set drops it; "" where it stays."""
    for record_filter in filters:
        record_filter.plan((spooled.frame, spooled.split) for spooled in read_frames(spools))
    for spooled in read_frames(spools):
        reasons = [record_filter.keep(spooled.frame, spooled.split) for record_filter in filters]
        yield spooled, next(filter(None, reasons), "")
