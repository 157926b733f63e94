"""Finds the pictures that a label file names, relative to a folder that it does not say."""

from pathlib import Path

from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.errors import LabelError


class PictureFinder:
    """Looks below `root`.

    Folders that carry the name of `split` come first: `train/0001.jpg` and `val/0001.jpg` are two pictures.
    """

    def __init__(self, root: Path, split: str = "") -> None:
        self._root = root
        below = [folder for place in (root / "images", root) if place.is_dir() for folder in sorted(place.iterdir())]
        named = [folder for folder in below if split and split in folder.name.lower()]
        near = [root / "images", root, root / "annotations", root / "annotations" / "images"]
        self._folders = [folder for folder in dict.fromkeys([*named, *near, *below]) if folder.is_dir()]
        self._by_name: dict[str, list[Path]] | None = None

    def find(self, name: str, *, where: str) -> Path:
        """The picture's path; `LabelError` (beginning with `where`) for one that is nowhere below, or in two places."""
        name = name.replace("\\", "/")  # as Windows writes it
        names = _spellings(name)
        if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
            raise LabelError(f"{where}: picture {name!r} lies outside the data set's folder")
        for folder in self._folders:
            for spelling in names:
                if (folder / spelling).is_file():
                    return folder / spelling
        if self._by_name is None:
            self._by_name = {}
            for path in sorted(self._root.rglob("*")):
                self._by_name.setdefault(path.name, []).append(path)
        found = [path for spelling in names for path in self._by_name.get(Path(spelling).name, [])]
        if len(found) > 1:
            raise LabelError(f"{where}: picture {name} may be {found[0]} or {found[1]}; give its folder too")
        if not found:
            raise LabelError(f"{where}: picture {name} not found below {self._root}; add it or remove its entry")
        return found[0]


def _spellings(name: str) -> list[str]:
    """The name, or what it may be with a suffix where it has none (`frame_000012`, the `000012` of a label file)."""
    if Path(name).suffix.lower() in PICTURE_SUFFIXES:
        return [name]
    return [name + suffix for suffix in sorted(PICTURE_SUFFIXES | {suffix.upper() for suffix in PICTURE_SUFFIXES})]
