"""Predictions in the formats of labelling tools, by the writers of data sets' labels; and each detection cut out."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

from traffic_yolo.dataset.formats.cvat_writer import CvatWriter
from traffic_yolo.dataset.formats.kitti import kitti_line
from traffic_yolo.dataset.formats.text_labels import write_label_file
from traffic_yolo.dataset.records import Annotation, Frame, rounded_xywh
from traffic_yolo.detection.nms import Detections
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.written_rows import TrackIds, file_name_of, rows_of, track_columns, write_jpeg

CROPS_FOLDER = "crops"


class CvatResultsWriter:
    """`annotations.xml`, as CVAT takes it for images of these names, and `labels.json` that declares its attributes."""

    def __init__(self, writer: CvatWriter, classes: Sequence[str]) -> None:
        self._writer, self._classes = writer, classes

    def add(self, picture: InputPicture, found: Detections, tracks: TrackIds = None) -> None:
        """See `PredictionWriter`."""
        self._writer.add(_PictureFrame.of(picture, _annotations(found, self._classes, tracks)))

    def complete(self) -> None:
        """Puts the file together."""
        self._writer.complete()


class KittiResultsWriter:
    """`label_2/<picture>.txt`: KITTI's 15 columns and the score; empty without detections."""

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self._folder, self._classes = folder / "label_2", classes
        self._folder.mkdir()

    def add(self, picture: InputPicture, found: Detections, tracks: TrackIds = None) -> None:
        """See `PredictionWriter`."""
        lines = [kitti_line(annotation) for annotation in _annotations(found, self._classes, tracks)]
        write_label_file(self._folder / f"{picture.name}.txt", lines)


class _PictureFrame(Frame):
    """A picture as the label writers take it, under the name that it has here."""

    __slots__ = ()

    @property
    def file_name(self) -> str:
        return f"{self.scan}{self.suffix}"

    @classmethod
    def of(cls, picture: InputPicture, annotations: tuple[Annotation, ...]) -> "_PictureFrame":
        suffix = file_name_of(picture).removeprefix(picture.name)
        size_wh = picture.width, picture.height
        return cls("predictions", picture.name, *size_wh, annotations, picture=bytes, suffix=suffix, labelled=False)


class CropWriter:
    """`crops/<class>/<picture>_<number>.jpg`: each detection's part of the picture, whole pixels."""

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self._folder = folder / CROPS_FOLDER
        self._names = [re.sub(r"[^\w.-]", "_", name).lstrip(".") or "_" for name in classes]

    def add(self, picture: InputPicture, found: Detections, tracks: TrackIds = None) -> None:  # noqa: ARG002
        """See `PredictionWriter`. A box of which nothing lies in the picture has no crop."""
        image_bgr = picture.bgr()
        for number, ((left, top, right, bottom), _, class_id) in enumerate(rows_of(found), start=1):
            x1, y1 = max(0, math.floor(left)), max(0, math.floor(top))
            x2, y2 = min(picture.width, math.ceil(right)), min(picture.height, math.ceil(bottom))
            if x2 > x1 and y2 > y1:
                path = self._folder / self._names[class_id] / f"{picture.name}_{number}.jpg"
                write_jpeg(path, image_bgr[y1:y2, x1:x2])


def _annotations(found: Detections, classes: Sequence[str], tracks: TrackIds) -> tuple[Annotation, ...]:
    """The detections as the label writers take them; no box is too flat for them."""
    return tuple(
        Annotation(
            classes[class_id],
            rounded_xywh((left, top, right - left, bottom - top)),
            label_source="model",
            confidence=min(max(score, 0.0), 1.0),
            attributes={name: number for name, number in track.items() if number is not None},
        )
        for ((left, top, right, bottom), score, class_id), track in zip(
            rows_of(found), track_columns(found, tracks), strict=True
        )
    )
