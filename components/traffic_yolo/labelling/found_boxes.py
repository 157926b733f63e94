"""What a model found on the pictures of a source, from the file that holds it: by recording and scan, or by name.

`detections.jsonl` of `predict`, or any label format whose boxes have scores (COCO, YOLO, KITTI, CVAT ...).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.dataset.records import Annotation, Frame, PictureLabels
from traffic_yolo.dataset.sources.label_formats import open_labels
from traffic_yolo.dataset.sources.label_store import Key, LabelStore
from traffic_yolo.errors import LabelError
from traffic_yolo.storage import AnyPath, existing_path, parse_json

JSONL_SUFFIX = ".jsonl"
NO_NUMBER = -1


class FoundBoxes:
    """The boxes of every picture of a detections file; sixteen bytes a picture are in memory.

    `classes`: of all boxes, in alphabetical order. A picture on which nothing was found is there too.
    """

    def __init__(self, location: AnyPath) -> None:
        """Reads the file. Raises `StorageError`, `LabelError` for what is no detection or stands there twice."""
        path = existing_path(location, what="detections")
        self.path = path
        self._store = LabelStore()
        classes = set()
        for labels in found_pictures(path):
            for annotation in labels.annotations:
                if annotation.confidence is None:
                    whose = annotation.label_source
                    raise LabelError(f"{labels.where}: a box of a {whose} without a score; expected what a model found")
                classes.add(annotation.class_name)
            self._store.add(_key(labels.recording, labels.scan or labels.name), labels)
        self.classes = tuple(sorted(classes))
        for key, first, second in self._store.doubles():
            raise LabelError(f"{second.where}: picture {key[0]} is there twice, the other is {first.where}; keep one")

    def __len__(self) -> int:
        return len(self._store)

    def of(self, frame: Frame) -> tuple[Annotation, ...] | None:
        """The boxes on a frame in its pixels; None where the file does not name it.

        Raises `LabelError` for a picture of another size than the file states.
        """
        labels = self._store.get(_key(frame.recording, frame.scan))
        if labels is None:
            return None
        size = (frame.width, frame.height)
        if labels.image_wh not in (None, size):
            stated = "x".join(map(str, labels.image_wh or ()))
            raise LabelError(f"{labels.where}: {frame.file_name} is {size[0]}x{size[1]} pixels, it says {stated}")
        return labels.in_pixels(size)


def found_pictures(path: Path) -> Iterator[PictureLabels]:
    """Every picture of a detections file with its boxes; raises what the reader of its format raises."""
    if path.suffix == JSONL_SUFFIX:
        yield from read_jsonl(path)
    else:
        yield from open_labels(path, "auto", ReadOptions()).pictures()


def read_jsonl(path: Path) -> Iterator[PictureLabels]:
    """The pictures of a `detections.jsonl` of `predict`; `LabelError` names the line that is none of its lines."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{path} line {number}"
            value = parse_json(line, where=where, error=LabelError)
            try:
                yield _picture(value, where)
            except (KeyError, TypeError, ValueError) as error:
                what = str(error) if isinstance(error, LabelError) else f"{type(error).__name__} {error}"
                raise LabelError(f"{where}: expected a line of predict's detections.jsonl: {what}") from error


def _picture(value: Any, where: str) -> PictureLabels:
    boxes = []
    for found in value["detections"]:
        left, top, right, bottom = map(float, found["xyxy"])
        if right <= left or bottom <= top:
            continue  # cut at the picture's edge until nothing was left
        xywh = (left, top, right - left, bottom - top)
        boxes.append(Annotation(_text(found["class_name"]), xywh, "model", float(found["score"])))
    size = int(value["width"]), int(value["height"])
    name, frame = _text(value["file_name"]), value.get("frame")
    folder = name.rpartition("/")[0]
    scan = "" if frame is None else f"SCAN_{int(frame):05d}"
    attributes = {"source": str(value.get("source", ""))}
    recording = folder if scan else ""
    return PictureLabels(name, tuple(boxes), where, size, recording=recording, scan=scan, attributes=attributes)


def _key(recording: str, scan: str) -> Key:
    """What names a picture here and there: the recording's own name and the scan's number, or else the whole name."""
    stem, dot, suffix = scan.rpartition(".")
    name = stem if dot and f".{suffix.lower()}" in PICTURE_SUFFIXES else scan
    folder, _, last = name.rpartition("/")
    folder = recording or folder
    digits = last.rpartition("_")[2]
    own = folder.rpartition("/")[2].removesuffix(".h5")
    if own and digits.isdecimal() and len(digits) <= 18:
        return own, int(digits)
    return f"{own}/{last}" if own else last, NO_NUMBER


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise LabelError(f"expected a text, found {value!r:.60}")
    return value
