"""COCO instances files: read into columns, given out by picture; written entry by entry. Boxes stay floats."""

import itertools
import mmap
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from traffic_yolo.dataset.coco_entries import NUMBERS, SECTIONS, shown, why_no_image
from traffic_yolo.dataset.data_set import category_id
from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.coco_columns import AnnotationColumns, Categories, Ids, is_own_area
from traffic_yolo.dataset.formats.fields import LABEL_SOURCE
from traffic_yolo.dataset.formats.json_stream import json_pieces
from traffic_yolo.dataset.formats.left_out import FLAT, REVERSED, emptied_message
from traffic_yolo.dataset.problems import THE_SET, About, Problem, ProblemSink, strict
from traffic_yolo.dataset.records import SPLIT_WORD, Annotation, Frame, PictureLabels, rounded_xywh
from traffic_yolo.errors import LabelError, StorageError

IGNORED = "ignored"
# Where a COCO data set keeps its label files, the surest place first: other JSON files often lie beside them
COCO_FILES = ("annotations/instances*.json", "instances*.json", "annotations/*.json", "*.json")
MACHINES = ("device", "model")  # who may have looked at an image, by its own `label_source`
FRAME_KEYS = ("recording", "scan", "site", "camera", "day")
BLOCK = 4096  # pictures given out at a time


def coco_files(path: Path) -> list[Path]:
    """The label files of a COCO data set: `path` itself, or those in the folder; empty where there is none."""
    if path.is_file():
        return [path]
    return next((found for pattern in COCO_FILES if (found := sorted(path.glob(pattern)))), [])


class CocoReader:
    """A JSON file, or a folder with JSON files in it or in `annotations/`; see `base.LabelReader`.

    Several files are splits where their names say so (`instances_val.json`). About eighty bytes an annotation and
    sixteen a picture are in memory. Raises `StorageError` where there is no file, `LabelError` where none of them is an
    instances file, or two have different categories.
    """

    is_video = False

    def __init__(self, path: Path, options: ReadOptions) -> None:
        del options
        files = coco_files(path)
        if not files:
            raise StorageError(f"no COCO file (*.json) in {path} or its annotations folder")
        root = path.parent if path.is_file() else path
        self.root = root.parent if root.name == "annotations" else root
        self._files: list[_CocoFile] = []
        self._unreadable: list[LabelError] = []
        for file in files:
            try:
                self._files.append(_CocoFile(file))
            except LabelError as error:
                self._unreadable.append(error)
        if not self._files:
            raise self._unreadable[0]
        first = self._files[0]
        for other in self._files[1:]:
            if other.counted_classes != first.counted_classes:
                expected, found = (", ".join(some.counted_classes) for some in (first, other))
                where = f"{other.path}: expected the categories of {first.path.name}"
                raise LabelError(f"{where}: {expected}; found {found}")
        self.classes = tuple(dict.fromkeys(name for file in self._files for name in file.classes))
        self.default_classes = frozenset(first.counted_classes)

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """Every picture of every file, in the files' order."""
        for error in self._unreadable:
            on_problem(Problem("label-broken", str(error), THE_SET))
        for file in self._files:
            yield from file.pictures(on_problem, keep_split=len(self._files) > 1)

    def notes(self) -> list[str]:
        """Boxes without area, reversed ones, and outlines that became boxes."""
        return [note for file in self._files for note in file.notes()]


class _CocoFile:
    """One instances file: its annotations in columns, its pictures in a temporary file, one JSON line each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._images: IO[bytes] = tempfile.TemporaryFile(prefix="traffic-yolo-images-")  # noqa: SIM115 (lives with us)
        weakref.finalize(self, self._images.close)
        self._ids = Ids()
        self._image_ids: list[NDArray[np.int64]] = []
        self._broken: list[tuple[str, int | None]] = []  # messages, each with the image that it is about
        self._doubled: frozenset[int] = frozenset()
        self._read()
        self.classes = self._categories.names
        ignored = self._categories.ignored
        self.counted_classes = tuple(name for name in self.classes if name not in ignored)

    def _read(self) -> None:
        columns = AnnotationColumns(self.path, self._ids)
        seen = set()
        categories: list[Any] = []
        for key, elements in json_pieces(self.path):
            if key not in SECTIONS:
                continue
            if not isinstance(elements, list):
                raise LabelError(f"{self.path}: not a COCO instances file; expected a list under {key!r}")
            seen.add(key)
            if key == "images":
                self._add_images(elements)
            elif key == "annotations":
                columns.add(elements)
            else:
                categories += elements
        for key in SECTIONS:
            if key not in seen:
                raise LabelError(f"{self.path}: not a COCO instances file; expected a list under {key!r}")
        self._categories = Categories.of(categories, self.path, ignored=IGNORED)
        ids = np.concatenate([np.zeros(0, dtype=np.int64), *self._image_ids])
        unique, counts = np.unique(ids, return_counts=True)
        for number, count in zip(unique[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
            message = f"expected an id of its own, found {count} images with it; number them anew"
            self._broken.append((f"{self.path}: image {self._ids.shown(number)}: {message}", None))
        # Which of them an annotation belongs to, nobody can tell
        self._doubled = frozenset(np.flatnonzero(np.isin(ids, unique[counts > 1])).tolist())
        self._columns = columns.complete(ids, self._categories)
        self._broken += self._columns.broken
        self._num_images = len(ids)

    def pictures(self, on_problem: ProblemSink, *, keep_split: bool) -> Iterator[PictureLabels]:
        for message, image in self._broken:
            about = About(labels=("" if image is None else f"{self.path}: image {self._ids.shown(image)}",))
            on_problem(Problem("label-broken", message, about))
        for problem in self._columns.problems():
            on_problem(problem)
        word = SPLIT_WORD.search(self.path.stem.lower())
        split = word[1] if word and keep_split else ""
        if not self._num_images:
            return
        # Mapped, not read: processes that were forked share the position of a file, but not of a mapping
        self._images.flush()
        rows = mmap.mmap(self._images.fileno(), 0, access=mmap.ACCESS_READ)
        for first in range(0, self._num_images, BLOCK):
            lines = list(itertools.islice(iter(rows.readline, b""), BLOCK))
            boxes = self._columns.by_picture(first, min(first + BLOCK, self._num_images))
            for number, (line, annotations) in enumerate(zip(lines, boxes, strict=True), start=first):
                row = orjson.loads(line)
                if row is None or number in self._doubled:  # it is among the broken
                    continue
                labels = self._picture(row, annotations, split)
                if number in self._columns.emptied:
                    on_problem(Problem("picture-emptied", emptied_message(labels.where)))
                yield labels

    def notes(self) -> list[str]:
        columns = self._columns
        found = (
            (len(columns.flat), FLAT),
            (len(columns.turned), REVERSED),
            (columns.outlines - columns.boxed, "outlines left out, boxes kept"),
            (columns.boxed, "outlines became the boxes around them"),
        )
        return [f"{self.path.name}: {count} {what}" for count, what in found if count]

    def _add_images(self, images: Sequence[Any]) -> None:
        kept: list[dict[str, Any] | None] = []
        ids: list[Any] = []
        for image in images:
            reason = _why_no_image(image)
            if reason:
                self._broken.append((f"{self.path}: {reason}", None))
            if isinstance(image, dict) and "id" in image:
                ids.append(image["id"])
                kept.append(None if reason else image)
            elif not reason:
                raise LabelError(f"{self.path}: not a COCO instances file: an image without an id")
        self._image_ids.append(self._ids.numbers(ids, f"{self.path}: image"))
        for image in kept:
            row = None
            if image is not None:
                keys = ("id", "file_name", "width", "height", *FRAME_KEYS, "attributes", LABEL_SOURCE)
                row = [image.get(key) for key in keys]
            try:
                line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
            except TypeError:  # orjson's own is one: half a surrogate pair, a number beyond 64 bits
                message = f"{self.path}: image: expected texts and numbers in UTF-8; found {shown(row)}"
                self._broken.append((message, None))
                line = b"null\n"
            self._images.write(line)

    def _picture(self, row: list[Any], annotations: tuple[Annotation, ...], split: str) -> PictureLabels:
        image_id, name, width, height, recording, scan, site, camera, day, attributes, drawn_by = row
        stated = int(image_id) if isinstance(image_id, float) else image_id  # 1.0, as `Ids` has it
        return PictureLabels(
            name=name,
            annotations=annotations,
            where=f"{self.path}: image {stated} ({name})",
            image_wh=(int(width), int(height)) if width and height else None,
            recording=str(recording or ""),
            scan="" if scan is None else str(scan),
            site=str(site or ""),
            camera=str(camera or ""),
            day=str(day or ""),
            own_split=split,
            attributes=attributes if isinstance(attributes, dict) else {},
            by_machine=drawn_by in MACHINES,
        )


def _why_no_image(image: Any) -> str:
    """As `why_no_image`; width and height that are both 0, null or left out are not stated: the picture tells them."""
    sides = [image.get(key) for key in ("width", "height")] if isinstance(image, dict) else [True]
    if any(side is not None and (type(side) not in NUMBERS or side != 0) for side in sides):
        return why_no_image(image)
    sized = {key: value for key, value in image.items() if key not in ("width", "height")}
    return why_no_image(sized, needed=("id", "file_name"))


def coco_categories(classes: Sequence[str], ignored: Sequence[str]) -> list[dict[str, Any]]:
    """The `categories` of a file: `classes` by their class ids, then `ignored`.

    Those occur only in ignored boxes; their supercategory `IGNORED` keeps readers from taking them for classes of ours.
    """
    return [
        {"id": category_id(index), "name": name} | ({"supercategory": IGNORED} if index >= len(classes) else {})
        for index, name in enumerate([*classes, *ignored])
    ]


def coco_image(image_id: int, frame: Frame) -> dict[str, Any]:
    """The entry of a frame in `images`."""
    return {
        "id": image_id,
        "file_name": frame.file_name,
        "width": frame.width,
        "height": frame.height,
        "recording": frame.recording,
        "scan": frame.scan,
        "site": frame.site,
        "camera": frame.camera,
        "day": frame.day,
        "attributes": frame.attributes,
    } | ({} if frame.labelled else {LABEL_SOURCE: "model"})


def coco_annotation(annotation_id: int, image_id: int, category: int, annotation: Annotation) -> dict[str, Any]:
    """The entry of a box in `annotations`. Box (`rounded_xywh`) and area are rounded to 1/10,000 pixel."""
    xywh, area = rounded_xywh(annotation.xywh), annotation.area
    own = xywh[2] * xywh[3]
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category,
        "bbox": list(xywh),
        "area": round(own if area is None or is_own_area(area, own) else area, 4),
        "iscrowd": int(annotation.is_crowd),
        "ignore": int(annotation.ignore),
        "label_source": annotation.label_source,
        "confidence": annotation.confidence,
        "attributes": annotation.attributes,
    }
