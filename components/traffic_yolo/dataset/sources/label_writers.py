"""The label formats that we write, by name."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from traffic_yolo.dataset.formats.base import LabelWriter
from traffic_yolo.dataset.formats.coco_writer import CocoWriter, coco_writer, spill
from traffic_yolo.dataset.formats.cvat_writer import cvat_writer
from traffic_yolo.dataset.formats.kitti import KittiWriter
from traffic_yolo.dataset.formats.labelstudio_writer import LabelStudioWriter
from traffic_yolo.dataset.formats.mot_writer import MotWriter
from traffic_yolo.dataset.formats.yolo import YoloWriter
from traffic_yolo.dataset.records import Annotation, Frame

OpenWriter = Callable[[Path, Sequence[str], Sequence[str]], contextlib.AbstractContextManager[LabelWriter]]


class _CocoLabels:
    """`instances.json` of all frames; see `base.LabelWriter`."""

    picture_folder = "images"
    says_frames = True

    def __init__(self, writer: CocoWriter) -> None:
        self._writer = writer

    def add(self, frame: Frame) -> list[Annotation | None]:
        """One picture; COCO with our keys says everything."""
        self._writer.add(self._writer.num_images + 1, frame)
        return list(frame.annotations)

    def complete(self) -> None:
        """Puts the file together."""
        self._writer.complete("labels")


@contextlib.contextmanager
def _coco(folder: Path, classes: Sequence[str], apart: Sequence[str]) -> Iterator[LabelWriter]:
    with coco_writer(folder / "instances.json", classes, apart) as writer:
        yield _CocoLabels(writer)


def _plain(kind: Callable[[Path, Sequence[str]], LabelWriter]) -> OpenWriter:
    return lambda folder, classes, apart: contextlib.nullcontext(kind(folder, [*classes, *apart]))


def _cvat(folder: Path, classes: Sequence[str], apart: Sequence[str]) -> contextlib.AbstractContextManager[LabelWriter]:
    return cvat_writer(folder, [*classes, *apart])


@contextlib.contextmanager
def _labelstudio(folder: Path, classes: Sequence[str], apart: Sequence[str]) -> Iterator[LabelWriter]:
    with spill(folder / ".tasks.json") as tasks:
        yield LabelStudioWriter(folder, [*classes, *apart], tasks)


# name -> what opens a writer into an empty folder, for classes in the order of their ids, and for those of boxes that
# do not count, which follow
LABEL_WRITERS: dict[str, OpenWriter] = {
    "coco": _coco,
    "yolo": _plain(YoloWriter),
    "kitti": _plain(KittiWriter),
    "cvat": _cvat,
    "labelstudio": _labelstudio,
    "mot": _plain(MotWriter),
}
