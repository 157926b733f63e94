"""What every label format offers: a reader of pictures' labels that streams, and what a reader may be told."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from traffic_yolo.dataset.problems import ProblemSink, strict
from traffic_yolo.dataset.records import Annotation, Frame, PictureLabels


@dataclass(frozen=True)
class ReadOptions:
    """What a user may tell a reader.

    `mapping`: the YAML file of the format `mapped`, else None. `reviewed`: a human has looked at every box, so that all
    are human labels whatever the file says of who drew them. `voc_origin`: the pixel that VOC corners count from, "0"
    or "1"; "auto" takes what the files show. `encoding`: that of label files that are text (`label_text.LabelText`).
    """

    mapping: Path | None = None
    reviewed: bool = False
    voc_origin: str = "auto"
    encoding: str = "auto"


class LabelWriter(Protocol):
    """Writes the labels of frames into a folder, which is empty at the beginning.

    `picture_folder` is where the format expects the pictures below that folder, each as `<recording>/<scan>.<suffix>`.
    `says_frames`: whether it holds the site, camera, day and attributes of a frame.
    """

    picture_folder: str
    says_frames: bool

    def add(self, frame: Frame) -> list[Annotation | None]:
        """Writes the labels of one frame. Returns what a reader of the format gets for each box, None for no box."""
        ...

    def complete(self) -> None:
        """Writes what can be written only with all frames known."""
        ...


class PicturePlace(NamedTuple):
    """`path`: where a picture lies below what was written; `name`: how a reader calls it (`PictureLabels.name`)."""

    path: str
    name: str


@runtime_checkable
class PlacesPictures(Protocol):
    """A writer whose format has names of its own for pictures."""

    def place_of_last(self) -> PicturePlace:
        """The place of the picture that was added last."""
        ...


class LabelReader(Protocol):
    """An open label file or folder.

    `classes` in the file's own order, complete from the start; `default_classes`: those that stay where no class map is
    given (without those that the file itself sets apart as ignored). `root` is the folder that pictures lie below.
    `is_video`: whether the pictures are those of videos, which no split may cut.
    """

    is_video: bool
    classes: tuple[str, ...]
    default_classes: frozenset[str]
    root: Path

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """The labels of every picture, in a stable order; a few pictures at a time are in memory.

        May be called again; every call reads the files anew. What cannot be read goes to `on_problem` and, should that
        return, is left out. Raises `StorageError` for a file that cannot be opened.
        """
        ...

    def notes(self) -> list[str]:
        """Lines for the report about what was left out; complete once `pictures()` was read to the end."""
        ...
