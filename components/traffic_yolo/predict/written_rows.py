"""What all writers of predictions share: rows of detections, names of pictures, JPEGs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from traffic_yolo.dataset.pictures.picture_file import picture_suffix
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import StorageError
from traffic_yolo.predict.input_picture import InputPicture

TRACK_COLUMN = "track_id"  # in files of a run that tracks
TrackIds = Sequence[int | None] | None
JPEG_QUALITY = 95  # of a video's frames, which are no JPEGs yet


class PredictionWriter(Protocol):
    """Writes predictions into a folder of its own."""

    def add(self, picture: InputPicture, found: Detections, tracks: TrackIds = None) -> None:
        """One picture and its detections, of which there may be none; `tracks`: see `following.Followed.track_ids`."""
        ...


def track_columns(found: Detections, tracks: TrackIds) -> Iterator[dict[str, int | None]]:
    """What a run that tracks says beside each detection; nothing otherwise."""
    yield from ({} if tracks is None else {TRACK_COLUMN: tracks[index]} for index in range(len(found)))


def rows_of(found: Detections) -> Iterator[tuple[list[float], float, int]]:
    """(left, top, right, bottom in pixels; score; class id) of each detection.

    The values are those of float32, which float64 says exactly: what is read back is what was reported.
    """
    return zip(found.boxes_xyxy.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)


def file_name_of(picture: InputPicture) -> str:
    if picture.data and picture.frame is None:
        return f"{picture.name}{picture.path.suffix.lower()}"
    return f"{picture.name}{picture_suffix(picture.data)}"


def write_jpeg(path: Path, image_bgr: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Writes (H, W, 3) uint8 BGR as a JPEG; `StorageError` where OpenCV cannot make one (a side above 65,500)."""
    made, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not made:
        height, width = image_bgr.shape[:2]
        raise StorageError(f"{path.name}: OpenCV cannot write {width} x {height} pixels as a JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())
