"""ATM recordings as a source of frames: human labels where there are some, else the device's own detections."""

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.hdf5_state import HEAD_BYTES, why_unfinished
from traffic_yolo.atm.jpeg import check_jpeg_end
from traffic_yolo.atm.layouts import Layout
from traffic_yolo.atm.recording import RECORDING_SUFFIX, Recording, Scan, find_recordings
from traffic_yolo.atm.recording_limits import RecordingLimits, limits_in_force
from traffic_yolo.dataset.alike_classes import alike_classes
from traffic_yolo.dataset.empty_pictures import EmptyPictures
from traffic_yolo.dataset.formats.base import LabelReader
from traffic_yolo.dataset.pictures.decode import check_upright
from traffic_yolo.dataset.pictures.picture_file import PICTURE_SUFFIXES
from traffic_yolo.dataset.problems import About, Problem, ProblemSink, strict
from traffic_yolo.dataset.quarantine import Quarantine
from traffic_yolo.dataset.records import Annotation, Frame, PictureKey, PictureLabels
from traffic_yolo.dataset.sources.label_store import LabelStore
from traffic_yolo.errors import (
    DatasetError,
    LabelError,
    PictureError,
    RecordingError,
    RecordingInUseError,
    StorageError,
)
from traffic_yolo.messages import shown

# A picture called after its frame without a folder: 20210901120000_0_SCAN_00003.jpg
FLAT_NAME = re.compile(r"(?P<recording>.+?)[_\-.]+(?P<scan>SCAN_\d+)")

# A file that cannot be read is taken to be unfinished when it changed this lately: devices flush every few seconds


@dataclass(frozen=True)
class _Surveyed:
    """What is known of a recording before its scans are read; `numbers` of its scans, sorted."""

    path: Path
    site: str
    camera: str
    day: str
    numbers: NDArray[np.int64]
    size: int
    changed_ns: int

    def has_scan(self, number: int) -> bool:
        row = int(np.searchsorted(self.numbers, number))
        return row < len(self.numbers) and self.numbers[row] == number


@dataclass(frozen=True)
class AtmOptions:
    """How recordings are read: in which layout (None: each file's own), and which parts of a scan beside the picture.

    `only` and `labelled_only`: see `sources.SourceOptions`. `quarantine` says by the place of a frame's labels whether
    the frame is put aside.
    """

    layout: Layout | None = None
    parts: frozenset[str] = frozenset({"detections"})
    only: Collection[str] | None = None
    limits: RecordingLimits = field(default_factory=limits_in_force)
    labelled_only: bool = False
    quarantine: Quarantine | None = None


class AtmSource:
    """Recordings below a folder, with or without human labels laid over them; see `sources.Source`.

    A label names its frame by `recording` and `scan` (number or group name), or by a file name
    (`<recording>/<scan>.jpg`, `<recording>_<scan>.jpg`); `site` tells recordings of one name apart. The labels of a
    frame replace its device detections. A recording is called by its file's name, with the folder's before it where two
    have one name. A recording that is still being written is left out and named in `notes`; recordings and scans that
    cannot be read go to `on_problem`, and the rest is read. Where the source is one file, labels of other recordings
    are counted and left out, for a label file is often that of the whole share.
    """

    may_split_pictures = False

    def __init__(
        self, root: Path, labels: LabelReader | None, options: AtmOptions, *, on_problem: ProblemSink = strict
    ) -> None:
        self._options = options
        self._on_problem = on_problem
        self.notes: list[str] = []
        self.tally: Counter[str] = Counter()
        self._is_one_file = root.is_file()
        self._survey(_named(self._chosen(root)))
        self.num_frames = sum(len(recording.numbers) for recording in self._recordings.values())
        self.description = f"ATM, {len(self._recordings)} recordings" + (", human labels" if labels else "")
        self.default_classes = frozenset(self.classes)
        self.apart: frozenset[str] = frozenset()
        self._labels = LabelStore()
        self._empty_pictures = EmptyPictures()
        if labels:
            self._read_labels(labels)
            self.notes += [*labels.notes(), *self._empty_pictures.notes()]

    def keys(self) -> Iterator[PictureKey]:
        """Every frame with human labels."""
        for (recording, number), labels in self._labels.items():
            if self._empty_pictures.judged(labels).labelled and not self._is_blocked(labels):
                known = self._recordings[recording]
                scan = scan_name(number)
                yield PictureKey(known.site, recording, scan, "", labels.counted, known.camera, known.day)

    def recordings(self) -> Iterable[str]:
        """The names of all recordings that can be read."""
        return self._recordings

    def frames(self, shard: tuple[int, int] = (0, 1)) -> Iterator[Frame]:
        """Every scan with a picture of the recordings of a shard (index, count); those without one are counted."""
        for name, surveyed in self._shard(*shard):
            try:
                _check_unchanged(surveyed)
                opened = self._open(surveyed.path)
            except RecordingError as error:  # it could be read when it was surveyed
                self._on_problem(Problem("recording-unreadable", str(error)))
                continue
            with opened as recording:
                for number in recording.scan_numbers:
                    frame = self._read_frame(name, recording, number)
                    if frame is not None:
                        yield frame
            _check_unchanged(surveyed)

    @property
    def scan_numbers(self) -> Mapping[str, NDArray[np.int64]]:
        """The numbers of all scans of every recording, those without a picture among them."""
        return {name: recording.numbers for name, recording in self._recordings.items()}

    def _chosen(self, root: Path) -> list[Path]:
        found = find_recordings(root)
        only = self._options.only
        paths = [path for path in found if only is None or _relative(path, root) in only]
        if len(paths) < len(found):
            self.notes.append(f"{len(found) - len(paths)} recordings newer than the snapshot left alone")
        if not paths:
            raise StorageError(f"no recordings (*{RECORDING_SUFFIX}) below {root}")
        return paths

    def _survey(self, paths: Mapping[str, Path]) -> None:
        """Opens every recording once, so that a broken one is known before anything is written."""
        self._recordings: dict[str, _Surveyed] = {}
        self._unfinished: set[str] = set()
        self._unreadable: set[str] = set()
        reasons: list[str] = []
        classes: dict[str, None] = {}
        for name, path in paths.items():
            try:
                with self._open(path) as recording:
                    state = _state_of(path)
                    numbers = np.array(recording.scan_numbers, dtype=np.int64)
                    where = (path, recording.site, recording.camera, recording.day)
                    self._recordings[name] = _Surveyed(*where, numbers, state.st_size, state.st_mtime_ns)
                    known = recording.layout.classes
                    classes |= dict.fromkeys(known[key] for key in sorted(known))
            except RecordingError as error:
                unfinished = _why_unfinished(path, error)
                if unfinished and self._options.only is not None:
                    # What the snapshot holds must come out whole: a data set may be kept under its fingerprint
                    raise RecordingInUseError(
                        f"{path}: expected a complete recording, as in the snapshot, found one that is being written, "
                        f"or was cut off ({unfinished}); run again when it is complete"
                    ) from error
                if unfinished:
                    self._unfinished |= {name, path.stem}
                    reason = f"{path}: left out: still being written, or cut off ({unfinished})"
                    self.notes.append(reason)
                    self._on_problem(Problem("recording-unfinished", reason))
                else:
                    self._unreadable |= {name, path.stem}
                    reasons.append(str(error))
                    self._on_problem(Problem("recording-unreadable", str(error)))
        if not self._recordings:
            raise StorageError(f"no recording can be read: {[*reasons, *self.notes][0]}")
        self.classes = tuple(classes)

    def _open(self, path: Path) -> Recording:
        return Recording(path, self._options.layout, limits=self._options.limits)

    def _shard(self, index: int, count: int) -> Iterator[tuple[str, _Surveyed]]:
        """The recordings of a shard: a run of them, about as many bytes as in the others."""
        total = sum(recording.size for recording in self._recordings.values())
        before = 0
        for name, recording in self._recordings.items():
            if (before + recording.size // 2) * count // max(total, 1) == index:
                yield name, recording
            before += recording.size

    def _read_labels(self, reader: LabelReader) -> None:
        # The label file's classes may go beyond the layout's: people name what the device cannot
        self.classes = tuple(dict.fromkeys([*self.classes, *reader.classes]))
        for message in alike_classes(self.classes):
            self._on_problem(Problem("classes-alike", f"{reader.root}: {message}"))
        names: dict[str, list[str]] = {}
        for name, recording in self._recordings.items():
            for alias in {name, recording.path.stem}:
                names.setdefault(alias, []).append(name)
        used: set[str] = set()
        apart = set(reader.classes) - reader.default_classes
        waiting = unreadable = others = 0
        for labels in reader.pictures(self._on_problem):
            if _stated_frame(labels)[0] in self._unfinished - names.keys():
                waiting += 1
                continue
            if _stated_frame(labels)[0] in self._unreadable - names.keys():
                unreadable += 1
                continue
            if self._is_one_file and _names_another_recording(labels, names):
                others += 1
                continue
            try:
                key = self._frame_key(labels, names)
            except LabelError as error:
                if not labels.implied:
                    about = About((labels.where,), labels.name)
                    self._on_problem(Problem("frame-missing", str(error), about))
                continue
            self._labels.add(key, labels)
            self._empty_pictures.add(labels)
            for annotation in labels.annotations:
                name = annotation.class_name
                (used if annotation.counts or name in reader.default_classes else apart).add(name)
        if waiting:
            self.notes.append(f"labels of {waiting} frames of recordings that are still being written left out")
        if unreadable:
            self.notes.append(f"labels of {unreadable} frames of recordings that cannot be read left out")
        if others:
            self.notes.append(f"labels of {others} frames of other recordings left out")
        for (recording_name, number), earlier, labels in self._labels.doubles():
            twice = f"recording {recording_name} scan {number} is labelled twice, in {earlier.where} too; keep one"
            about = About((earlier.where, labels.where), f"{recording_name}/{scan_name(number)}")
            self._on_problem(Problem("frame-twice", f"{labels.where}: {twice}", about))
        self.default_classes = frozenset(used)
        self.apart = frozenset(apart - used)

    def _frame_key(self, labels: PictureLabels, names: Mapping[str, Sequence[str]]) -> tuple[str, int]:
        """(recording, scan number) of a picture's labels; `LabelError` where there is no such frame on the share."""
        stated, scan = _stated_frame(labels)
        digits = scan.rpartition("_")[2]
        if not stated or not digits.isdecimal() or len(digits) > 18:
            raise LabelError(
                f"{labels.where}: expected 'recording' and 'scan', found {shown(stated)} and {shown(scan)}"
            )
        candidates = names.get(stated, ())
        if len(candidates) > 1:
            candidates = [name for name in candidates if self._recordings[name].site == labels.site]
            if len(candidates) != 1:
                one_of = ", ".join(names[stated])
                raise LabelError(f"{labels.where}: {one_of} may be meant; give the image its 'site'")
        if not candidates:
            raise LabelError(
                f"{labels.where}: no recording {stated} on the share; remove the label or add the recording"
            )
        if not self._recordings[candidates[0]].has_scan(int(digits)):
            raise LabelError(f"{labels.where}: recording {stated} has no scan {int(digits)}; remove the label")
        return candidates[0], int(digits)

    def _is_blocked(self, labels: PictureLabels) -> bool:
        return self._options.quarantine is not None and self._options.quarantine.blocks(labels.where)

    def _read_frame(self, name: str, recording: Recording, number: int) -> Frame | None:
        labels = self._labels.get((name, number))
        labels = labels and self._empty_pictures.judged(labels)
        if labels is not None and self._is_blocked(labels):
            assert self._options.quarantine is not None
            scan_of = f"{name}/{scan_name(number)}"
            self._options.quarantine.put_scan(labels, scan_of, recording.path, partial(recording.jpeg, number))
            return None
        if self._options.labelled_only and (labels is None or not labels.labelled):
            return None
        # Whoever drew the labels that are laid over, the device's own are not wanted there
        parts = self._options.parts if labels is None else self._options.parts - {"detections"}
        try:
            scan = recording.scan(number, parts=parts)
        except RecordingError as error:
            about = _about(name, number, labels, partial(recording.jpeg, number))
            self._on_problem(Problem("scan-unreadable", str(error), about))
            return None
        if scan.jpeg is None or scan.image_wh is None:
            if labels is not None:
                message = f"{labels.where}: labels {recording.path} {scan.name}, which has no picture"
                self._on_problem(Problem("picture-missing", message, _about(name, number, labels)))
            self.tally["scans without a picture left out"] += 1
            return None
        return self._frame(name, recording, scan, labels)

    def _frame(self, name: str, recording: Recording, scan: Scan, labels: PictureLabels | None) -> Frame | None:
        assert scan.jpeg is not None
        assert scan.image_wh is not None
        where = f"{recording.path} {scan.name}"
        about = _about(name, scan.number, labels, partial(bytes, scan.jpeg))
        width, height = scan.image_wh
        try:
            check_jpeg_end(scan.jpeg, what=where)
            check_upright(scan.jpeg, what=where)
        except (RecordingError, PictureError) as error:
            kind = "picture-turned" if isinstance(error, PictureError) else "picture-unreadable"
            self._on_problem(Problem(kind, str(error), about))
            return None
        if labels is not None and labels.image_wh not in (None, (width, height)):
            stated = "x".join(map(str, labels.image_wh or ()))
            message = f"{labels.where}: {where} is {width}x{height} pixels, the label file says {stated}"
            self._on_problem(Problem("picture-size", message, about))
            return None
        annotations = labels.in_pixels((width, height)) if labels else tuple(_device_annotations(scan))
        return Frame(
            recording=name,
            scan=scan_name(scan.number),
            width=width,
            height=height,
            annotations=annotations,
            picture=partial(bytes, scan.jpeg),
            site=recording.site,
            camera=recording.camera,
            day=recording.day,
            labelled=labels is not None and labels.labelled,
            label_file=labels.where if labels else str(recording.path),
            attributes=labels.attributes if labels else {},
            recorded=scan,
        )


def _about(name: str, number: int, labels: PictureLabels | None, picture: Callable[[], bytes] | None = None) -> About:
    """A frame of a recording, for whoever puts it aside; `picture` gives its bytes, where it has some."""
    return About((labels.where,) if labels else (), f"{name}/{scan_name(number)}", picture=picture)


def scan_name(number: int) -> str:
    """How a scan is called in a data set, whatever its layout calls the group."""
    return f"SCAN_{number:05d}"


def _stated_frame(labels: PictureLabels) -> tuple[str, str]:
    """The recording and the scan that labels name, each "" where they do not."""
    folder, _, file_name = labels.name.rpartition("/")
    stem, suffix = os.path.splitext(file_name)
    if suffix.lower() not in PICTURE_SUFFIXES:
        stem = file_name
    flat = FLAT_NAME.fullmatch(stem) if not (labels.recording or folder) else None
    recording = labels.recording or (flat["recording"] if flat else folder)
    scan = labels.scan or (flat["scan"] if flat else stem)
    return recording.rpartition("/")[2].removesuffix(RECORDING_SUFFIX), scan


def _names_another_recording(labels: PictureLabels, names: Mapping[str, Sequence[str]]) -> bool:
    """Whether labels plainly name a frame of a recording, and one that is none of `names`."""
    stated, scan = _stated_frame(labels)
    return bool(stated) and stated not in names and scan.rpartition("_")[2].isdecimal()


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """Recordings by name; `DatasetError` where the folder's name does not tell two of one name apart."""
    times = Counter(path.stem for path in paths)
    named: dict[str, Path] = {}
    for path in paths:
        name = path.stem if times[path.stem] == 1 else f"{path.absolute().parent.name}-{path.stem}"
        if name in named:
            raise DatasetError(f"two recordings are called {name}: {named[name]} and {path}; rename one")
        named[name] = path
    return named


def _relative(path: Path, root: Path) -> str:
    return path.name if path == root else path.relative_to(root).as_posix()


def _why_unfinished(path: Path, error: RecordingError) -> str:
    """By what a recording that cannot be opened shows that it is not complete; "" where nothing says so.

    The file itself decides, as it does for a snapshot, and never the time of its last change: the same file gives the
    same data set whenever it is converted.
    """
    if isinstance(error, RecordingInUseError):
        return "its writer has it open"
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return why_unfinished(file.read(HEAD_BYTES), path.stat().st_size)
    except OSError:
        return ""  # the error that was met says what is wrong


def _state_of(path: Path) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise RecordingInUseError(f"{path}: {error.strerror} while it was read; run again") from error


def _check_unchanged(surveyed: _Surveyed) -> None:
    state = _state_of(surveyed.path)
    if (state.st_size, state.st_mtime_ns) != (surveyed.size, surveyed.changed_ns):
        raise RecordingInUseError(f"{surveyed.path}: changed while it was read; wait until it is complete, run again")


def _device_annotations(scan: Scan) -> Iterator[Annotation]:
    for detection in scan.detections:
        yield Annotation(
            detection.class_name,
            detection.xywh,
            label_source="device",
            confidence=detection.confidence,
            attributes=dict(detection.attributes),
        )
