"""What lies in an HDF5 file: which groups are scans, which data sets they hold, of which kind and shape."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.hdf5_file import UNREAD, Hdf5DataSet, Hdf5File, Hdf5Group, short
from traffic_yolo.atm.layouts import SCAN_DIGITS
from traffic_yolo.atm.recording import MOST_NAME_CHARACTERS
from traffic_yolo.atm.recording_limits import RecordingLimits
from traffic_yolo.atm.status import json_of
from traffic_yolo.errors import RecordingError

SCAN_NAME = re.compile(r"(.*?)(\d+)(\D*)")
JPEG_START, PNG_START = b"\xff\xd8", b"\x89PNG"
MAX_DISTINCT = 16
MAX_ROWS = 20_000  # of a table, over all scans looked at: enough for ranges and box spaces
MAX_COLUMNS = 1000  # of a table; what is wider is a picture's pixels, or the like
MAX_NUMBERS = 1 << 22  # of a data set without columns in one scan
SCAN_BYTES = 256 << 20  # of all data sets of one scan, which are in memory together


@dataclass
class ColumnSummary:
    """The numbers of one column, or of a whole data set without columns. `distinct`: few values, with their counts."""

    name: str
    low: float = np.inf
    high: float = -np.inf
    count: int = 0
    not_finite: int = 0
    whole: bool = True
    distinct: "Counter[float] | None" = field(default_factory=Counter)

    def add(self, values: NDArray[np.float64]) -> None:
        """Takes some values in."""
        finite = values[np.isfinite(values)]
        self.not_finite += len(values) - len(finite)
        self.count += len(values)
        if not len(finite):
            return
        self.low, self.high = min(self.low, float(finite.min())), max(self.high, float(finite.max()))
        self.whole = self.whole and bool((finite % 1 == 0).all())
        if self.distinct is not None:
            self.distinct.update(finite.tolist())
            if len(self.distinct) > MAX_DISTINCT:
                self.distinct = None


@dataclass
class DataSetSummary:
    """One data set as it is found in the scans. `kind`: picture, table, numbers, json, text, bytes or empty.

    `columns` has a summary for each field of records, or each column of a plain table (called c0, c1 ...); `named`
    tells which. `rows` are the rows of all scans under one another, at most `MAX_ROWS`; `row_counts` how many a scan
    has.
    """

    name: str
    scans: int = 0
    dtypes: "Counter[str]" = field(default_factory=Counter)
    shapes: "Counter[tuple[int, ...]]" = field(default_factory=Counter)
    kind: str = "empty"
    named: bool = False
    columns: list[ColumnSummary] = field(default_factory=list)
    rows: list[NDArray[np.float64]] = field(default_factory=list)
    row_counts: "Counter[int]" = field(default_factory=Counter)
    padded: bool = False  # tables end with rows of zeros
    keys: "Counter[str]" = field(default_factory=Counter)  # of a JSON object

    @property
    def table(self) -> NDArray[np.float64]:
        """(N, columns) rows that are not all zero."""
        rows = np.concatenate(self.rows) if self.rows else np.zeros((0, len(self.columns)))
        return np.asarray(rows[(rows != 0).any(axis=1)])


@dataclass
class FileStructure:
    """One file. `scan_pattern` is a regular expression with the group `number`, "" where no groups look like scans.

    `parent` is the group that holds the scans ("" at the top); `others` what else lies at the top. `looked_at` of the
    scans were read.
    """

    path: Path
    scan_pattern: str = ""
    parent: str = ""
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    data_sets: dict[str, DataSetSummary] = field(default_factory=dict)
    looked_at: int = 0
    size: int = 0

    @property
    def signature(self) -> tuple[Any, ...]:
        """The same for files of one layout: pattern, data sets, and how many columns each has."""
        found = tuple((name, one.kind, len(one.columns)) for name, one in sorted(self.data_sets.items()))
        return self.scan_pattern, self.parent, found

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Ranges of missing numbers (first, last)."""
        numbers = sorted(self.numbers)
        return [(a + 1, b - 1) for a, b in itertools.pairwise(numbers) if b > a + 1]


def read_structure(
    path: Path, *, max_scans: int, limits: RecordingLimits | None = None
) -> tuple[FileStructure, Iterator[tuple[str, int, dict[str, Any]]]]:
    """The structure of a file without its values, and an iterator that reads scans and fills the values in.

    The iterator yields (scan name, number, raw values by data set) of at most `max_scans` scans, spread evenly; the
    structure is complete when it is exhausted. Raises `RecordingError` for what is no HDF5 file, or a damaged one.
    """
    file = Hdf5File(path, limits)
    try:
        structure = FileStructure(path, size=file.size)
        structure.attributes = {short(name): _shown(value) for name, value in file.attributes().items()}
        _find_scans(file, structure)
    except BaseException:
        file.close()
        raise
    return structure, _read_scans(file, structure, max_scans)


def _read_scans(file: Hdf5File, structure: FileStructure, max_scans: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    with file:
        count = len(structure.names)
        chosen = np.linspace(0, max(count - 1, 0), min(count, max_scans)).round().astype(int)
        for index in np.unique(chosen).tolist():
            name = structure.names[index]
            place = f"{structure.parent}/{name}" if structure.parent else name
            group = file.listed_group(place)
            values = _values(group)
            times = {f"@{key}": value for key, value in group.attributes().items() if value is not UNREAD}
            structure.looked_at += 1
            for key, value in values.items():
                _add(structure.data_sets.setdefault(key, DataSetSummary(key)), value)
            yield name, structure.numbers[index], {**values, **times}


def _find_scans(file: Hdf5File, structure: FileStructure) -> None:
    """The largest family of groups whose names differ in a number alone, at the top or one group below."""
    top = file.names()
    places: list[tuple[str, Hdf5Group]] = [("", file)]
    places += [(name, item) for name in top if isinstance(item := file.item(name), Hdf5Group)]
    best: list[tuple[int, str]] = []
    for parent, group in places:
        families: dict[str, list[tuple[int, str]]] = {}
        for name in group.names():
            match = SCAN_NAME.fullmatch(name) if len(name) <= MOST_NAME_CHARACTERS else None
            if match and len(match[2]) <= SCAN_DIGITS and isinstance(group.item(name), Hdf5Group):
                digits = len(match[2])
                family = f"{re.escape(match[1])}(?P<number>\\d{{{digits},}}){re.escape(match[3])}"
                if not match[2].startswith("0") and digits != 5:
                    family = f"{re.escape(match[1])}(?P<number>\\d+){re.escape(match[3])}"
                families.setdefault(family, []).append((int(match[2]), name))
        if not parent:
            structure.others = tuple(sorted(top))
        merged = _merged(families)
        for pattern, members in merged.items():
            if len(members) > len(best):
                best, structure.scan_pattern, structure.parent = members, pattern, parent
    best.sort()
    structure.numbers = tuple(number for number, _ in best)
    structure.names = tuple(name for _, name in best)
    taken = set(structure.names) if not structure.parent else {structure.parent}
    structure.others = tuple(short(name) for name in structure.others if name not in taken)


def _merged(families: dict[str, list[tuple[int, str]]]) -> dict[str, list[tuple[int, str]]]:
    """Families of one stem with numbers of different lengths are one: SCAN_9 and SCAN_10."""
    by_stem: dict[str, list[str]] = {}
    for pattern in families:
        by_stem.setdefault(re.sub(r"\\d(\{\d+,\}|\+)", r"\\d", pattern), []).append(pattern)
    merged = {}
    for patterns in by_stem.values():
        members = [member for pattern in patterns for member in families[pattern]]
        lengths = {len(re.sub(r"\D", "", name)) for _, name in members}
        stem = patterns[0]
        if len(lengths) > 1:
            stem = re.sub(r"\\d(\{\d+,\}|\+)", r"\\d+", patterns[0])
        merged[stem] = members
    return merged


def _values(group: Hdf5Group) -> dict[str, Any]:
    """The values of all data sets of a scan and of the groups in it. Raises `RecordingError` for more than is read."""
    values: dict[str, Any] = {}
    total = 0
    for name, item in _data_sets(group):
        values[name] = value = _value(item)
        total += len(value) if isinstance(value, bytes) else value.nbytes
        if total > SCAN_BYTES:
            raise RecordingError(f"{group.where}: its data sets come to more than {SCAN_BYTES} bytes")
    return values


def _data_sets(group: Hdf5Group, prefix: str = "") -> Iterator[tuple[str, Hdf5DataSet]]:
    for name in group.names():
        item = group.item(name)
        if isinstance(item, Hdf5DataSet):
            yield f"{prefix}{name}", item
        elif isinstance(item, Hdf5Group) and not prefix:
            yield from _data_sets(item, f"{name}/")


def _value(item: Hdf5DataSet) -> "NDArray[Any] | bytes":
    if not item.dtype.hasobject:
        return item.read()
    # Text and bytes of any length are read one at a time; more of them, and references, are named by their kind
    try:
        return item.read_bytes()
    except RecordingError:
        return np.empty(0, item.dtype)


def _add(summary: DataSetSummary, value: Any) -> None:
    """Takes the value of one scan into the summary of its data set."""
    summary.scans += 1
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    summary.dtypes[_dtype_name(array, value)] += 1
    summary.shapes[tuple(array.shape)] += 1
    data = raw_bytes(value)
    if data is not None:
        summary.kind = _kind_of_bytes(data, summary)
    elif array.dtype.names:
        _add_records(summary, array.reshape(-1))
    elif array.dtype.kind in "iufb":
        _add_numbers(summary, array)


def raw_bytes(value: Any) -> bytes | None:
    """The bytes of a data set that holds bytes: uint8 in one dimension, opaque, or a string; None for anything else."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, np.void) and value.dtype.names is None:
        return bytes(value.tobytes())
    if isinstance(value, np.ndarray):
        if value.dtype == np.uint8 and value.ndim == 1:
            return bytes(value.tobytes())
        if value.dtype.kind in "SV" and value.dtype.names is None:
            return bytes(value.tobytes())
        if value.dtype == object and value.size == 1:
            return raw_bytes(value.reshape(-1)[0])
    return None


def _kind_of_bytes(data: bytes, summary: DataSetSummary) -> str:
    if data.startswith((JPEG_START, PNG_START)):
        return "picture"
    text = data.rstrip(b"\x00").lstrip()
    if text.startswith((b"{", b"[")):
        try:
            content = json_of(text)
        except ValueError:
            return "bytes"
        if isinstance(content, dict):
            summary.keys.update(flat_keys(content))
        return "json"
    if summary.kind == "picture":  # a broken one among others
        return "picture"
    return "bytes" if data else summary.kind


def flat_keys(content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The keys of a JSON object, nested ones joined by dots."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flat_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _add_records(summary: DataSetSummary, records: NDArray[Any]) -> None:
    summary.kind, summary.named = "table", True
    names = [name for name in records.dtype.names or () if records.dtype[name].kind in "iufb"]
    if not summary.columns:
        summary.columns = [ColumnSummary(name) for name in names]
    table = np.stack([records[name].astype(np.float64) for name in names], axis=1) if names else np.zeros((0, 0))
    _add_table(summary, table)


def _add_numbers(summary: DataSetSummary, array: NDArray[Any]) -> None:
    if array.ndim == 2 and 1 < array.shape[1] <= MAX_COLUMNS:
        summary.kind = "table"
        if not summary.columns:
            summary.columns = [ColumnSummary(f"c{index}") for index in range(array.shape[1])]
        _add_table(summary, array.astype(np.float64))
    elif array.size:
        summary.kind = summary.kind if summary.kind == "table" else "numbers"
        if not summary.columns:
            summary.columns = [ColumnSummary("value")]
        if summary.kind == "numbers":
            summary.columns[0].add(array.reshape(-1)[:MAX_NUMBERS].astype(np.float64))


def _add_table(summary: DataSetSummary, table: NDArray[np.float64]) -> None:
    if table.shape[1:] != (len(summary.columns),):
        return  # another number of columns than the scans before: `shapes` shows it
    filled = (table != 0).any(axis=1)
    summary.row_counts[int(filled.sum())] += 1
    summary.padded |= bool(len(table) and not filled[-1])
    rows = table[filled]
    for index, column in enumerate(summary.columns):
        column.add(rows[:, index])
    if sum(map(len, summary.rows)) < MAX_ROWS:
        summary.rows.append(rows)


def _dtype_name(array: NDArray[Any], value: Any) -> str:
    if array.dtype.names:
        return "records: " + ", ".join(f"{name} {array.dtype[name].name}" for name in array.dtype.names)
    return type(value).__name__ if isinstance(value, bytes | str) else str(array.dtype.name)


def _shown(value: Any) -> str:
    return short(value.decode(errors="replace") if isinstance(value, bytes) else str(value), 200)
