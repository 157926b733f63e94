"""What a conversion can start from, behind one small interface: streams of frames, and the groups they come in."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from traffic_yolo.atm.layouts import load_layout
from traffic_yolo.atm.recording import RECORDING_SUFFIX, find_recordings
from traffic_yolo.atm.recording_limits import RecordingLimits, limits_in_force
from traffic_yolo.dataset.archives import Archive, ArchiveReader, is_archive
from traffic_yolo.dataset.atm_source import AtmOptions, AtmSource
from traffic_yolo.dataset.file_source import FileSource
from traffic_yolo.dataset.formats.base import LabelReader, ReadOptions
from traffic_yolo.dataset.formats.label_text import AUTO
from traffic_yolo.dataset.label_formats import LABEL_FORMATS, detect_label_format, open_labels
from traffic_yolo.dataset.labels_only_source import LabelsOnlySource
from traffic_yolo.dataset.options import ATM_FORMAT, SourceChoice
from traffic_yolo.dataset.problems import ProblemSink, strict
from traffic_yolo.dataset.records import Frame, PictureKey
from traffic_yolo.dataset.store.opening import source_folder
from traffic_yolo.errors import OptionsError, StorageError
from traffic_yolo.storage import existing_path


class Source(Protocol):
    """A source of frames.

    `classes` in the source's own order; `default_classes`: those that stay where no class map is given; `apart`: those
    of boxes that do not count, which are ignored then.
    `may_split_pictures`: whether pictures of one recording may go into different splits where nothing better is known
    (never those of a video). `num_frames` counts what `frames()` yields at most. `notes` are lines for the report that
    are known once the source is open; `tally` counts what `frames()` leaves out, by what the report says after the
    number.
    """

    classes: tuple[str, ...]
    default_classes: frozenset[str]
    apart: frozenset[str]
    may_split_pictures: bool
    num_frames: int
    notes: list[str]
    tally: Counter[str]

    @property
    def description(self) -> str:
        """What it is, for the manifest."""
        ...

    def keys(self) -> Iterator[PictureKey]:
        """Every picture that humans labelled, in a stable order and without reading a picture. May be called again."""
        ...

    def frames(self, shard: tuple[int, int] = (0, 1)) -> Iterator[Frame]:
        """The frames of one shard (index from 0, count), one at a time, in a stable order.

        The shards' frames one after another are those of the whole; a recording is in one shard. Each frame is read
        once: what `frame.picture` gives is in memory only while the caller holds the frame.
        """
        ...


@dataclass(frozen=True)
class SourceOptions:
    """How a source is opened beside the user's options.

    `only`: paths below the source; recordings that are not among them are left alone (they came after a snapshot).
    `parts`: what is wanted of a recording's scans (`atm.recording.SCAN_PARTS`). `on_problem` takes what cannot be read.
    `recording_limits`: what a recording may state of itself.
    `labels_only`: pictures in files are left alone, and need not be there; a label file has to state their sizes.
    `labelled_only`: scans of recordings that no human labelled are left out unread.
    """

    only: Collection[str] | None = None
    parts: frozenset[str] = frozenset({"detections"})
    on_problem: ProblemSink = strict
    recording_limits: RecordingLimits = field(default_factory=limits_in_force)
    labels_only: bool = False
    labelled_only: bool = False


def open_source(options: SourceChoice, how: SourceOptions = SourceOptions()) -> Source:
    """Finds out what `options.source` is (unless `source_format` says it) and opens it; a reference is followed.

    Raises `StorageError` where nothing is there, `OptionsError` where it is nothing we know.
    """
    path = source_folder(options.source)
    try:
        b"a".decode("utf-8" if options.label_encoding == AUTO else options.label_encoding)
    except (LookupError, ValueError) as error:
        raise OptionsError(f"label_encoding: expected auto or an encoding that Python knows; found {error}") from error
    if is_archive(path):
        archive = Archive.unpacked(path, options.label_encoding)
        with archive.names():
            return _opened(archive.top, options, replace(how, on_problem=archive.naming(how.on_problem)), archive)
    return _opened(path, options, how)


def _opened(path: Path, options: SourceChoice, how: SourceOptions, archive: Archive | None = None) -> Source:
    if path.is_dir() and next(path.iterdir(), None) is None:
        raise StorageError(f"source is empty: {path}; check that the share is mounted")
    found = _detect(path, mapped=bool(options.mapping)) if options.source_format == "auto" else options.source_format
    read = ReadOptions(
        mapping=existing_path(options.mapping, what="mapping") if options.mapping else None,
        reviewed=options.label_source == "human",
        voc_origin=options.voc_origin,
        encoding=options.label_encoding,
    )
    if found == ATM_FORMAT and archive is not None:
        raise OptionsError(f"{archive.path}: expected an archive of labels, found recordings in it; unpack it by hand")
    if found == ATM_FORMAT:
        layout = load_layout(options.layout) if options.layout else None
        atm = AtmOptions(layout, how.parts, how.only, how.recording_limits, how.labelled_only)
        return AtmSource(path, _labels(options, read), atm, on_problem=how.on_problem)
    if options.labels:
        raise OptionsError(f"labels go with ATM recordings; a {found} source has its own: leave labels out")
    reader = open_labels(path, found, read)
    reader = reader if archive is None else ArchiveReader(reader, archive)
    return (LabelsOnlySource if how.labels_only else FileSource)(reader, on_problem=how.on_problem)


def _labels(options: SourceChoice, read: ReadOptions) -> LabelReader | None:
    if not options.labels:
        return None
    path = existing_path(options.labels, what="label file")
    if not is_archive(path):
        return open_labels(path, options.labels_format, read)
    archive = Archive.unpacked(path, options.label_encoding)
    with archive.names():
        return ArchiveReader(open_labels(archive.top, options.labels_format, read), archive)


def _detect(path: Path, *, mapped: bool) -> str:
    if path.suffix == RECORDING_SUFFIX if path.is_file() else find_recordings(path):
        return ATM_FORMAT
    found = detect_label_format(path, mapped=mapped)
    if not found:
        known = ", ".join([f"ATM recordings (*{RECORDING_SUFFIX})", *(known.what for known in LABEL_FORMATS.values())])
        raise OptionsError(f"{path}: expected {known}; found none of them")
    return found
