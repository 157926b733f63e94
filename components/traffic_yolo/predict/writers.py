"""What predictions are written as: one small writer a format, each with the score of every box."""

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import orjson

from traffic_yolo.dataset.data_set import category_id
from traffic_yolo.dataset.formats.coco import coco_categories
from traffic_yolo.dataset.formats.coco_writer import Spill, spill
from traffic_yolo.dataset.formats.cvat_writer import cvat_writer
from traffic_yolo.dataset.formats.labelstudio_writer import picture_data, prediction_of, rectangle_result, write_project
from traffic_yolo.detection.nms import Detections
from traffic_yolo.model_folder import CLASSES_NAME
from traffic_yolo.predict.input_picture import InputPicture
from traffic_yolo.predict.label_writers import CropWriter, CvatResultsWriter, KittiResultsWriter
from traffic_yolo.predict.written_rows import (
    JPEG_QUALITY,
    TRACK_COLUMN,
    PredictionWriter,
    TrackIds,
    file_name_of,
    rows_of,
    track_columns,
)

COCO_NAME, RESULTS_NAME = "instances.json", "results.json"
CSV_NAME, JSONL_NAME = "detections.csv", "detections.jsonl"
CSV_COLUMNS = ("source", "picture", "frame", "time_s", "class_id", "class_name", "score", "left", "top", "right",
               "bottom")  # fmt: skip


class CsvWriter:
    """`detections.csv`: a row for each detection, boxes in pixels. Pictures without any have no row."""

    def __init__(self, file: IO[str], classes: Sequence[str], *, has_tracks: bool) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow([*CSV_COLUMNS, TRACK_COLUMN] if has_tracks else CSV_COLUMNS)
        self._classes = classes

    def add(self, picture: InputPicture, found: Detections, tracks: TrackIds = None) -> None:
        """See `PredictionWriter`."""
        where = (
            picture.source,
            picture.name,
            "" if picture.frame is None else picture.frame,
            "" if picture.time_s is None else f"{picture.time_s:.3f}",
        )
        for (box, score, class_id), track in zip(rows_of(found), track_columns(found, tracks), strict=True):
            numbers = [f"{value:.3f}" for value in box]
            own = ["" if number is None else number for number in track.values()]
            self._rows.writerow([*where, class_id, self._classes[class_id], f"{score:.6f}", *numbers, *own])


class JsonlWriter:
    """`detections.jsonl`: a JSON value a line for each picture, those without detections among them."""

    def __init__(self, file: IO[bytes], classes: Sequence[str]) -> None:
        self._file, self._classes = file, classes

    def add(self, picture: InputPicture, found: Detections, tracks: TrackIds = None) -> None:
        """See `PredictionWriter`."""
        detections = [
            {"class_id": class_id, "class_name": self._classes[class_id], "score": score, "xyxy": box} | track
            for (box, score, class_id), track in zip(rows_of(found), track_columns(found, tracks), strict=True)
        ]
        value = _described(picture) | {"detections": detections}
        self._file.write(orjson.dumps(value) + b"\n")


class CocoResultsWriter:
    """`instances.json`, a COCO file that our reader takes as a model's labels, and `results.json`, as pycocotools
    loads results onto it.
    """

    def __init__(self, folder: Path, classes: Sequence[str], spills: tuple[Spill, Spill, Spill]) -> None:
        self._folder, self._classes = folder, classes
        self._images, self._annotations, self._results = spills

    def add(self, picture: InputPicture, found: Detections, tracks: TrackIds = None) -> None:
        """See `PredictionWriter`."""
        # Of an image without a box as well: a model's silence is no human's word that it is empty
        self._images.add({"id": picture.image_id, **_described(picture), "label_source": "model"})
        for (box, score, class_id), track in zip(rows_of(found), track_columns(found, tracks), strict=True):
            bbox = _xywh(box)
            result = {"image_id": picture.image_id, "category_id": category_id(class_id), "bbox": bbox, "score": score}
            self._results.add(result)
            area = bbox[2] * bbox[3]
            own = {"id": self._annotations.count + 1, "area": area, "iscrowd": 0, "label_source": "model"}
            self._annotations.add({**result, **own, "confidence": score, **track})

    def complete(self) -> None:
        """Puts both files together."""
        head = {"info": {"description": "predictions"}, "categories": coco_categories(self._classes, [])}
        with (self._folder / COCO_NAME).open("wb") as file:
            file.write(orjson.dumps(head).removesuffix(b"}") + b',\n"images": [\n')
            self._images.copy_to(file)
            file.write(b'\n],\n"annotations": [\n')
            self._annotations.copy_to(file)
            file.write(b"\n]}\n")
        with (self._folder / RESULTS_NAME).open("wb") as file:
            file.write(b"[\n")
            self._results.copy_to(file)
            file.write(b"\n]\n")


class YoloResultsWriter:
    """`labels/<picture>.txt`: `class_id cx cy width height score` a line, in shares of the picture; empty without any.

    And `classes.names`.
    """

    def __init__(self, folder: Path, classes: Sequence[str]) -> None:
        self._folder = folder
        (folder / "labels").mkdir()
        (folder / CLASSES_NAME).write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")

    def add(self, picture: InputPicture, found: Detections, tracks: TrackIds = None) -> None:  # noqa: ARG002
        """See `PredictionWriter`."""
        path = self._folder / "labels" / f"{picture.name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = picture.width, picture.height
        lines = []
        for (left, top, right, bottom), score, class_id in rows_of(found):
            shares = ((left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width,
                      (bottom - top) / height)  # fmt: skip
            lines.append(f"{class_id} {' '.join(f'{share:.8f}' for share in shares)} {score:.6f}\n")
        path.write_text("".join(lines), encoding="ascii")


class LabelStudioWriter:
    """`labelstudio.json`: a task for each picture with the detections as predictions, and the pictures in `images/`.

    And `label_config.xml`, the labels of a project. Label Studio is to serve the folder as local files: its document
    root is the folder that was written.
    """

    def __init__(self, folder: Path, classes: Sequence[str], model: str, tasks: Spill) -> None:
        self._folder, self._classes, self._model, self._tasks = folder, classes, model, tasks

    def add(self, picture: InputPicture, found: Detections, tracks: TrackIds = None) -> None:  # noqa: ARG002
        """See `PredictionWriter`."""
        path = Path("images") / file_name_of(picture)
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture.data or _jpeg(picture))
        wh = picture.width, picture.height
        results = [
            rectangle_result(f"{picture.image_id}-{number}", self._classes[class_id], _xywh(box), wh, score=score)
            for number, (box, score, class_id) in enumerate(rows_of(found), start=1)
        ]
        self._tasks.add({"data": picture_data(path.as_posix()), "predictions": [prediction_of(results, self._model)]})

    def complete(self) -> None:
        """See `write_project`."""
        write_project(self._folder, self._tasks, self._classes)


@contextlib.contextmanager
def open_writers(
    folder: Path,
    formats: Sequence[str],
    classes: Sequence[str],
    model: str,
    *,
    has_tracks: bool = False,
    crops: bool = False,
) -> Iterator[list[PredictionWriter]]:
    """A writer for each of the formats and for crops, complete after the block.

    `model`: what predictions say they are of.
    """
    with contextlib.ExitStack() as stack:
        writers: list[PredictionWriter] = [CropWriter(folder, classes)] if crops else []
        completed: list[CocoResultsWriter | CvatResultsWriter | LabelStudioWriter] = []
        for name in dict.fromkeys(formats):
            if name == "csv":
                file = stack.enter_context((folder / CSV_NAME).open("w", encoding="utf-8", newline=""))
                writers.append(CsvWriter(file, classes, has_tracks=has_tracks))
            elif name == "jsonl":
                writers.append(JsonlWriter(stack.enter_context((folder / JSONL_NAME).open("wb")), classes))
            elif name == "yolo":
                writers.append(YoloResultsWriter(folder, classes))
            elif name == "coco":
                spills = [stack.enter_context(spill(folder / f".{part}.json")) for part in ("images", "boxes", "all")]
                coco = CocoResultsWriter(folder, classes, (spills[0], spills[1], spills[2]))
                writers.append(coco)
                completed.append(coco)
            elif name == "kitti":
                writers.append(KittiResultsWriter(folder, classes))
            elif name == "cvat":
                cvat = CvatResultsWriter(stack.enter_context(cvat_writer(folder, classes)), classes)
                writers.append(cvat)
                completed.append(cvat)
            else:
                tasks = stack.enter_context(spill(folder / ".tasks.json"))
                studio = LabelStudioWriter(folder, classes, model, tasks)
                writers.append(studio)
                completed.append(studio)
        yield writers
        for writer in completed:
            writer.complete()


def _jpeg(picture: InputPicture) -> bytes:
    data: bytes = cv2.imencode(".jpg", picture.bgr(), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return data


def _described(picture: InputPicture) -> dict[str, Any]:
    """A picture as the JSON formats name it; `frame` and `time_s` where it has them."""
    value: dict[str, Any] = {"file_name": file_name_of(picture), "width": picture.width, "height": picture.height}
    value |= {"source": picture.source}
    value |= {} if picture.frame is None else {"frame": picture.frame}
    return value | ({} if picture.time_s is None else {"time_s": picture.time_s})


def _xywh(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]
