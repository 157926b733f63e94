"""The side-car: what a label format cannot say, in a file of ours beside its files, one JSON line a picture.

Its first line says the classes in their order, and which of them occur in boxes that do not count only.

A box of the side-car belongs to the box of the label file at the same place in the same picture, as long as that one is
still what was written. A box that somebody has moved or renamed since is theirs, and keeps nothing of the old one.
"""

import array
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from traffic_yolo.dataset.formats.base import LabelReader
from traffic_yolo.dataset.formats.provenance import judged
from traffic_yolo.dataset.frame_spool import annotation_of_row, annotation_row
from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.dataset.problems import Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import Annotation, Frame, PictureLabels
from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.storage import json_value

SIDECAR_NAME = "sidecar.jsonl"
NOT_WRITTEN = -1  # the place of a box that the label file does not hold at all
SAME_PX = 1e-3  # a box is what was written when no edge differs by more: formats round
UNTOLD_RECORDING = "images"  # a folder of this name says nothing of a picture's recording
NUMBER = (int, float)
NUMBER_OR_NOTHING = (*NUMBER, type(None))
# Of `frame_spool.annotation_row`: class, xywh, source, confidence, crowd, ignore, area, number, attributes
ROW_TYPES = ((str,), (list,), (str,), NUMBER_OR_NOTHING, (bool,), (bool,), NUMBER_OR_NOTHING, (int,), (dict,))
FRAME_FIELDS = ("recording", "scan", "site", "camera", "day")


def sidecar_of(path: Path) -> Path | None:
    """The side-car beside a label file, or in a folder of them; None where there is none."""
    file = (path.parent if path.is_file() else path) / SIDECAR_NAME
    return file if file.is_file() else None


def sidecar_head(classes: Sequence[str], apart: Sequence[str]) -> bytes:
    """The first line: the classes in order, then those of boxes that do not count."""
    return orjson.dumps({"classes": list(classes), "apart": list(apart)}, option=orjson.OPT_APPEND_NEWLINE)


def sidecar_line(frame: Frame, as_read: Sequence[Annotation | None], *, says_frames: bool, picture: str = "") -> bytes:
    """The line of a frame, or b"" where the label file says everything.

    `as_read[i]` is what a reader gets for the frame's box i, or None where the label file leaves it out; `says_frames`
    is the format's (`base.LabelWriter`). `picture`: how a reader calls the picture, "" for its own name.
    """
    boxes: list[list[Any]] = []
    place = 0
    for annotation, read in zip(frame.annotations, as_read, strict=True):
        if read is None:
            boxes.append([NOT_WRITTEN, None, None, annotation_row(annotation)])
            continue
        if not _says_all(read, annotation):
            boxes.append([place, read.class_name, list(read.xywh), annotation_row(annotation)])
        place += 1
    fields = {name: value for name in ("site", "camera", "day") if (value := getattr(frame, name))}
    own_name = f"{frame.recording}/{frame.scan}"
    told = "/" not in frame.recording + frame.scan and frame.recording != UNTOLD_RECORDING
    told = told and picture in ("", own_name)
    if not boxes and (says_frames or (told and not fields and not frame.attributes)):
        return b""
    line = {
        "picture": picture or _key(frame.file_name),
        "image_wh": [frame.width, frame.height],
        "frame": {"recording": frame.recording, "scan": frame.scan, **fields, "attributes": frame.attributes},
        "boxes": boxes,
    }
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


def lost_facts(annotation: Annotation, read: Annotation | None) -> list[str]:
    """What of a box the label file does not say, in words for the report."""
    if read is None:
        return ["ignored and crowd boxes"]
    found = {
        "class names": read.class_name != annotation.class_name,
        "label sources": read.label_source != annotation.label_source,
        "confidences": read.confidence != annotation.confidence,
        "crowd marks": read.is_crowd != annotation.is_crowd,
        "ignore marks": read.ignore != annotation.ignore,
        "areas of outlines": read.area != annotation.area,
        "occlusion marks": read.attributes.get("occluded") != annotation.attributes.get("occluded"),
        "sets of attributes": _others(read) != _others(annotation),
        "parts of boxes outside the picture": not _same_box(read.xywh, annotation.xywh),
    }
    return [what for what, lost in found.items() if lost]


def with_sidecar(reader: LabelReader, file: Path) -> LabelReader:
    """The reader's labels, completed by the side-car."""
    return _Completed(reader, file)


class _Completed:
    """See `with_sidecar`; sixteen bytes a line are in memory. Knowing the classes takes a pass over all labels."""

    def __init__(self, reader: LabelReader, file: Path) -> None:
        self._reader = reader
        self._path = file
        self._changed = 0
        hashes, offsets = array.array("Q"), array.array("Q")
        head: tuple[list[str], list[str]] | None = None
        names: dict[str, bool] = {}  # class of a box -> whether one of them counts
        aliases = set()  # what the label file calls classes whose names it cannot say
        with _opened(file) as lines:
            offset = 0
            for number, line in enumerate(lines, start=1):
                if number == 1 and (head := _head(line)) is not None:
                    offset += len(line)
                    continue
                described = self._parsed(line, f"{file} line {number}")
                hashes.append(_hash(described["picture"]))
                offsets.append(offset)
                offset += len(line)
                for _, alias, _, row in described["boxes"]:
                    name = str(row[0])
                    names[name] = names.get(name, False) or not (row[4] or row[5])
                    aliases |= {alias} - {name}
        order = np.argsort(np.array(hashes, dtype=np.uint64), kind="stable")
        self._hashes = np.array(hashes, dtype=np.uint64)[order]
        self._offsets = np.array(offsets, dtype=np.uint64)[order]
        if head is None:
            self.classes = tuple(dict.fromkeys([*reader.classes, *names]))
            counted = {name for name, counts in names.items() if counts}
            self.default_classes = reader.default_classes | (counted - set(reader.classes))
        else:
            classes, apart = head
            used = self._classes_in_use()
            own = [name for name in reader.classes if name not in aliases]
            self.classes = tuple(dict.fromkeys([*classes, *apart, *own, *used]))
            stated = {*classes, *(reader.default_classes & set(own) - set(apart))}
            self.default_classes = frozenset(stated | {name for name, counts in used.items() if counts})
        self.root = reader.root
        self.is_video = reader.is_video

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """The reader's pictures, completed."""
        self._changed = 0
        with _opened(self._path) as lines:
            for labels in self._reader.pictures(on_problem):
                try:
                    found = self._find(lines, _key(labels.name))
                    yield self._completed(labels, found) if found else labels
                except LabelError as error:
                    on_problem(Problem("label-broken", str(error)))

    def notes(self) -> list[str]:
        """The reader's notes; boxes that are no longer what was written."""
        changed = f"{self._changed} boxes changed since {self._path.name} was written: what it says of them is not used"
        return [*self._reader.notes(), *([changed] if self._changed else [])]

    def _classes_in_use(self) -> dict[str, bool]:
        """Every class that a box has now, and whether one of them counts: the label file may have been changed."""
        used: dict[str, bool] = {}
        for labels in self.pictures(already_told):
            for annotation in labels.annotations:
                used[annotation.class_name] = used.get(annotation.class_name, False) or annotation.counts
        return used

    def _find(self, lines: IO[bytes], key: str) -> dict[str, Any] | None:
        wanted = np.uint64(_hash(key))
        row = int(np.searchsorted(self._hashes, wanted))
        while row < len(self._hashes) and self._hashes[row] == wanted:
            lines.seek(int(self._offsets[row]))
            described = self._parsed(lines.readline(), f"{self._path} ({key})")
            if described["picture"] == key:
                return described
            row += 1
        return None

    def _parsed(self, line: bytes, where: str) -> dict[str, Any]:
        try:
            described = json_value(line)
            good = (
                isinstance(described["picture"], str)
                and all(isinstance(side, int) and side > 0 for side in described["image_wh"])
                and len(described["image_wh"]) == 2
                and isinstance(described["frame"], dict)
                and isinstance(described["frame"].get("attributes", {}), dict)
                and all(_is_box(box) for box in described["boxes"])
            )
        except (ValueError, KeyError, TypeError) as error:
            raise LabelError(f"{where}: not a line of a side-car: {type(error).__name__} {error}") from error
        if not good:
            raise LabelError(f"{where}: not a line of a side-car")
        parsed: dict[str, Any] = described
        return parsed

    def _completed(self, labels: PictureLabels, described: dict[str, Any]) -> PictureLabels:
        frame = described["frame"]
        size = tuple(described["image_wh"]) if labels.relative else (1, 1)
        annotations: list[Annotation] = list(labels.annotations)
        left_out = []
        for place, class_name, written, row in described["boxes"]:
            try:
                whole = _in_shares(judged(annotation_of_row(row)), size)
            except (LabelError, TypeError, ValueError, AttributeError) as error:
                raise LabelError(f"{self._path} ({described['picture']}): {error}") from error
            if place == NOT_WRITTEN:
                left_out.append(whole)
                continue
            read = annotations[place] if place < len(annotations) else None
            same = read is not None and read.class_name == class_name and _same_box(_pixels(read, size), written)
            if read is not None and same and (read.label_source == "human" or whole.label_source != "human"):
                annotations[place] = replace(whole, number=read.number)
            else:
                self._changed += 1
        fields: dict[str, Any] = {name: str(frame[name]) for name in FRAME_FIELDS if frame.get(name)}
        if fields.keys() >= {"recording", "scan"}:
            fields["renamed"] = described["picture"] != f"{fields['recording']}/{fields['scan']}"
        attributes = {**labels.attributes, **frame.get("attributes", {})}
        return replace(labels, annotations=(*annotations, *left_out), attributes=attributes, **fields)


def _head(line: bytes) -> tuple[list[str], list[str]] | None:
    """(classes, classes apart) of a first line; None where it is already that of a picture."""
    try:
        found = json_value(line)
    except ValueError:
        return None
    if not isinstance(found, dict) or set(found) != {"classes", "apart"}:
        return None
    lists = found["classes"], found["apart"]
    good = all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists)
    return lists if good else None


def _says_all(read: Annotation, annotation: Annotation) -> bool:
    if read is annotation:  # a plain box, of which there are millions
        return True
    same = replace(read, xywh=annotation.xywh) == annotation
    return same and _same_box(read.xywh, annotation.xywh)


def _others(annotation: Annotation) -> dict[str, Any]:
    return {name: value for name, value in annotation.attributes.items() if name != "occluded"}


def _same_box(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(abs(x - y) <= SAME_PX for x, y in zip(a, b, strict=True))


def _pixels(annotation: Annotation, size: tuple[int, ...]) -> tuple[float, float, float, float]:
    x, y, width, height = annotation.xywh
    return x * size[0], y * size[1], width * size[0], height * size[1]


def _in_shares(annotation: Annotation, size: tuple[int, ...]) -> Annotation:
    if size == (1, 1):
        return annotation
    x, y, width, height = annotation.xywh
    area = None if annotation.area is None else annotation.area / (size[0] * size[1])
    return replace(annotation, xywh=(x / size[0], y / size[1], width / size[0], height / size[1]), area=area)


def _is_box(box: Any) -> bool:
    """Whether a value is [place, class and xywh as written, row of the annotation], of the types that are written."""
    if type(box) is not list or len(box) != 4 or type(box[0]) is not int or type(box[3]) is not list:
        return False
    place, class_name, written, row = box
    if place != NOT_WRITTEN and not (place >= 0 and type(class_name) is str and _are_numbers(written)):
        return False
    return len(row) == len(ROW_TYPES) and all(type(value) in types for value, types in zip(row, ROW_TYPES, strict=True))


def _are_numbers(values: Any) -> bool:
    return type(values) is list and len(values) == 4 and all(type(value) in NUMBER for value in values)


def _key(name: str) -> str:
    """A picture by its name without its suffix: label files of text have none."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in PICTURE_SUFFIXES else name


def _hash(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big")


def _opened(file: Path) -> IO[bytes]:
    try:
        return file.open("rb")
    except OSError as error:
        raise StorageError(f"side-car cannot be read: {file}: {error.strerror}") from error
