"""What predictions are written as: one small writer a format, each with the score of every box."""

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import cv2
import numpy as np
import orjson

from traffic_yolo.dataset.data_set import category_id
from traffic_yolo.dataset.formats.coco import coco_categories
from traffic_yolo.dataset.formats.coco_writer import Spill, spill
from traffic_yolo.dataset.formats.labelstudio_writer import (
    CONFIG_NAME,
    TASKS_NAME,
    label_config,
    picture_data,
    prediction_of,
    rectangle_result,
)
from traffic_yolo.dataset.pictures import picture_suffix
from traffic_yolo.detection.nms import Detections
from traffic_yolo.errors import StorageError
from traffic_yolo.model_folder import CLASSES_NAME
from traffic_yolo.predict.input_picture import InputPicture

COCO_NAME, RESULTS_NAME = "instances.json", "results.json"
CSV_NAME, JSONL_NAME = "detections.csv", "detections.jsonl"
CSV_COLUMNS = ("source", "picture", "frame", "time_s", "class_id", "class_name", "score", "left", "top", "right",
               "bottom")  # fmt: skip
JPEG_QUALITY = 95  # of a video's frames, which are no JPEGs yet


class PredictionWriter(Protocol):
    """Writes predictions into a folder of its own."""

    def add(self, picture: InputPicture, found: Detections) -> None:
        """One picture and its detections, of which there may be none."""
        ...


class CsvWriter:
    """`detections.csv`: a row for each detection, boxes in pixels. Pictures without any have no row."""

    def __init__(self, file: IO[str], classes: Sequence[str]) -> None:
        self._rows = csv.writer(file, lineterminator="\n")
        self._rows.writerow(CSV_COLUMNS)
        self._classes = classes

    def add(self, picture: InputPicture, found: Detections) -> None:
        """See `PredictionWriter`."""
        where = (
            str(picture.path),
            picture.name,
            "" if picture.frame is None else picture.frame,
            "" if picture.time_s is None else f"{picture.time_s:.3f}",
        )
        for box, score, class_id in _rows(found):
            numbers = [f"{value:.3f}" for value in box]
            self._rows.writerow([*where, class_id, self._classes[class_id], f"{score:.6f}", *numbers])


class JsonlWriter:
    """`detections.jsonl`: a JSON value a line for each picture, those without detections among them."""

    def __init__(self, file: IO[bytes], classes: Sequence[str]) -> None:
        self._file, self._classes = file, classes

    def add(self, picture: InputPicture, found: Detections) -> None:
        """See `PredictionWriter`."""
        detections = [
            {"class_id": class_id, "class_name": self._classes[class_id], "score": score, "xyxy": box}
            for box, score, class_id in _rows(found)
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

    def add(self, picture: InputPicture, found: Detections) -> None:
        """See `PredictionWriter`."""
        self._images.add({"id": picture.image_id, **_described(picture)})
        for (left, top, right, bottom), score, class_id in _rows(found):
            bbox = _xywh((left, top, right, bottom))
            result = {"image_id": picture.image_id, "category_id": category_id(class_id), "bbox": bbox, "score": score}
            self._results.add(result)
            area = bbox[2] * bbox[3]
            own = {"id": self._annotations.count + 1, "area": area, "iscrowd": 0, "label_source": "model"}
            self._annotations.add({**result, **own, "confidence": score})

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

    def add(self, picture: InputPicture, found: Detections) -> None:
        """See `PredictionWriter`."""
        path = self._folder / "labels" / f"{picture.name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = picture.width, picture.height
        lines = []
        for (left, top, right, bottom), score, class_id in _rows(found):
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

    def add(self, picture: InputPicture, found: Detections) -> None:
        """See `PredictionWriter`."""
        path = Path("images") / _with_suffix(picture)
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture.data or _jpeg(picture))
        wh = picture.width, picture.height
        results = [
            rectangle_result(f"{picture.image_id}-{number}", self._classes[class_id], _xywh(box), wh, score=score)
            for number, (box, score, class_id) in enumerate(_rows(found), start=1)
        ]
        self._tasks.add({"data": picture_data(path.as_posix()), "predictions": [prediction_of(results, self._model)]})

    def complete(self) -> None:
        """Puts the file together."""
        with (self._folder / TASKS_NAME).open("wb") as file:
            file.write(b"[\n")
            self._tasks.copy_to(file)
            file.write(b"\n]\n")
        (self._folder / CONFIG_NAME).write_text(label_config(self._classes), encoding="utf-8", newline="\n")


@contextlib.contextmanager
def open_writers(
    folder: Path, formats: Sequence[str], classes: Sequence[str], model: str
) -> Iterator[list[PredictionWriter]]:
    """A writer for each of the formats, complete after the block. `model`: what predictions say they are of."""
    with contextlib.ExitStack() as stack:
        writers: list[PredictionWriter] = []
        completed: list[CocoResultsWriter | LabelStudioWriter] = []
        for name in dict.fromkeys(formats):
            if name == "csv":
                file = stack.enter_context((folder / CSV_NAME).open("w", encoding="utf-8", newline=""))
                writers.append(CsvWriter(file, classes))
            elif name == "jsonl":
                writers.append(JsonlWriter(stack.enter_context((folder / JSONL_NAME).open("wb")), classes))
            elif name == "yolo":
                writers.append(YoloResultsWriter(folder, classes))
            elif name == "coco":
                spills = [stack.enter_context(spill(folder / f".{part}.json")) for part in ("images", "boxes", "all")]
                coco = CocoResultsWriter(folder, classes, (spills[0], spills[1], spills[2]))
                writers.append(coco)
                completed.append(coco)
            else:
                tasks = stack.enter_context(spill(folder / ".tasks.json"))
                studio = LabelStudioWriter(folder, classes, model, tasks)
                writers.append(studio)
                completed.append(studio)
        yield writers
        for writer in completed:
            writer.complete()


def write_jpeg(path: Path, image_bgr: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Writes (H, W, 3) uint8 BGR as a JPEG; `StorageError` where OpenCV cannot make one (a side above 65,500)."""
    made, data = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not made:
        height, width = image_bgr.shape[:2]
        raise StorageError(f"{path.name}: OpenCV cannot write {width} x {height} pixels as a JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.tobytes())


def _jpeg(picture: InputPicture) -> bytes:
    image_bgr = cv2.cvtColor(picture.rgb(), cv2.COLOR_RGB2BGR)
    data: bytes = cv2.imencode(".jpg", image_bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return data


def _with_suffix(picture: InputPicture) -> str:
    if picture.data and picture.frame is None:
        return f"{picture.name}{picture.path.suffix.lower()}"
    return f"{picture.name}{picture_suffix(picture.data)}"


def _described(picture: InputPicture) -> dict[str, Any]:
    """A picture as the JSON formats name it; `frame` and `time_s` where it has them."""
    value: dict[str, Any] = {"file_name": _with_suffix(picture), "width": picture.width, "height": picture.height}
    value |= {"source": str(picture.path)}
    value |= {} if picture.frame is None else {"frame": picture.frame}
    return value | ({} if picture.time_s is None else {"time_s": picture.time_s})


def _xywh(box: Sequence[float]) -> list[float]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]


def _rows(found: Detections) -> Iterator[tuple[list[float], float, int]]:
    """(left, top, right, bottom in pixels; score; class id) of each detection.

    The values are those of float32, which float64 says exactly: what is read back is what was reported.
    """
    return zip(found.boxes_xyxy.tolist(), found.scores.tolist(), found.class_ids.tolist(), strict=True)
