"""Second stage of a conversion: what only the whole set can tell, from the spools of all shards.

COCO files, lists of pictures, classes, manifest and report; all are streamed: records of frames are not kept in memory.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.data_set import SCHEMA_VERSION
from traffic_yolo.dataset.folder.frame_selection import judged_frames
from traffic_yolo.dataset.folder.frame_writer import notes_of
from traffic_yolo.dataset.formats.coco_writer import CocoWriter, Spill, coco_writer, spill
from traffic_yolo.dataset.formats.darknet_data import darknet_data_text
from traffic_yolo.dataset.formats.sidecar import SIDECAR_NAME, sidecar_head, sidecar_line
from traffic_yolo.dataset.formats.yolo import read_back
from traffic_yolo.dataset.formats.yolo_set import data_yaml_text
from traffic_yolo.dataset.frame_spool import FileEntry, SpooledFrame
from traffic_yolo.dataset.manifest import CLASSES_NAME, MANIFEST_NAME, Fingerprint, file_entry
from traffic_yolo.dataset.observers import NoteTaker, PlugIns
from traffic_yolo.dataset.problems import Noted, Problem
from traffic_yolo.dataset.quarantine import QuarantineEntry, quarantine_notes
from traffic_yolo.dataset.records import SPLITS, Frame
from traffic_yolo.dataset.report.page import report_page
from traffic_yolo.dataset.report.report import Report, ReportBuilder
from traffic_yolo.errors import DatasetError
from traffic_yolo.html_report import Html
from traffic_yolo.page_origin import SHORT_HASH, About, Subject
from traffic_yolo.progress import progress
from traffic_yolo.storage import write_json


@dataclass(frozen=True)
class SetDescription:
    """What the manifest says of a data set beside its files: where it is from and by which rules it was made.

    `splits` are those that it has; `required_splits` those of them that must get a picture.
    """

    source: Mapping[str, Any]
    parent_fingerprint: str | None
    split_rule: str
    device_labels: str
    min_confidence: float
    required_splits: tuple[str, ...]
    splits: tuple[str, ...] = SPLITS
    labels_only: bool = False
    policy: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """What the first stage left: spools in order, each in its folder of pictures, and what the writers counted.

    `noted` is what the readers of labels left out or mended; `problems`: what could not be read, and was left out;
    `quarantined`: what was put aside, with its files in the folder `quarantine.PARTS_NAME` beside a spool.
    """

    spools: tuple[Path, ...]
    tally: Counter[str]
    ignored_names: frozenset[str]
    notes: tuple[str, ...] = field(default=())
    problems: tuple[Problem, ...] = field(default=())
    noted: Noted = field(default_factory=Noted)
    quarantined: tuple[QuarantineEntry, ...] = field(default=())


class FolderWriter:
    """Completes the data set folder `folder`, in which the pictures and the YOLO text of all frames already lie.

    Raises `DatasetError` where a required split has no picture, or an observer finds a failure.
    """

    def __init__(self, folder: Path, class_map: ClassMap, described: SetDescription, plug_ins: PlugIns) -> None:
        self._folder = folder
        self._map = class_map
        self._described = described
        self._plug_ins = plug_ins
        self._builder = ReportBuilder(class_map.classes, described.splits)
        self._fingerprint = Fingerprint()

    def write(self, stage: Stage) -> tuple[Report, str]:
        """Writes everything; returns the report and the fingerprint."""
        for judge in self._plug_ins.problem_observers:
            for problem in stage.problems:
                judge.note_problem(problem)
            if failure := judge.why_failed():  # before what follows from it: a split that is left without pictures
                raise DatasetError(failure)
        classes, ignored = self._map.classes, sorted(stage.ignored_names)
        tally = Counter(stage.tally)
        with contextlib.ExitStack() as stack:
            entries = stack.enter_context(spill(self._folder / ".files.json"))
            splits = {
                split: stack.enter_context(_SplitFiles.open(self._folder, split, classes, ignored))
                for split in self._described.splits
            }
            sidecar = stack.enter_context((self._folder / SIDECAR_NAME).open("wb"))
            sidecar.write(sidecar_head(classes, ignored))
            start = sidecar.tell() if not ignored else 0
            kept = progress(self._kept(stage, tally), description="labels", unit="picture")
            for image_id, spooled in enumerate(kept, start=1):
                splits[spooled.split].add(image_id, spooled.frame)
                sidecar.write(self._sidecar_line(spooled.frame))
                for path, entry in spooled.files.items():
                    self._add_entry(path, entry, entries)
                self._builder.add(spooled.frame, spooled.split)
                for observer in self._plug_ins.observers:
                    observer.collect(spooled.frame, spooled.split, spooled.measured.get(observer.name))
            for split in self._described.required_splits:
                if not splits[split].coco.num_images:
                    raise DatasetError(f"the {split} split has no picture with labels; name other sites, or label more")
            filled = [split for split in splits if splits[split].coco.num_images]
            for files in splits.values():
                for path in files.complete():
                    self._add_written(path, entries)
            if sidecar.tell() > start:
                sidecar.flush()
                self._add_written(SIDECAR_NAME, entries)
            else:
                (self._folder / SIDECAR_NAME).unlink()
            for path, text in self._class_files(filled).items():
                (self._folder / path).write_text(text, encoding="utf-8", newline="\n")
                self._add_written(path, entries)
            for observer in self._plug_ins.observers:
                if isinstance(observer, NoteTaker):
                    observer.note(stage.noted)
            told = [*stage.notes, *quarantine_notes(stage.quarantined), *notes_of(tally)]
            notes, found, sections = self._finish_observers(told)
            report = self._builder.report(notes)
            self._write_manifest(report, entries)
        left_out = {what: count for what, count in sorted(tally.items()) if count}
        described = {**report.as_dict(), "left_out": left_out, **({"findings": found} if found else {})}
        write_json(self._folder / "report.json", described)
        html = report_page(
            report,
            self._builder.distributions,
            self._builder.samples(),
            title="Data set",
            left_out=left_out,
            sections=sections,
            pictures=self._plug_ins.pictures,
            about=self._about(),
        )
        (self._folder / "report.html").write_text(html, encoding="utf-8")
        return report, self._fingerprint.hexdigest

    def _about(self) -> About:
        """The data set by its content, and its source."""
        location = str(self._described.source.get("location") or self._described.source.get("description") or "")
        data_set = Subject("data set", f"fingerprint {self._fingerprint.hexdigest[:SHORT_HASH]}")
        return About((data_set, *([Subject("source", location)] if location else [])))

    def _kept(self, stage: Stage, tally: Counter[str]) -> Iterator[SpooledFrame]:
        """The frames that the record filters keep; the files of the others are removed."""
        for spooled, reason in judged_frames(stage.spools, self._plug_ins.record_filters):
            if reason:
                tally[reason] += 1
                for path in spooled.files:
                    (self._folder / path).unlink()
            else:
                yield spooled

    def _sidecar_line(self, frame: Frame) -> bytes:
        """What the frame's YOLO text cannot say."""
        boxes = frame.annotations
        plain = all(a.counts and a.label_source == "human" and a.area is None and not a.attributes for a in boxes)
        read = boxes if plain else read_back(boxes, self._map.classes, (frame.width, frame.height))
        return sidecar_line(frame, read, says_frames=False)

    def _add_written(self, path: str, entries: Spill) -> None:
        self._add_entry(path, file_entry(self._folder / path), entries)

    def _add_entry(self, path: str, entry: FileEntry, entries: Spill) -> None:
        self._fingerprint.add(path, entry.sha256)
        entries.add({"path": path, "size": entry.size, "sha256": entry.sha256})

    def _class_files(self, filled: Sequence[str]) -> dict[str, str]:
        """What Darknet and ultralytics start from; `filled` are the splits with pictures."""
        classes, splits = self._map.classes, self._described.splits
        return {
            CLASSES_NAME: self._map.to_yaml(),
            "classes.names": "".join(name + "\n" for name in classes),
            "data.yaml": data_yaml_text(classes, splits),
            "darknet.data": darknet_data_text(len(classes), splits, filled),
        }

    def _finish_observers(self, notes: list[str]) -> tuple[list[str], dict[str, Any], list[tuple[str, Html]]]:
        reports = {}
        sections: list[tuple[str, Html]] = []
        for observer in self._plug_ins.observers:
            findings = observer.finish(self._folder)
            if findings.failure:
                raise DatasetError(findings.failure)
            notes = [*notes, *findings.notes]
            if findings.report is not None:
                reports[observer.name] = findings.report
            sections += findings.sections
        return notes, reports, sections

    def _write_manifest(self, report: Report, entries: Spill) -> None:
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
            "labels_only": described.labels_only,
            "policy": dict(described.policy),
            "splits": report.sites,
            "counts": report.counts,
        }
        with (self._folder / MANIFEST_NAME).open("wb") as file:
            file.write(orjson.dumps(head, option=orjson.OPT_INDENT_2).removesuffix(b"\n}") + b',\n  "files": [\n')
            entries.copy_to(file)
            file.write(b"\n  ]\n}\n")


@dataclass(frozen=True)
class _SplitFiles:
    """The COCO file and the list of pictures of one split, while they grow."""

    split: str
    coco: CocoWriter
    pictures: IO[str]

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, split: str, classes: Sequence[str], ignored: Sequence[str]) -> Iterator["_SplitFiles"]:
        (folder / "annotations").mkdir(exist_ok=True)
        with (
            coco_writer(folder / _coco_path(split), classes, ignored) as coco,
            (folder / f"{split}.txt").open("w", encoding="utf-8", newline="\n") as pictures,
        ):
            yield cls(split, coco, pictures)

    def add(self, image_id: int, frame: Frame) -> None:
        self.coco.add(image_id, frame)
        # Darknet reads it relative to the folder where it was started, ultralytics relative to the list's own
        self.pictures.write(f"./images/{frame.file_name}\n")

    def complete(self) -> tuple[str, str]:
        """Writes what is left to write; returns the paths of both files below the folder."""
        self.pictures.flush()
        self.coco.complete(f"{self.split} split")
        return _coco_path(self.split), f"{self.split}.txt"


def _coco_path(split: str) -> str:
    return f"annotations/instances_{split}.json"
