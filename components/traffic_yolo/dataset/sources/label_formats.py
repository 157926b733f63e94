"""The label formats by name, and how a file or folder is told to be one of them."""

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from traffic_yolo.dataset.formats.base import LabelReader, ReadOptions
from traffic_yolo.dataset.formats.coco import COCO_FILES, CocoReader, coco_files
from traffic_yolo.dataset.formats.cvat import CvatReader, cvat_files
from traffic_yolo.dataset.formats.kitti import KittiReader, kitti_folder
from traffic_yolo.dataset.formats.labelme import LabelmeReader, labelme_files
from traffic_yolo.dataset.formats.labelstudio import LabelStudioReader, labelstudio_files
from traffic_yolo.dataset.formats.mapped import MappedReader
from traffic_yolo.dataset.formats.mot import MotReader, mot_sequences
from traffic_yolo.dataset.formats.provenance import as_human
from traffic_yolo.dataset.formats.sidecar import sidecar_of, with_sidecar
from traffic_yolo.dataset.formats.voc import VocReader, voc_folder
from traffic_yolo.dataset.formats.yolo import YoloReader
from traffic_yolo.dataset.formats.yolo_set import yolo_file
from traffic_yolo.dataset.problems import ProblemSink, strict
from traffic_yolo.dataset.records import PictureLabels
from traffic_yolo.errors import OptionsError


@dataclass(frozen=True)
class LabelFormat:
    """`recognises(path)` says whether a file or folder is of this format; `what` describes the format in messages."""

    what: str
    recognises: Callable[[Path], bool]
    reader: Callable[[Path, ReadOptions], LabelReader]


def _is_coco(path: Path) -> bool:
    files = coco_files(path)
    # Other JSON files lie beside a data.yaml too
    where_expected = path.is_file() or (path / "annotations").is_dir() or not _is_yolo(path)
    return where_expected and any(_holds_categories(file) for file in files)


def _is_yolo(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml", ".data") if path.is_file() else yolo_file(path) is not None


def _is_labelme(path: Path) -> bool:
    return next(labelme_files(path), None) is not None


# In the order in which they are tried: our own folders are COCO and YOLO at once, and only COCO can say everything
LABEL_FORMATS: dict[str, LabelFormat] = {
    "coco": LabelFormat("a COCO file (*.json)", _is_coco, CocoReader),
    "yolo": LabelFormat("a YOLO data set (data.yaml or *.data)", _is_yolo, YoloReader),
    "cvat": LabelFormat("a CVAT file (*.xml)", lambda path: bool(cvat_files(path)), CvatReader),
    "voc": LabelFormat("Pascal VOC files (Annotations/*.xml)", lambda path: voc_folder(path) is not None, VocReader),
    "labelme": LabelFormat(
        "LabelMe files (*.json)", lambda path: any(True for _ in labelme_files(path)), LabelmeReader
    ),
    "kitti": LabelFormat("KITTI labels (label_2/*.txt)", lambda path: kitti_folder(path) is not None, KittiReader),
    "labelstudio": LabelFormat(
        "an export of Label Studio (*.json)", lambda path: bool(labelstudio_files(path)), LabelStudioReader
    ),
    "mot": LabelFormat("MOT sequences (gt/gt.txt)", lambda path: bool(mot_sequences(path)), MotReader),
    "mapped": LabelFormat("a JSON or CSV file with a mapping", lambda _path: False, MappedReader),
}


def detect_label_format(path: Path, *, mapped: bool = False) -> str:
    """The name of the format of this file or folder; "" where it is none that we know. With a mapping, `mapped`."""
    if mapped:
        return "mapped"
    return next((name for name, known in LABEL_FORMATS.items() if known.recognises(path)), "")


def other_formats(path: Path, taken: str) -> list[str]:
    """The names of the other formats of which something lies at `path` as well: what taking one of them leaves."""
    return [name for name, known in LABEL_FORMATS.items() if name != taken and known.recognises(path)]


def other_coco_files(folder: Path) -> list[Path]:
    """The COCO files of a folder that are not taken with it, because others lie in a surer place."""
    taken = set(coco_files(folder))
    found = {path for pattern in COCO_FILES for path in folder.glob(pattern)} - taken
    return sorted(path for path in found if _holds_categories(path))


def open_labels(path: Path, label_format: str, options: ReadOptions) -> LabelReader:
    """Opens a file or folder in a format, or in the one that it is found to be ("auto").

    A side-car in the same folder is read with it, but for COCO. Raises `OptionsError` where it is none that we know,
    and what the reader raises.
    """
    mapped = options.mapping is not None
    name = detect_label_format(path, mapped=mapped) if label_format == "auto" else label_format
    if not name:
        known = ", ".join(known.what for known in LABEL_FORMATS.values())
        raise OptionsError(f"{path}: expected {known}; found none of them")
    reader = LABEL_FORMATS[name].reader(path, options)
    sidecar = None if name == "coco" else sidecar_of(path)  # COCO says all itself; the side-car is the YOLO text's
    if sidecar is not None:
        reader = with_sidecar(reader, sidecar)
    return _Reviewed(reader) if options.reviewed else reader


class _Reviewed:
    """The labels of another reader, every one of them a human's."""

    def __init__(self, reader: LabelReader) -> None:
        self._reader = reader
        self.classes = reader.classes
        self.default_classes = reader.default_classes
        self.root = reader.root
        self.is_video = reader.is_video

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """The other reader's pictures; no box has a confidence any more."""
        for labels in self._reader.pictures(on_problem):
            yield replace(labels, annotations=tuple(map(as_human, labels.annotations)), by_machine=False)

    def notes(self) -> list[str]:
        """The other reader's notes, and that all labels count as human."""
        return [*self._reader.notes(), "all labels taken as human ones, whatever the file says"]


def _holds_categories(file: Path) -> bool:
    """Whether a JSON file has the key that every COCO file has, somewhere."""
    if file.stat().st_size == 0:
        return False
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b'"categories"') >= 0
