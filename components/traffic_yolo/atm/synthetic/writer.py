"""Writes a recording (HDF5) in any layout: the opposite of `traffic_yolo.atm.recording`."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.hdf5_file import create_hdf5
from traffic_yolo.atm.layouts import DetectionTable, Layout
from traffic_yolo.atm.recording import DeviceDetection

FloatArray = NDArray[np.float64]
PADDED_ROWS = 32  # in layouts whose lists end at the first row with confidence 0
WHOLE_NUMBERS = ("id", "class_id", "match_robj_id", "status", "move_state", "alive_age", "lane")


@dataclass(frozen=True)
class ScanToWrite:
    """One scan; detections are in pixels of a picture of `image_wh`, further columns in their attributes."""

    number: int
    jpeg: bytes | None
    image_wh: tuple[int, int]
    detections: tuple[DeviceDetection, ...]
    tracks: FloatArray
    status: Mapping[str, Any]


def write_recording(path: Path, layout: Layout, scans: Iterable[ScanToWrite], *, named_columns: bool) -> None:
    """Writes the file; the same scans give the same bytes. `named_columns`: detections as records, not as a table."""
    with create_hdf5(path) as file:
        for scan in scans:
            group = file.create_group(f"SCAN_{scan.number:05d}")
            if scan.jpeg is not None:
                _write(group, layout.image_dataset, np.frombuffer(scan.jpeg, np.uint8))
            table = _detection_table(scan, layout, layout.detections)
            _write(group, layout.detections.dataset, _records(table, layout.detections) if named_columns else table)
            if layout.tracks is not None:
                _write(group, layout.tracks.dataset, scan.tracks.astype(np.float32))
            if layout.status_dataset is not None:
                text = json.dumps(scan.status).encode()
                _write(group, layout.status_dataset, np.frombuffer(text, np.uint8))


def _write(group: Any, name: str, values: "NDArray[Any]") -> None:
    group.create_dataset(name, data=values, track_times=False)  # a time stamp would change the bytes every time


def _detection_table(scan: ScanToWrite, layout: Layout, columns: DetectionTable) -> NDArray[np.float32]:
    """(N, columns) rows in the layout's own units, padded where its lists end at confidence 0."""
    ids = {name: class_id for class_id, name in layout.classes.items()}
    scale = np.ones(2) if columns.box_space_wh is None else np.divide(columns.box_space_wh, scan.image_wh)
    rows = []
    for detection in scan.detections:
        x, y, width, height = np.array(detection.xywh) * np.tile(scale, 2)
        if columns.box_anchor == "centre":
            x, y = x + width / 2, y + height / 2
        values = dict(detection.attributes)
        values |= dict(zip(columns.box, (x, y, width, height), strict=True))
        values |= {columns.class_id: ids[detection.class_name], columns.confidence: detection.confidence}
        rows.append([values.get(name, 0.0) for name in columns.columns])
    table = np.array(rows, np.float32).reshape(-1, len(columns.columns))
    if columns.end_of_list == "zero_confidence":
        padding = max(PADDED_ROWS - len(table), 1)
        table = np.concatenate([table, np.zeros((padding, table.shape[1]), np.float32)])
    return table


def _records(table: NDArray[np.float32], columns: DetectionTable) -> "NDArray[Any]":
    """The table as records with a field for each column."""
    fields = [(name, "<i4" if name in WHOLE_NUMBERS else "<f4") for name in columns.columns]
    records = np.zeros(len(table), np.dtype(fields))
    for index, name in enumerate(columns.columns):
        records[name] = table[:, index]
    return records
