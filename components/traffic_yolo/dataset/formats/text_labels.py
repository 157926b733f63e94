"""Folders of label files, one a picture: walks them, and reads those that are text with one box a line."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from traffic_yolo.errors import LabelError, StorageError


def files_below(folder: Path, suffix: str) -> Iterator[Path]:
    """Every file with this suffix below a folder, folder by folder in the order of the names, without hidden ones.

    The names of one folder at a time are in memory.
    """
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(suffix) and not name.startswith("."):
                yield Path(place, name)


def text_of(path: Path) -> str:
    """A file's text; `StorageError` where it cannot be read, `LabelError` where it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise StorageError(f"label file cannot be read: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabelError(f"{path}: not UTF-8 text (byte {error.start})") from error


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines with something in them, stripped, with their numbers from 1."""
    for number, line in enumerate(text_of(path).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def write_label_file(path: Path, lines: Sequence[str]) -> None:
    """Writes lines into a new file; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
