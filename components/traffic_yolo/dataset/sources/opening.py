"""Opens what a conversion can start from: recordings, pictures in files with their labels, a list of such."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from traffic_yolo.atm.layouts import load_layout
from traffic_yolo.atm.recording import RECORDING_SUFFIX, find_recordings
from traffic_yolo.atm.recording_limits import RecordingLimits, limits_in_force
from traffic_yolo.dataset.data_set import is_data_set
from traffic_yolo.dataset.formats.base import LabelReader, ReadOptions
from traffic_yolo.dataset.formats.coco import coco_files
from traffic_yolo.dataset.formats.label_text import AUTO
from traffic_yolo.dataset.options import ATM_FORMAT, SOURCE_LIST, SourceChoice
from traffic_yolo.dataset.problems import ProblemSink, strict
from traffic_yolo.dataset.quarantine import Quarantine, root_of
from traffic_yolo.dataset.sources.archives import Archive, ArchiveReader, is_archive
from traffic_yolo.dataset.sources.atm import AtmOptions, AtmSource
from traffic_yolo.dataset.sources.combined import CombinedSource, NamedSource
from traffic_yolo.dataset.sources.files import FileSource
from traffic_yolo.dataset.sources.label_formats import (
    LABEL_FORMATS,
    detect_label_format,
    open_labels,
    other_coco_files,
    other_formats,
)
from traffic_yolo.dataset.sources.labels_only import LabelsOnlySource
from traffic_yolo.dataset.sources.source import Source
from traffic_yolo.dataset.sources.source_list import is_source_list, read_source_list, refuse_own_options
from traffic_yolo.dataset.sources.unchanged_files import unchanged_files
from traffic_yolo.dataset.store.opening import source_folder
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.messages import shown_names
from traffic_yolo.snapshot.snapshot import load_snapshot
from traffic_yolo.storage import existing_path


@dataclass(frozen=True)
class SourceOptions:
    """How a source is opened beside the user's options.

    `only`: paths below the source; recordings that are not among them are left alone (they came after a snapshot).
    `parts`: what is wanted of a recording's scans (`atm.recording.SCAN_PARTS`). `on_problem` takes what cannot be read.
    `recording_limits`: what a recording may state of itself.
    `labels_only`: pictures in files are left alone, and need not be there; a label file has to state their sizes.
    `labelled_only`: scans of recordings that no human labelled are left out unread. `quarantine`: puts bad labels aside
    with their pictures; `on_problem` is to be the same.
    """

    only: Collection[str] | None = None
    parts: frozenset[str] = frozenset({"detections"})
    on_problem: ProblemSink = strict
    recording_limits: RecordingLimits = field(default_factory=limits_in_force)
    labels_only: bool = False
    labelled_only: bool = False
    quarantine: Quarantine | None = None


def open_source(options: SourceChoice, how: SourceOptions = SourceOptions()) -> Source:
    """Finds out what `options.source` is (unless `source_format` says it) and opens it; a reference is followed.

    Raises `StorageError` where nothing is there, `OptionsError` where it is nothing we know.
    """
    path = source_folder(options.source)
    try:
        b"a".decode("utf-8" if options.label_encoding == AUTO else options.label_encoding)
    except (LookupError, ValueError) as error:
        raise OptionsError(f"label_encoding: expected auto or an encoding that Python knows; found {error}") from error
    if options.source_format == SOURCE_LIST or (options.source_format == "auto" and is_source_list(path)):
        refuse_own_options(options, path)
        return _combined(path, how)
    if is_archive(path):
        archive = Archive.unpacked(path, options.label_encoding)
        if how.quarantine is not None:
            within = how.quarantine.within(archive)
            how = replace(how, quarantine=within, on_problem=within)
        with archive.names():
            return _opened(archive.top, options, replace(how, on_problem=archive.naming(how.on_problem)), archive)
    return _opened(path, options, how)


def _opened(path: Path, options: SourceChoice, how: SourceOptions, archive: Archive | None = None) -> Source:
    if path.is_dir() and next(path.iterdir(), None) is None:
        raise StorageError(f"source is empty: {path}; check that the share is mounted")
    is_auto = options.source_format == "auto"
    found = _detect(path, mapped=bool(options.mapping)) if is_auto else options.source_format
    read = ReadOptions(
        mapping=existing_path(options.mapping, what="mapping") if options.mapping else None,
        reviewed=options.label_source == "human",
        voc_origin=options.voc_origin,
        encoding=options.label_encoding,
    )
    if found == ATM_FORMAT and archive is not None:
        raise OptionsError(f"{archive.path}: expected an archive of labels, found recordings in it; unpack it by hand")
    if found == ATM_FORMAT and options.every > 1:
        raise OptionsError(
            f"every: {options.every} goes with labels of videos, found recordings at {path}; leave it out "
            f"(the policy's thin_gap_s thins recordings)"
        )
    if found == ATM_FORMAT:
        layout = load_layout(options.layout) if options.layout else None
        atm = AtmOptions(layout, how.parts, how.only, how.recording_limits, how.labelled_only)
        labels, of_labels = _labels(options, read)
        if how.quarantine is not None:
            atm = replace(atm, quarantine=how.quarantine)
            aside = how.quarantine if of_labels is None else how.quarantine.within(of_labels)
            labels = labels and aside.reading(labels, with_pictures=False, laid_over=True)
        source: Source = AtmSource(path, labels, atm, on_problem=how.on_problem)
        source.notes += _left_by_auto(path, found) if is_auto else []
        return source
    if options.labels:
        raise OptionsError(f"labels go with ATM recordings; a {found} source has its own: leave labels out")
    reader = open_labels(path, found, read)
    reader = reader if archive is None else ArchiveReader(reader, archive)
    if how.quarantine is not None:
        reader = how.quarantine.reading(reader, with_pictures=not how.labels_only)
    if how.labels_only and options.every > 1:
        raise OptionsError(f"every: {options.every} goes with videos that are read; leave it out, or labels_only")
    if how.labels_only:
        source = LabelsOnlySource(reader, on_problem=how.on_problem)
    else:
        source = FileSource(reader, on_problem=how.on_problem, every=options.every)
    source.notes += _left_by_auto(path, found) if is_auto else []
    return source


def _combined(path: Path, how: SourceOptions) -> CombinedSource:
    """The sources of a list; of one with a snapshot, the recordings that it has."""
    sources = []
    for listed in read_source_list(path):
        choice = listed.choice
        described = {"name": listed.name, "location": choice.source, "labels": choice.labels}
        own = replace(how, only=None)
        if listed.snapshot:
            snapshot = load_snapshot(listed.snapshot)
            own = replace(how, only=unchanged_files(snapshot, choice))
            described["snapshot"] = snapshot.fingerprint
        if how.quarantine is not None:
            part = how.quarantine.part(listed.name, root_of(choice.source))
            own = replace(own, quarantine=part, on_problem=part)
        sources.append(NamedSource(listed.name, open_source(choice, own), described))
    return CombinedSource(sources, on_problem=how.on_problem)


def _left_by_auto(path: Path, taken: str) -> list[str]:
    """A note on what else lies in a folder; none for our own data sets, which are COCO and YOLO at once."""
    if not path.is_dir() or is_data_set(str(path)):
        return []
    if taken == ATM_FORMAT:  # a walk through a whole share in search of labels would take as long as reading it
        others = [name for name in ("coco", "yolo", "cvat") if LABEL_FORMATS[name].recognises(path)]
    else:
        others = other_formats(path, taken)
    notes = []
    if others:
        what = ", ".join(f"{name} ({LABEL_FORMATS[name].what})" for name in others)
        how = "--labels reads labels" if taken == ATM_FORMAT else "--format names another"
        notes.append(f"format auto took {taken}, and left what may be {what}: {how}")
    if taken == "coco" and (files := other_coco_files(path)):
        taken_files = ", ".join(file.relative_to(path).as_posix() for file in coco_files(path))
        left = shown_names([file.relative_to(path).as_posix() for file in files])
        notes.append(f"COCO files taken: {taken_files}; left: {left}; give one of them as source to take it")
    return notes


def _labels(options: SourceChoice, read: ReadOptions) -> tuple[LabelReader | None, Archive | None]:
    """The labels that are laid over recordings, and the archive that holds them; None where there is none."""
    if not options.labels:
        return None, None
    path = existing_path(options.labels, what="label file")
    if not is_archive(path):
        return open_labels(path, options.labels_format, read), None
    archive = Archive.unpacked(path, options.label_encoding)
    with archive.names():
        return ArchiveReader(open_labels(archive.top, options.labels_format, read), archive), archive


def _detect(path: Path, *, mapped: bool) -> str:
    if path.suffix == RECORDING_SUFFIX if path.is_file() else find_recordings(path):
        return ATM_FORMAT
    found = detect_label_format(path, mapped=mapped)
    if not found:
        known = ", ".join([f"ATM recordings (*{RECORDING_SUFFIX})", *(known.what for known in LABEL_FORMATS.values())])
        raise OptionsError(f"{path}: expected {known}; found none of them")
    return found
