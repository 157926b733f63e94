"""Folders of label files, one a picture: walks them, and writes those that are text with one box a line."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path


def files_below(folder: Path, suffix: str) -> Iterator[Path]:
    """Every file with this suffix below a folder, folder by folder in the order of the names, without hidden ones.

    The names of one folder at a time are in memory.
    """
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(suffix) and not name.startswith("."):
                yield Path(place, name)


def write_label_file(path: Path, lines: Sequence[str]) -> None:
    """Writes lines into a new file; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8", newline="\n")
