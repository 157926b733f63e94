"""Writes the labels of a source in another label format, as they are: no splits, no leaving out, nothing lost.

What the format cannot say is counted, and kept in a side-car that the reader of the same folder picks up.
"""

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from traffic_yolo.dataset.class_map import ClassMap
from traffic_yolo.dataset.export_judge import ExportJudge
from traffic_yolo.dataset.folder.frame_mapping import FrameMapping
from traffic_yolo.dataset.folder.frame_writer import notes_of
from traffic_yolo.dataset.formats.base import LabelWriter, PlacesPictures
from traffic_yolo.dataset.formats.sidecar import SIDECAR_NAME, lost_facts, sidecar_head, sidecar_line
from traffic_yolo.dataset.options import ExportOptions
from traffic_yolo.dataset.quarantine import (
    Quarantine,
    check_quarantine,
    copy_parts,
    quarantine_notes,
    quarantine_written,
    root_of,
    write_quarantine,
)
from traffic_yolo.dataset.records import Frame
from traffic_yolo.dataset.sources.label_writers import LABEL_WRITERS
from traffic_yolo.dataset.sources.opening import SourceOptions, open_source
from traffic_yolo.dataset.sources.source import Source
from traffic_yolo.dataset.sources.source_list import locations_of
from traffic_yolo.errors import DatasetError
from traffic_yolo.progress import progress
from traffic_yolo.storage import AnyPath, atomic_folder, check_new_folder, existing_path, output_path


@dataclass(frozen=True)
class ExportSummary:
    """What was written: pictures and boxes, and `notes` on what was left out or went into the side-car."""

    num_pictures: int
    num_boxes: int
    notes: tuple[str, ...]

    @property
    def text(self) -> str:
        """For a terminal."""
        lines = [f"{self.num_pictures} pictures, {self.num_boxes} boxes", *(f"note: {note}" for note in self.notes)]
        return "\n".join(lines)


def export_labels(options: ExportOptions, out: AnyPath) -> ExportSummary:
    """Writes the folder `out`; it appears whole or not at all.

    Raises what the source raises, `LabelError` for a class that the class map does not name, `DatasetError` where no
    frame is of the wanted kind, `StorageError` for a full disk or an `out` that exists.
    """
    target = output_path(out)
    check_new_folder(target)
    quarantine = None
    judge = ExportJudge(options.fail_on)
    how = SourceOptions(on_problem=judge)
    if options.quarantine:
        check_quarantine(options.quarantine, target, locations_of(options))
        quarantine = Quarantine(root_of(options.source), fails=judge.fails, otherwise=judge)
        how = SourceOptions(on_problem=quarantine, quarantine=quarantine)
    source = open_source(options, how)
    tally: Counter[str] = Counter()
    class_map = _class_map(options, source)
    mapping = FrameMapping(class_map, tally) if class_map else None
    if class_map:
        classes, apart = list(class_map.classes), sorted(class_map.ignore)
    else:
        classes = [name for name in source.classes if name not in source.apart]
        apart = [name for name in source.classes if name in source.apart]
    counted: Counter[str] = Counter()
    with (
        atomic_folder(target) as folder,
        quarantine_written(options.quarantine) as aside,
        LABEL_WRITERS[options.to](folder, classes, apart) as writer,
    ):
        if quarantine is not None:
            quarantine.folder = aside
        export = FolderExport(folder, writer, tally, copy_pictures=options.copy_pictures)
        with contextlib.closing(export):
            if not writer.says_frames:
                export.begin(classes, apart)
            for frame in progress(source.frames(), description="export", unit="picture", total=source.num_frames):
                chosen = _chosen(frame, options, tally)
                if chosen is None:
                    continue
                chosen = mapping.mapped(chosen) if mapping else chosen
                export.add(chosen)
                counted.update(pictures=1, boxes=len(chosen.annotations))
            if not counted["pictures"]:
                raise DatasetError(f"{options.source}: no frames of the kind {options.frames}; choose others")
            writer.complete()
        if quarantine is not None and aside is not None:
            copy_parts(quarantine.entries, aside)
            described = {"source": options.source, "labels": options.labels}
            write_quarantine(aside, quarantine.entries, [], described)
    put_aside = quarantine_notes(quarantine.entries) if quarantine is not None else []
    notes = (*source.notes, *judge.notes(), *put_aside, *notes_of(source.tally + tally))
    return ExportSummary(counted["pictures"], counted["boxes"], notes)


class FolderExport:
    """Writes frames with their pictures and their side-car."""

    def __init__(self, folder: Path, writer: LabelWriter, tally: Counter[str], *, copy_pictures: bool) -> None:
        self._folder = folder
        self._writer = writer
        self._tally = tally
        self._copy_pictures = copy_pictures
        self._sidecar = (folder / SIDECAR_NAME).open("wb")

    def begin(self, classes: Sequence[str], apart: Sequence[str]) -> None:
        self._sidecar.write(sidecar_head(classes, apart))

    def add(self, frame: Frame) -> None:
        as_read = self._writer.add(frame)
        place = self._writer.place_of_last() if isinstance(self._writer, PlacesPictures) else None
        says, name = self._writer.says_frames, place.name if place else ""
        self._sidecar.write(sidecar_line(frame, as_read, says_frames=says, picture=name))
        for annotation, read in zip(frame.annotations, as_read, strict=True):
            for what in lost_facts(annotation, read):
                self._tally[f"{what} that the format cannot say ({SIDECAR_NAME} has them)"] += 1
        if self._copy_pictures:
            path = self._folder / self._writer.picture_folder / (place.path if place else frame.file_name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(frame.picture())

    def close(self) -> None:
        self._sidecar.close()
        if not (self._folder / SIDECAR_NAME).stat().st_size:
            (self._folder / SIDECAR_NAME).unlink()


def _class_map(options: ExportOptions, source: Source) -> ClassMap | None:
    if not options.class_map:
        return None
    kept = [name for name in source.classes if name in source.default_classes]
    return ClassMap.read(existing_path(options.class_map, what="class map"), kept)


def _chosen(frame: Frame, options: ExportOptions, tally: Counter[str]) -> Frame | None:
    """The frame without boxes of too little confidence; None for one of the other kind."""
    if options.frames != "all" and frame.labelled != (options.frames == "labelled"):
        return None
    floor = options.min_confidence
    kept = tuple(a for a in frame.annotations if a.is_sure(floor))
    tally[f"boxes below confidence {floor:g} left out"] += len(frame.annotations) - len(kept)
    return replace(frame, annotations=kept)
