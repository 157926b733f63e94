"""What every label format offers: a reader of pictures' labels that streams, and what a reader may be told."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from traffic_yolo.dataset.problems import ProblemSink, strict
from traffic_yolo.dataset.records import PictureLabels


@dataclass(frozen=True)
class ReadOptions:
    """What a user may tell a reader. `mapping`: the YAML file of the format `mapped`, else None."""

    mapping: Path | None = None


class LabelReader(Protocol):
    """An open label file or folder.

    `classes` in the file's own order, complete from the start; `default_classes`: those that stay where no class map is
    given (without those that the file itself sets apart as ignored). `root` is the folder that pictures lie below.
    """

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
