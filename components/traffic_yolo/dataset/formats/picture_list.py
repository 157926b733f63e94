"""Lists of pictures, a path a line: what their relative paths start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.dataset.formats.yolo_beside import label_file_of


@dataclass(frozen=True)
class ListBase:
    """What the relative paths of a list start from; `cut`: they begin with a folder `data` that is not there.

    CVAT's exports ("YOLO 1.1") are to be unpacked into a folder `data` where Darknet is started, and name it.
    """

    folder: Path
    cut: bool = False

    @classmethod
    def of(cls, lines: Sequence[Path], folders: Sequence[Path]) -> "ListBase":
        """By the first relative path: the first of the folders where it, or its label file, is; else the first."""
        first = next((line for line in lines if not line.is_absolute()), None)
        if first is None:
            return cls(folders[0])
        tries = [cls(folder) for folder in folders] + [cls(folders[0], cut=True)]
        found = (base for base in tries if base.path(first).is_file())
        labelled = (base for base in tries if label_file_of(base.path(first)) is not None)
        return next(found, next(labelled, tries[0]))

    def path(self, line: Path) -> Path:
        """Where a line of the list leads."""
        return self.folder / (without_data(line) if self.cut else line)


def without_data(path: Path) -> Path:
    """A relative path without the folder `data` that it begins with, if it does."""
    return Path(*path.parts[1:]) if path.parts[:1] == ("data",) else path
