"""Darknet's .data file: the one reader of it, for conversions and for `darknet map`, and its text."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from traffic_yolo.dataset.formats.label_text import LabelText, path_of
from traffic_yolo.dataset.formats.picture_list import ListBase, without_data
from traffic_yolo.dataset.formats.yolo_set import YoloSet
from traffic_yolo.dataset.records import ALL
from traffic_yolo.errors import LabelError, StorageError

# The lists of a .data file by split; Darknet knows no `test`
DARKNET_LISTS = {"train": "train", "val": "valid", "test": "test"}


def darknet_entries(path: Path, text: LabelText | None = None) -> dict[str, str]:
    """The lines `key = value` of a Darknet .data file. Of a key that stands twice the first counts, as in Darknet.

    Raises `LabelError` for any other line, `StorageError` for a file that cannot be read.
    """
    entries: dict[str, str] = {}
    for number, line in (text or LabelText()).lines(path):
        if line.startswith(("#", ";")):
            continue
        key, separator, value = line.partition("=")
        if not separator:
            raise LabelError(f"{path} line {number}: expected key = value, found {line!r:.80}")
        entries.setdefault(key.strip(), value.strip())
    return entries


def read_darknet_data(
    path: Path, text: LabelText | None = None, *, splits: Collection[str] = tuple(DARKNET_LISTS)
) -> YoloSet:
    """Reads a Darknet .data file: `names`, and the lists `train`, `valid` (and `test`, which Darknet does not know).

    Darknet takes paths relative to the folder where it is started: here the file's own folder, one above it, or the
    present one. `splits`: those whose lists are read; the others are empty, and their files may be missing. Raises
    `LabelError` for what it does not understand, `StorageError` for a file that is missing.
    """
    text = text or LabelText()
    entries = darknet_entries(path, text)
    if not entries.get("names"):
        raise LabelError(
            f"{path}: expected 'names': the file with a class a line; found {', '.join(entries) or 'none'}"
        )
    names_file, _ = _started_from(path, entries["names"])
    names = [line for _, line in text.lines(names_file)]
    stated = entries.get("classes", str(len(names)))
    if stated != str(len(names)):
        raise LabelError(f"{path}: classes = {stated}, but {names_file} names {len(names)}")
    pictures: dict[str, tuple[Path, ...]] = dict.fromkeys(DARKNET_LISTS, ())
    places = {path.parent}
    for split, key in DARKNET_LISTS.items():
        if split in splits and entries.get(key):
            list_file, folder = _started_from(path, entries[key])
            pictures[split] = tuple(_listed(list_file, path, text))
            places |= {folder, list_file.parent}
    if not any(pictures.values()):
        keys = " or ".join(DARKNET_LISTS[split] for split in splits if split != "test")
        raise LabelError(f"{path}: expected {keys} = a file with a picture a line, found none")
    return YoloSet(tuple(names), pictures, frozenset(places))


def _started_from(data_file: Path, entry: str) -> tuple[Path, Path]:
    """(where a path of a .data file leads, what it starts from): the file's own folder, or one above it."""
    path = path_of(entry)
    if path.is_absolute():
        return path, path.parent
    for folder in start_folders(data_file):
        if (folder / path).is_file():
            return folder / path, folder
    inside = data_file.parent / without_data(path)  # CVAT's archives have no folder of this name
    if inside.is_file():
        return inside, data_file.parent
    raise StorageError(
        f"{data_file}: names {entry}, which is in no folder from {data_file.parent} upwards, nor in {Path.cwd()}"
    )


def start_folders(data_file: Path) -> tuple[Path, ...]:
    """The folders where Darknet may have been started, the likeliest first."""
    return tuple(dict.fromkeys((*data_file.absolute().parents, Path.cwd())))


def _listed(list_file: Path, data_file: Path, text: LabelText) -> Iterator[Path]:
    """The pictures of a list; a relative one from the folder that the .data file's own paths are relative to."""
    lines = [path_of(line) for _, line in text.lines(list_file)]
    base = ListBase.of(lines, [list_file.parent, *start_folders(data_file)])
    yield from map(base.path, lines)


def darknet_data_text(num_classes: int, splits: Sequence[str], filled: Sequence[str]) -> str:
    """A Darknet .data file; its paths are relative to the data set's folder, where darknet is to be started.

    `filled` are the `splits` with pictures. Darknet's `valid` is the validation split; that of a set which has nothing
    but a test split, on which nothing can be trained or chosen, is that.
    """
    if ALL in splits:
        return darknet_data(num_classes, ALL, ALL)
    return darknet_data(num_classes, "train", "test" if set(filled) == {"test"} else "val")


def darknet_data(num_classes: int, train: str, valid: str) -> str:
    """A Darknet .data file of these lists."""
    entries = {"classes": num_classes, "train": f"{train}.txt", "valid": f"{valid}.txt", "names": "classes.names"}
    return "".join(f"{key} = {value}\n" for key, value in entries.items()) + "backup = backup\n"
