"""Second stage of a conversion: what only the whole set can tell, from the spools of all shards.

COCO files, lists of pictures, classes, manifest and report; all are streamed, so that memory does not grow with frames.
"""

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.data_set import CLASSES_NAME, MANIFEST_NAME, SCHEMA_VERSION, category_id
from traffic_yolo.dataset.formats.coco import coco_annotation, coco_categories, coco_image
from traffic_yolo.dataset.formats.yolo import darknet_data_text, data_yaml_text
from traffic_yolo.dataset.frame_spool import FileEntry, SpooledFrame, read_frames
from traffic_yolo.dataset.frame_writer import notes_of
from traffic_yolo.dataset.manifest import Fingerprint, file_entry
from traffic_yolo.dataset.observers import PlugIns
from traffic_yolo.dataset.records import SPLITS, Frame
from traffic_yolo.dataset.report import Report, ReportBuilder
from traffic_yolo.errors import DatasetError
from traffic_yolo.progress import progress
from traffic_yolo.storage import write_json


@dataclass(frozen=True)
class SetDescription:
    """What the manifest says of a data set beside its files: where it is from and by which rules it was made."""

    source: Mapping[str, Any]
    parent_fingerprint: str | None
    split_rule: str
    device_labels: str
    min_confidence: float
    required_splits: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """What the first stage left: folders with spools, in order, and what the shards' writers counted."""

    folders: tuple[Path, ...]
    tally: Counter[str]
    ignored_names: frozenset[str]
    notes: tuple[str, ...] = field(default=())


class FolderWriter:
    """Completes the data set folder `folder`, in which the pictures and the YOLO text of all frames already lie.

    Raises `DatasetError` where a required split has no picture, or an observer finds a failure.
    """

    def __init__(self, folder: Path, class_map: ClassMap, described: SetDescription, plug_ins: PlugIns) -> None:
        self._folder = folder
        self._map = class_map
        self._described = described
        self._plug_ins = plug_ins
        self._builder = ReportBuilder(class_map.classes)
        self._fingerprint = Fingerprint()

    def write(self, stage: Stage) -> tuple[Report, str]:
        """Writes everything; returns the report and the fingerprint."""
        names = [*self._map.classes, *sorted(stage.ignored_names)]
        tally = Counter(stage.tally)
        with contextlib.ExitStack() as stack:
            entries = stack.enter_context(_Spill(self._folder / ".files.json"))
            splits = {split: stack.enter_context(_SplitFiles(self._folder, split, names)) for split in SPLITS}
            kept = progress(self._kept(stage, tally), description="labels", unit="picture")
            for image_id, spooled in enumerate(kept, start=1):
                splits[spooled.split].add(image_id, spooled.frame)
                self._add_files(spooled, entries)
                self._builder.add(spooled.frame, spooled.split)
                for observer in self._plug_ins.observers:
                    observer.collect(spooled.frame, spooled.split, spooled.measured.get(observer.name))
            for split in self._described.required_splits:
                if not splits[split].num_images:
                    raise DatasetError(f"the {split} split has no picture with labels; name other sites, or label more")
            for files in splits.values():
                for path in files.complete(coco_categories(self._map.classes, names[len(self._map.classes) :])):
                    self._add_written(path, entries)
            for path, text in self._class_files().items():
                (self._folder / path).write_text(text, encoding="utf-8", newline="\n")
                self._add_written(path, entries)
            notes, found = self._finish_observers([*stage.notes, *notes_of(tally)])
            report = self._builder.report(notes)
            self._write_manifest(report, entries)
        write_json(self._folder / "report.json", {**report.as_dict(), **({"findings": found} if found else {})})
        html = self._builder.html(report, title="Data set")
        (self._folder / "report.html").write_text(html, encoding="utf-8")
        return report, self._fingerprint.hexdigest

    def _kept(self, stage: Stage, tally: Counter[str]) -> Iterator[SpooledFrame]:
        """The frames that the record filters keep; the files of the others are removed."""
        filters = self._plug_ins.record_filters
        for record_filter in filters:
            record_filter.plan((spooled.frame, spooled.split) for spooled in read_frames(stage.folders))
        for spooled in read_frames(stage.folders):
            reasons = (record_filter.keep(spooled.frame, spooled.split) for record_filter in filters)
            reason = next((found for found in reasons if found), "")
            if reason:
                tally[reason] += 1
                for path in _files_of(spooled.frame):
                    (self._folder / path).unlink()
            else:
                yield spooled

    def _add_files(self, spooled: SpooledFrame, entries: "_Spill") -> None:
        picture, label, copy = _files_of(spooled.frame)
        for path, entry in ((picture, spooled.picture), (label, spooled.text), (copy, spooled.text)):
            self._add_entry(path, entry, entries)

    def _add_written(self, path: str, entries: "_Spill") -> None:
        self._add_entry(path, file_entry(self._folder / path), entries)

    def _add_entry(self, path: str, entry: FileEntry, entries: "_Spill") -> None:
        self._fingerprint.add(path, entry.sha256)
        entries.add({"path": path, "size": entry.size, "sha256": entry.sha256})

    def _class_files(self) -> dict[str, str]:
        classes = self._map.classes
        return {
            CLASSES_NAME: self._map.to_yaml(),
            "classes.names": "".join(name + "\n" for name in classes),
            "data.yaml": data_yaml_text(classes),
            "darknet.data": darknet_data_text(len(classes)),
        }

    def _finish_observers(self, notes: list[str]) -> tuple[list[str], dict[str, Any]]:
        reports = {}
        for observer in self._plug_ins.observers:
            findings = observer.finish(self._folder)
            if findings.failure:
                raise DatasetError(findings.failure)
            notes = [*notes, *findings.notes]
            if findings.report is not None:
                reports[observer.name] = findings.report
        return notes, reports

    def _write_manifest(self, report: Report, entries: "_Spill") -> None:
        described = self._described
        head = {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": self._fingerprint.hexdigest,
            "source": dict(described.source),
            "parent_fingerprint": described.parent_fingerprint,
            "class_map_sha256": self._map.sha256,
            "device_labels": described.device_labels,
            "min_confidence": described.min_confidence,
            "split_rule": described.split_rule,
            "splits": report.sites,
            "counts": report.counts,
        }
        with (self._folder / MANIFEST_NAME).open("wb") as file:
            file.write(orjson.dumps(head, option=orjson.OPT_INDENT_2).removesuffix(b"\n}") + b',\n  "files": [\n')
            entries.copy_to(file)
            file.write(b"\n  ]\n}\n")


class _Spill:
    """JSON values in a temporary file, one a line, commas between; a context manager that removes it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b")
        self.count = 0

    def __enter__(self) -> "_Spill":
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()
        self._path.unlink()

    def add(self, value: Any) -> None:
        if self.count:
            self._file.write(b",\n")
        self._file.write(orjson.dumps(value))
        self.count += 1

    def copy_to(self, file: IO[bytes]) -> None:
        self._file.seek(0)
        shutil.copyfileobj(self._file, file, 1 << 20)


class _SplitFiles:
    """The COCO file and the list of pictures of one split, while they grow; a context manager."""

    def __init__(self, folder: Path, split: str, names: Sequence[str]) -> None:
        self._folder = folder
        self._split = split
        self._ids = {name: category_id(index) for index, name in enumerate(names)}
        os.makedirs(folder / "annotations", exist_ok=True)
        self._stack = contextlib.ExitStack()
        self._images = self._stack.enter_context(_Spill(folder / f".{split}-images.json"))
        self._annotations = self._stack.enter_context(_Spill(folder / f".{split}-annotations.json"))
        self._list = self._stack.enter_context((folder / f"{split}.txt").open("w", encoding="utf-8", newline="\n"))

    def __enter__(self) -> "_SplitFiles":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    @property
    def num_images(self) -> int:
        return self._images.count

    def add(self, image_id: int, frame: Frame) -> None:
        self._images.add(coco_image(image_id, frame))
        for annotation in frame.annotations:
            category = self._ids[annotation.class_name]
            self._annotations.add(coco_annotation(self._annotations.count + 1, image_id, category, annotation))
        # Darknet reads it relative to the folder where it was started, ultralytics relative to the list's own
        self._list.write(f"./images/{frame.file_name}\n")

    def complete(self, categories: list[dict[str, Any]]) -> tuple[str, str]:
        """Puts the COCO file together; returns the paths of both files below the folder."""
        self._list.flush()
        path = f"annotations/instances_{self._split}.json"
        with (self._folder / path).open("wb") as file:
            head = {"info": {"description": f"{self._split} split"}, "categories": categories}
            file.write(orjson.dumps(head).removesuffix(b"}") + b',\n"images": [\n')
            self._images.copy_to(file)
            file.write(b'\n],\n"annotations": [\n')
            self._annotations.copy_to(file)
            file.write(b"\n]}\n")
        return path, f"{self._split}.txt"


def _files_of(frame: Frame) -> tuple[str, str, str]:
    """Picture, label and the label's copy beside the picture, below the data set's folder."""
    stem = f"{frame.recording}/{frame.scan}"
    return f"images/{frame.file_name}", f"labels/{stem}.txt", f"images/{stem}.txt"
