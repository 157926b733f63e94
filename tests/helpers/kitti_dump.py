"""Writes what `deepstream-app` dumps per frame (gie-kitti-output-dir), which the product only reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from traffic_yolo.deepstream.run.kitti import frame_file
from traffic_yolo.detection.nms import Detections
from traffic_yolo.model_folder import label
from traffic_yolo.storage import write_text


def write_kitti(folder: Path, detections: Detections, image_ids: Sequence[int], classes: Sequence[str]) -> None:
    """A dump as `read_kitti` reads it: one file per frame, also for a frame without detections."""
    for frame, image_id in enumerate(image_ids):
        lines = []
        for row in np.flatnonzero(detections.image_ids == image_id):
            box = " ".join(f"{value:f}" for value in detections.boxes_xyxy[row])
            name = label(classes[int(detections.class_ids[row])])
            zeros = " ".join(["0.0"] * 7)
            lines.append(f"{name} 0.0 0 0.0 {box} {zeros} {detections.scores[row]:f}\n")
        write_text(folder / frame_file(frame), "".join(lines))
