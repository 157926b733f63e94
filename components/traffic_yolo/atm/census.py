"""Counts what a recording holds, without a picture's bytes: frames, and the device's detections by class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from traffic_yolo.atm.hdf5_file import Hdf5Group
from traffic_yolo.atm.layouts import Layout
from traffic_yolo.atm.recording import Recording
from traffic_yolo.atm.recording_limits import RecordingLimits
from traffic_yolo.atm.tables import read_table


@dataclass(frozen=True)
class RecordingCensus:
    """`frames`: scans with a picture. `detections`: class name -> rows of the device that can be used; no zeros."""

    frames: int
    detections: dict[str, int]


def take_census(path: Path, layout: Layout | None = None, limits: RecordingLimits | None = None) -> RecordingCensus:
    """Reads a recording scan by scan; `RecordingError` for one that cannot be read as one."""
    with Recording(path, layout, skip_bad_rows=True, limits=limits) as recording:
        frames, counts = 0, dict.fromkeys(recording.layout.classes.values(), 0)
        for number in recording.scan_numbers:
            group = recording.group(number)
            picture = group.data_set(recording.layout.image_dataset)
            if picture is not None:
                picture.check()
                frames += picture.shape != (0,)
            _count(group, recording.layout, recording.limits, counts)
        return RecordingCensus(frames, {name: count for name, count in counts.items() if count})


def _count(group: Hdf5Group, layout: Layout, limits: RecordingLimits, counts: dict[str, int]) -> None:
    """Adds the usable rows of one scan to `counts`; the rules are those of `Recording`'s own reading."""
    detections = layout.detections
    data_set = group.data_set(detections.dataset)
    if data_set is None:
        return
    table = read_table(data_set, detections.columns, limits)
    confidence, class_id = table[detections.confidence], table[detections.class_id]
    if detections.end_of_list == "zero_confidence" and (confidence == 0).any():
        end = int(np.argmax(confidence == 0))
        table = {name: values[:end] for name, values in table.items()}
        confidence, class_id = confidence[:end], class_id[:end]
    numbers = np.stack([table[name] for name in detections.box] + [confidence, class_id])  # (6, N)
    usable = np.isfinite(numbers).all(axis=0) & (confidence >= 0) & (confidence <= 1)
    usable &= (table[detections.box[2]] > 0) & (table[detections.box[3]] > 0)
    ids, rows = np.unique(class_id[usable], return_counts=True)
    for value, count in zip(ids.tolist(), rows.tolist(), strict=True):
        if value in layout.classes:
            counts[layout.classes[value]] += count
