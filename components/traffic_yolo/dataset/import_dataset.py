"""The data set of an evaluation: one that lies on the share, by reference, or one that is converted now."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.dataset.convert import convert
from traffic_yolo.dataset.data_set import DataSet
from traffic_yolo.dataset.manifest import MANIFEST_NAME
from traffic_yolo.dataset.options import DataSetChoice
from traffic_yolo.dataset.reference import DatasetReference
from traffic_yolo.errors import DatasetError
from traffic_yolo.html_report import page, paragraph
from traffic_yolo.page_origin import About
from traffic_yolo.storage import AnyPath, atomic_folder, input_path, output_path, shown, write_text

REPORT_NAME = "report.html"


@dataclass(frozen=True)
class ImportedDataSet:
    """What came of it: `path`, the data set or the reference to it; `counts`: scalars by name, pictures by split."""

    path: Path
    counts: dict[str, int]
    text: str
    markdown: str


def import_dataset(choice: DataSetChoice, out: AnyPath) -> ImportedDataSet:
    """Writes the folder `out`: a reference to the data set that `choice` names, or the data set that it converts.

    Both are what `DataSet.open` takes, and both have a report. Raises `DatasetError` for a folder that is no data set,
    or one without pictures, and what `convert` raises.
    """
    target = output_path(out)
    if not choice.dataset:
        converted = convert(choice.convert_options(), target)
        return ImportedDataSet(target, converted.counts, converted.text, converted.markdown)
    data = DataSet.open(choice.dataset)
    if data.labels_only:  # before anything is inferred
        raise DatasetError(f"{shown(choice.dataset)}: converted with labels_only, it has no pictures to detect on")
    with atomic_folder(target) as folder:
        # Of a folder that is a reference already, what that refers to
        given = DatasetReference.of(input_path(choice.dataset, what="data set"))
        (given or DatasetReference.to(choice.dataset, data.fingerprint)).write(folder)
        if given is not None and given.stored is not None:  # which states the manifest that lies beside it
            shutil.copyfile(input_path(choice.dataset, what="data set") / MANIFEST_NAME, folder / MANIFEST_NAME)
        if (data.root / REPORT_NAME).is_file():
            shutil.copyfile(data.root / REPORT_NAME, folder / REPORT_NAME)
        else:
            section = ("", paragraph(_line(choice.dataset, data)))
            write_text(folder / REPORT_NAME, page("Data set", [section], about=About((data.subject(None),), target)))
    counts = {f"{split}_images": count for split, count in data.num_images.items()}
    text = _line(choice.dataset, data)
    return ImportedDataSet(target, counts, text, f"{text}\n")


def _line(location: str, data: DataSet) -> str:
    pictures = ", ".join(f"{count} {split}" for split, count in data.num_images.items())
    return f"{shown(location)}: {pictures} pictures, fingerprint {data.fingerprint[:12]}; read where it lies"
