"""The label formats by name, and how a file or folder is told to be one of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.dataset.formats.base import LabelReader, ReadOptions
from traffic_yolo.dataset.formats.coco import CocoReader, coco_files
from traffic_yolo.dataset.formats.yolo import YoloReader
from traffic_yolo.errors import OptionsError


@dataclass(frozen=True)
class LabelFormat:
    """`recognises(path)` says whether a file or folder is of this format; `what` describes the format in messages."""

    what: str
    recognises: Callable[[Path], bool]
    reader: Callable[[Path, ReadOptions], LabelReader]


# In the order in which they are tried: our own folders are COCO and YOLO at once, and only COCO can say everything
LABEL_FORMATS: dict[str, LabelFormat] = {
    "coco": LabelFormat("a COCO file (*.json)", lambda path: _is_coco(path), CocoReader),
    "yolo": LabelFormat("a YOLO data set (data.yaml)", lambda path: _is_yolo(path), YoloReader),
}


def detect_label_format(path: Path) -> str:
    """The name of the format of this file or folder; "" where it is none that we know."""
    return next((name for name, known in LABEL_FORMATS.items() if known.recognises(path)), "")


def open_labels(path: Path, label_format: str, options: ReadOptions) -> LabelReader:
    """Opens a file or folder in a format, or in the one that it is found to be ("auto").

    Raises `OptionsError` where it is none that we know, and what the reader raises.
    """
    name = detect_label_format(path) if label_format == "auto" else label_format
    if not name:
        known = ", ".join(known.what for known in LABEL_FORMATS.values())
        raise OptionsError(f"{path}: expected {known}; found none of them")
    return LABEL_FORMATS[name].reader(path, options)


def _is_coco(path: Path) -> bool:
    if path.is_file():
        return path.suffix == ".json"
    # Other JSON files lie beside a data.yaml too
    return bool(coco_files(path)) and ((path / "annotations").is_dir() or not _is_yolo(path))


def _is_yolo(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") if path.is_file() else (path / "data.yaml").is_file()
