"""What lies in a YOLO set's folders beside what it names, so that no picture and no label is lost without a word."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.dataset.problems import THE_SET, Problem
from traffic_yolo.errors import StorageError

LABEL_SUFFIX = ".txt"
# Pictures that somebody took for some, and that no reader here decodes
OTHER_PICTURE_SUFFIXES = frozenset(
    {".avif", ".dng", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jxl", ".mpo", ".pbm", ".pgm", ".ppm"}
)
FEWEST_LABELLED = 0.5  # share of the pictures that have a label file; with less, the labels lie elsewhere


def label_path_of(picture: Path) -> Path:
    """The label file of a picture by the usual rule: the last folder called `images` becomes `labels`."""
    parts = list(picture.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(LABEL_SUFFIX)


def label_file_of(picture: Path) -> Path | None:
    """The label file of a picture that is there: below `labels`, else beside the picture, where Darknet looks too."""
    below = label_path_of(picture)
    for path in (below, picture.with_suffix(LABEL_SUFFIX)):
        for spelling in (path, path.with_suffix(LABEL_SUFFIX.upper())):
            if spelling.is_file():
                return spelling
    return None


def pictures_below(folder: Path) -> tuple[list[Path], list[Problem]]:
    """(the pictures below a folder in the order of their paths, what there is passed over); hidden files are neither.

    Passed over are pictures of other kinds, and linked folders: a link may lead in a circle, or out of the set.
    """
    found: list[Path] = []
    passed_over: list[Problem] = []
    for place, folders, names in os.walk(folder):
        for name in sorted(folders):
            if os.path.islink(os.path.join(place, name)) and not name.startswith("."):
                message = (
                    f"{Path(place, name)}: expected a folder, found a link to one; left out: name the folder that it "
                    f"leads to in the data.yaml, or copy it here"
                )
                passed_over.append(Problem("picture-left-out", message))
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in sorted(names):
            suffix = Path(name).suffix.lower()
            if name.startswith("."):
                continue
            if suffix in PICTURE_SUFFIXES:
                found.append(Path(place, name))
            elif suffix in OTHER_PICTURE_SUFFIXES:
                kinds = ", ".join(sorted(PICTURE_SUFFIXES))
                message = f"{Path(place, name)}: expected a picture of {kinds}, found {suffix}; left out: convert it"
                passed_over.append(Problem("picture-left-out", message))
    return sorted(found), passed_over


def labels_without_picture(pictures: Collection[Path], folders: Collection[Path]) -> Iterator[Problem]:
    """Label files with a box, and with no picture of any kind, in the folders where the labels of `pictures` are due.

    `folders` are those that the set names, whose label folders are looked through with all below. A picture that is
    there and in no list is no matter: lists choose.
    """
    known = {label_path_of(picture) for picture in pictures}
    picture_folders: dict[Path, set[Path]] = defaultdict(set)
    for picture in pictures:
        picture_folders[label_path_of(picture).parent].add(picture.parent)
    for folder in folders:
        top = label_path_of(folder / "name").parent
        for walked, below, _ in os.walk(top):
            below[:] = [name for name in below if not name.startswith(".")]
            picture_folders[Path(walked)].add(folder / Path(walked).relative_to(top))
    for place in sorted(picture_folders):
        stems: set[str] | None = None
        for path in _label_files(place):
            if path.with_suffix(LABEL_SUFFIX) in known:
                continue
            if stems is None:
                stems = {stem for folder in picture_folders[place] for stem in _picture_stems(folder)}
            if path.stem not in stems and _holds_boxes(path):
                near = min(picture_folders[place])
                message = f"{path}: expected a picture {near / path.stem}.*, found none; add it, or remove the labels"
                yield Problem("label-unpaired", message)


def few_labels(described_by: Path, labelled: int, total: int) -> Problem | None:
    """The finding about a set of which few pictures have a label file: the rest would pass for empty ones."""
    if not 0 < labelled < FEWEST_LABELLED * total:
        return None
    message = (
        f"{described_by}: expected a label file for {FEWEST_LABELLED:.0%} of the pictures at least, found {labelled} "
        f"of {total}; put the labels there, or empty files for pictures without objects"
    )
    return Problem("labels-few", message, THE_SET)


def _label_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    names = sorted(name for name in os.listdir(folder) if name.lower().endswith(LABEL_SUFFIX))
    return [folder / name for name in names if not name.startswith(".")]


def _picture_stems(folder: Path) -> Iterator[str]:
    suffixes = PICTURE_SUFFIXES | OTHER_PICTURE_SUFFIXES
    if folder.is_dir():
        yield from (Path(name).stem for name in os.listdir(folder) if Path(name).suffix.lower() in suffixes)


def _holds_boxes(path: Path) -> bool:
    """Whether a text file begins as one with boxes does; lists and class names lie among labels, too."""
    try:
        with path.open("rb") as opened:
            first = next((words for line in opened if (words := line.split())), [])
        return len(first) >= 5 and all(map(_is_number, first[:5]))
    except OSError as error:
        raise StorageError(f"label file cannot be read: {path}: {error.strerror}") from error


def _is_number(word: bytes) -> bool:
    try:
        float(word.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        return False
    return True
