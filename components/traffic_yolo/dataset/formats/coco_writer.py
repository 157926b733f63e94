"""Writes a COCO instances file frame by frame: entries go to temporary files, and are put together at the end."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import orjson

from traffic_yolo.dataset.data_set import category_id
from traffic_yolo.dataset.formats.coco import coco_annotation, coco_categories, coco_image
from traffic_yolo.dataset.records import Frame


class Spill:
    """JSON values in a temporary file, one a line with commas between."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0

    def add(self, value: Any) -> None:
        """Appends a JSON value."""
        if self.count:
            self._file.write(b",\n")
        self._file.write(orjson.dumps(value))
        self.count += 1

    def copy_to(self, file: IO[bytes]) -> None:
        """Writes everything to a file that is open for writing."""
        self._file.seek(0)
        shutil.copyfileobj(self._file, file, 1 << 20)
        self._file.seek(0, 2)


@contextlib.contextmanager
def spill(path: Path) -> Iterator[Spill]:
    """A `Spill` in the file `path`, which is gone after the block."""
    with path.open("w+b") as file:
        try:
            yield Spill(file)
        finally:
            path.unlink()


class CocoWriter:
    """The file `path` while it grows; `complete` writes it. Make it with `coco_writer`.

    `classes` get the category ids from 1, then `ignored_classes`, which occur in ignored boxes only.
    """

    def __init__(
        self, path: Path, classes: Sequence[str], ignored_classes: Sequence[str], spills: tuple[Spill, Spill]
    ) -> None:
        self._path = path
        self._ids = {name: category_id(index) for index, name in enumerate([*classes, *ignored_classes])}
        self._categories = coco_categories(classes, ignored_classes)
        self._images, self._annotations = spills

    @property
    def num_images(self) -> int:
        """Pictures so far."""
        return self._images.count

    def add(self, image_id: int, frame: Frame) -> None:
        """One picture with its boxes; annotations are numbered from 1."""
        self._images.add(coco_image(image_id, frame))
        for annotation in frame.annotations:
            category = self._ids[annotation.class_name]
            self._annotations.add(coco_annotation(self._annotations.count + 1, image_id, category, annotation))

    def complete(self, description: str) -> None:
        """Writes the file."""
        head = {"info": {"description": description}, "categories": self._categories}
        with self._path.open("wb") as file:
            file.write(orjson.dumps(head).removesuffix(b"}") + b',\n"images": [\n')
            self._images.copy_to(file)
            file.write(b'\n],\n"annotations": [\n')
            self._annotations.copy_to(file)
            file.write(b"\n]}\n")


@contextlib.contextmanager
def coco_writer(path: Path, classes: Sequence[str], ignored_classes: Sequence[str] = ()) -> Iterator[CocoWriter]:
    """A writer of the file `path`, whose folder must exist; temporary files beside it are gone after the block."""
    with (
        spill(path.with_name(f".{path.stem}-images.json")) as images,
        spill(path.with_name(f".{path.stem}-annotations.json")) as annotations,
    ):
        yield CocoWriter(path, classes, ignored_classes, (images, annotations))
