"""Inspects a recording, or a folder of them, of whatever layout: what is in it, and which layout reads it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.inspection.box_spaces import BoxSpace, rank_box_spaces
from traffic_yolo.atm.inspection.structure import DataSetSummary, FileStructure, raw_bytes, read_structure
from traffic_yolo.atm.inspection.times import NO_TIME, FrameRate, frame_rate, rate_of_names, times_of_scan
from traffic_yolo.atm.jpeg import check_jpeg_complete, jpeg_size
from traffic_yolo.atm.layouts import Layout, RecordingName, builtin_layouts
from traffic_yolo.atm.recording_limits import limits_in_force
from traffic_yolo.errors import RecordingError
from traffic_yolo.storage import AnyPath, input_path

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
NAMED_BROKEN = 20
SHOWN_PICTURES = 3  # of a kind, from the begin, the middle and the end of a file
DECODED = 40  # pictures of a file that are decoded whole, spread evenly; of the others, header and end are looked at
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class LayoutFit:
    """Whether a known layout reads the files; `reasons` why not, or what speaks against it."""

    name: str
    fits: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class SamplePicture:
    """One picture to look at. `where`: its file and scan; `rows`: the tables of the scan, (n, columns) by name."""

    where: str
    data: bytes
    rows: Mapping[str, NDArray[np.float64]]

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height by its header; `RecordingError` for one that is broken."""
        return _size(self.data, self.where)


@dataclass
class PictureSummary:
    """The pictures: how many were looked at, their sizes, and the broken ones with the first reasons; a few of them."""

    data_set: str = ""
    count: int = 0
    sizes: "Counter[tuple[int, int]]" = field(default_factory=Counter)
    broken: int = 0
    examples: list[str] = field(default_factory=list)
    absent: int = 0
    samples: list[SamplePicture] = field(default_factory=list)

    @property
    def size_wh(self) -> tuple[int, int] | None:
        """The most frequent size."""
        return self.sizes.most_common(1)[0][0] if self.sizes else None


@dataclass
class Kind:
    """Files of one structure. `sample` is the structure of those that were looked at, put together.

    `read_by`: the first layout that fits, None where none does.
    """

    files: list[Path]
    sample: FileStructure
    scans: int = 0
    gaps: list[tuple[Path, int, int]] = field(default_factory=list)
    names: list[RecordingName] = field(default_factory=list)
    pictures: PictureSummary = field(default_factory=PictureSummary)
    boxes: dict[str, list[BoxSpace]] = field(default_factory=dict)  # by data set
    classes: dict[str, dict[str, "Counter[float]"]] = field(default_factory=dict)  # data set -> column -> values
    rate: FrameRate = NO_TIME
    fits: list[LayoutFit] = field(default_factory=list)
    read_by: Layout | None = None

    @property
    def layout(self) -> str:
        """The name of the first layout that fits, "" for none."""
        return next((fit.name for fit in self.fits if fit.fits), "")


@dataclass
class Inspection:
    """What was found at `path`. `unreadable`: why files cannot be read; `others`: files of other kinds, by suffix."""

    path: Path
    kinds: list[Kind] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    others: "Counter[str]" = field(default_factory=Counter)


def inspect_recordings(
    path: AnyPath, *, layouts: Iterable[Layout] = (), max_files: int = 3, max_scans: int = 200
) -> Inspection:
    """Looks at a file, or at every HDF5 file below a folder.

    Of each kind of file, `max_files` are read, `max_scans` scans of each, spread evenly; of the others, names and scan
    numbers alone. `layouts` are tried beside the built-in ones. Raises `RecordingError` where nothing is there.
    """
    path = input_path(path, what="recordings")
    inspection = Inspection(path)
    known = [*layouts, *builtin_layouts().values()]
    kinds: list[Kind] = []
    for file in _hdf5_files(path, inspection):
        try:
            _inspect_file(file, kinds, max_files=max_files, max_scans=max_scans)
        except RecordingError as error:
            inspection.unreadable.append(str(error))
    for kind in kinds:
        _conclude(kind, known)
    inspection.kinds = sorted(kinds, key=lambda kind: -len(kind.files))
    return inspection


def _hdf5_files(path: Path, inspection: Inspection) -> list[Path]:
    if not path.exists():
        raise RecordingError(f"nothing to inspect: {path} is not there")
    if path.is_file():
        return [path]
    found = []
    for file in sorted(path.rglob("*")):
        if not file.is_file() or any(part.startswith(".") for part in file.relative_to(path).parts):
            continue
        if file.suffix.lower() in HDF5_SUFFIXES:
            found.append(file)
        else:
            inspection.others[file.suffix.lower() or "(no suffix)"] += 1
    return found


def _inspect_file(path: Path, kinds: list[Kind], *, max_files: int, max_scans: int) -> None:
    # One scan tells the kind; the rest is read where the kind has been seen in few files
    probe, scans = read_structure(path, max_scans=3)
    for _ in scans:
        pass
    kind = next((kind for kind in kinds if _is_like(kind.sample, probe)), None)
    if kind is None:
        kind = Kind([], FileStructure(path, probe.scan_pattern, probe.parent, data_sets=probe.data_sets))
        kinds.append(kind)
    kind.files.append(path)
    kind.scans += len(probe.numbers)
    kind.gaps += [(path, first, last) for first, last in probe.gaps]
    if len(kind.files) <= max_files:
        _read_into(kind, path, max_scans)


def _is_like(a: FileStructure, b: FileStructure) -> bool:
    """Whether two files are of one kind: scans called alike, and tables of one name that have as many columns.

    Pictures and the rows of a table may be missing in one of them.
    """
    if (a.scan_pattern, a.parent) != (b.scan_pattern, b.parent):
        return False
    tables = [{name: len(one.columns) for name, one in side.data_sets.items() if one.columns} for side in (a, b)]
    shared = tables[0].keys() & tables[1].keys()
    if any(tables[0][name] != tables[1][name] for name in shared):
        return False
    return not (tables[0].keys() - shared and tables[1].keys() - shared)


def _read_into(kind: Kind, path: Path, max_scans: int) -> None:
    structure, scans = read_structure(path, max_scans=max_scans)
    sample = kind.sample
    if not sample.looked_at:
        sample.data_sets = {}  # the probe's
    structure.data_sets = sample.data_sets  # summaries go on where the last file's ended
    times: dict[str, list[tuple[int, float]]] = {}
    last = min(len(structure.names), max_scans) - 1
    shown = {0, last // 2, last}
    decode_every = max(1, min(len(structure.names), max_scans) // DECODED)
    for index, (name, number, values) in enumerate(scans):
        for place, value in times_of_scan(values).items():
            times.setdefault(place, []).append((number, value))
        data = _look_at_pictures(kind.pictures, path, name, values, decode=index % decode_every == 0)
        if data and index in shown and len(kind.pictures.samples) < SHOWN_PICTURES:
            rows = {one.name: one.rows[-1] for one in sample.data_sets.values() if one.name in values and one.rows}
            kind.pictures.samples.append(SamplePicture(f"{path.name} {name}", data, rows))
    sample.looked_at += structure.looked_at
    sample.numbers += structure.numbers
    sample.names += structure.names
    sample.size += structure.size
    sample.others = tuple(dict.fromkeys([*sample.others, *structure.others]))
    sample.attributes = {**sample.attributes, **structure.attributes}
    if kind.rate is NO_TIME:
        kind.rate = frame_rate(times) or NO_TIME


def _look_at_pictures(
    pictures: PictureSummary, path: Path, scan: str, values: dict[str, Any], *, decode: bool
) -> bytes:
    """Counts what a scan has; returns the bytes of a picture that is whole as far as it was looked at, or none."""
    found = {name: data for name, value in values.items() if (data := _picture(name, value, pictures)) is not None}
    if not found:
        pictures.absent += 1
        return b""
    name, data = next(iter(found.items()))
    pictures.data_set = pictures.data_set or name
    pictures.count += 1
    where = f"{path} {scan}"
    try:
        pictures.sizes[_size(data, where)] += 1
        if data[:2] == b"\xff\xd8":
            check_jpeg_complete(data, what=where, decode=decode, most_pixels=limits_in_force().picture_pixels)
    except RecordingError as error:
        pictures.broken += 1
        if len(pictures.examples) < NAMED_BROKEN:
            pictures.examples.append(str(error))
        return b""
    return data


def _picture(name: str, value: Any, pictures: PictureSummary) -> bytes | None:
    if name.startswith("@"):
        return None
    data = raw_bytes(value)
    if data is None or not data:
        return None
    return data if name == pictures.data_set or data.startswith((b"\xff\xd8", b"\x89PNG")) else None


def _size(data: bytes, where: str) -> tuple[int, int]:
    if data.startswith(b"\x89PNG"):
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    return jpeg_size(data, what=where)


def _conclude(kind: Kind, layouts: Sequence[Layout]) -> None:
    for name, data_set in kind.sample.data_sets.items():
        if data_set.kind == "table":
            kind.boxes[name] = rank_box_spaces(data_set.rows, [c.name for c in data_set.columns], kind.pictures.size_wh)
            kind.classes[name] = class_columns(data_set)
    kind.fits = [fit_layout(kind, layout) for layout in layouts]
    kind.fits.sort(key=lambda fit: (not fit.fits, len(fit.reasons), fit.name))
    described = next((layout for layout in layouts if layout.name == kind.layout), None)
    kind.read_by = described
    if described is not None:
        kind.names = [described.describe_name(file) for file in kind.files]
    if kind.rate is NO_TIME:
        per_file = kind.scans / max(len(kind.files), 1)
        kind.rate = rate_of_names([(file, round(per_file)) for file in kind.files]) or NO_TIME


def class_columns(data_set: DataSetSummary) -> dict[str, "Counter[float]"]:
    """Columns that may be class ids: whole numbers from 0, few different ones, and more rows than values."""
    found = {}
    for column in data_set.columns:
        distinct = column.distinct
        if distinct is None or not column.whole or column.low < 0 or column.high > 100:
            continue
        if len(distinct) >= 1 and column.count >= 2 * len(distinct):
            found[column.name] = distinct
    return found


def fit_layout(kind: Kind, layout: Layout) -> LayoutFit:
    """Holds a layout against what was found."""
    reasons = []
    sample = kind.sample
    if not sample.names:
        reasons.append("no groups that look like scans")
    elif sample.parent:
        reasons.append(f"scans lie in the group {sample.parent}; a layout has them at the top")
    elif not all(_is_scan(layout, name) for name in sample.names):
        example = next(name for name in sample.names if not _is_scan(layout, name))
        reasons.append(f"scans are called like {example}; expected {layout.scan_group.pattern}")
    if layout.image_dataset != kind.pictures.data_set:
        reasons.append(f"pictures in {kind.pictures.data_set or 'no data set'}; expected {layout.image_dataset}")
    reasons += _table_reasons(sample, layout.detections.dataset, layout.detections.columns, required=True)
    if layout.tracks is not None:
        reasons += _table_reasons(sample, layout.tracks.dataset, layout.tracks.columns, required=False)
    reasons += _space_reasons(kind, layout) if not reasons else []
    return LayoutFit(layout.name, not reasons, tuple(reasons))


def _is_scan(layout: Layout, name: str) -> bool:
    try:
        return layout.scan_number(name) is not None
    except ValueError:
        return False


def _table_reasons(sample: FileStructure, name: str, columns: Sequence[str], *, required: bool) -> list[str]:
    found = sample.data_sets.get(name)
    if found is None:
        return [f"no data set {name}"] if required else []
    if found.kind == "empty" or not found.columns:
        return []
    have = [column.name for column in found.columns]
    if found.named:
        missing = [column for column in columns if column not in have]
        return [f"{name} has no column {', '.join(missing)}"] if missing else []
    return [] if len(have) == len(columns) else [f"{name} has {len(have)} columns; expected {len(columns)}"]


def _space_reasons(kind: Kind, layout: Layout) -> list[str]:
    """The boxes must lie inside the space that the layout states."""
    detections = layout.detections
    data_set = kind.sample.data_sets[detections.dataset]
    names = [column.name for column in data_set.columns] if data_set.named else list(detections.columns)
    table = data_set.table
    if not len(table):
        return []
    x, y, width, height = (table[:, names.index(name)] for name in detections.box)
    if detections.box_anchor == "centre":
        x, y = x - width / 2, y - height / 2
    space = detections.box_space_wh or kind.pictures.size_wh or layout.nominal_size_wh
    slack = 0.1 * np.array(space)
    inside = (x >= -slack[0]) & (y >= -slack[1]) & (x + width <= space[0] + slack[0])
    inside &= y + height <= space[1] + slack[1]
    share = float(inside.mean())
    classes = set(table[:, names.index(detections.class_id)].tolist())
    reasons = []
    if share < 0.9:
        reasons.append(f"only {share:.0%} of the boxes lie inside {space[0]}x{space[1]}")
    strangers = sorted(value for value in classes if value not in layout.classes)
    if strangers:
        reasons.append(f"class ids that it does not know: {', '.join(f'{value:g}' for value in strangers[:8])}")
    return reasons
