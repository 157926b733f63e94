"""Counts what a recording holds, without a picture's bytes: frames, and the device's detections by class."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from traffic_yolo.atm.layouts import Layout
from traffic_yolo.atm.recording import Recording, _readable, _table


@dataclass(frozen=True)
class RecordingCensus:
    """`frames`: scans with a picture. `detections`: class name -> rows of the device that can be used; no zeros."""

    frames: int
    detections: dict[str, int]


def take_census(path: Path, layout: Layout | None = None) -> RecordingCensus:
    """Reads a recording scan by scan; `RecordingError` for one that cannot be read as one."""
    with Recording(path, layout, skip_bad_rows=True) as recording:
        frames, counts = 0, dict.fromkeys(recording.layout.classes.values(), 0)
        for number in recording.scan_numbers:
            name = recording._scan_name(number)
            where = f"{path} {name}"
            with _readable(where):
                group = recording._file[name]
                image = group.get(recording.layout.image_dataset)
                frames += bool(image is not None and image.shape != (0,))
                _count(group, recording.layout, where, counts)
        return RecordingCensus(frames, {name: count for name, count in counts.items() if count})


def _count(group: object, layout: Layout, where: str, counts: dict[str, int]) -> None:
    """Adds the usable rows of one scan to `counts`; the rules are those of `Recording`'s own reading."""
    detections = layout.detections
    if detections.dataset not in group:  # type: ignore[operator]  # an h5py group
        return
    table = _table(group[detections.dataset], detections.columns, f"{where} {detections.dataset}")  # type: ignore[index]
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
