"""Reads ATM recordings (HDF5) scan by scan, whatever their layout.

A picture stays the JPEG bytes of the file; device detections come in the picture's own pixels. Nothing is trusted: what
is cut off, not finite or unknown raises `RecordingError` with the file, the scan and what to do.
"""

import contextlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.jpeg import jpeg_size
from traffic_yolo.atm.layouts import DetectionTable, Layout, builtin_layouts
from traffic_yolo.errors import RecordingError, RecordingInUseError

logger = logging.getLogger(__name__)

RECORDING_SUFFIX = ".h5"
SCAN_PARTS = frozenset({"detections", "tracks", "status"})


@dataclass(frozen=True)
class DeviceDetection:
    """One box of the device's own detector: a pseudo-label, never ground truth.

    `xywh` is left, top, width, height in the picture's pixels and may lie partly outside the picture.
    """

    class_name: str
    xywh: tuple[float, float, float, float]
    confidence: float
    attributes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Scan:
    """One scan. `tracks` is (N, track columns of the layout), or None where the scan has none.

    Of the parts that were not asked for, detections are empty, tracks and status None.
    """

    number: int
    name: str
    jpeg: bytes | None
    image_wh: tuple[int, int] | None
    detections: tuple[DeviceDetection, ...]
    tracks: NDArray[np.float64] | None
    status: Mapping[str, Any] | None
    layout: Layout | None = field(default=None, compare=False, repr=False)  # names the tracks' columns and classes


def find_recordings(root: Path) -> list[Path]:
    """Every *.h5 file below a folder (or the file itself), sorted by path; names that begin with a dot are left out."""
    if root.is_file():
        return [root]
    found = (path for path in root.rglob(f"*{RECORDING_SUFFIX}") if path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts))


class Recording:
    """An open recording; a context manager. Scans are read one at a time, so that its size does not matter.

    Without a layout, the one whose detection data set is in the file's scans is taken. With `skip_bad_rows`, rows of
    detections that are not finite, have no area, or name a class that the layout does not know are left out, logged and
    counted in `skipped_rows`; otherwise the first one raises `RecordingError`.
    """

    def __init__(self, path: Path, layout: Layout | None = None, *, skip_bad_rows: bool = False) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self.skip_bad_rows = skip_bad_rows
        self.skipped_rows = 0
        self._file = open_hdf5(self.path)
        try:
            self.layout = layout or self._detect_layout()
            self._numbers = self._find_scans()
        except BaseException:
            self._file.close()
            raise
        described = self.layout.describe_name(self.path)
        self.site, self.camera, self.day, self.time = described.site, described.camera, described.day, described.time

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    @property
    def scan_numbers(self) -> tuple[int, ...]:
        """The numbers of all scans in order; known without reading a scan."""
        return tuple(self._numbers)

    def scans(self, *, parts: Collection[str] = SCAN_PARTS) -> Iterator[Scan]:
        """Every scan in the order of its number; one at a time is in memory."""
        for number in self._numbers:
            yield self.scan(number, parts=parts)

    def scan(self, number: int, *, parts: Collection[str] = SCAN_PARTS) -> Scan:
        """The scan of this number; `RecordingError` where there is none or it cannot be read.

        The picture is always read, the rest where `parts` names it: each costs about as much as a small picture.
        """
        name = self._scan_name(number)
        where = f"{self.path} {name}"
        with _readable(where):
            jpeg = self._picture(name, where)
            image_wh = jpeg_size(jpeg, what=where) if jpeg else None
            group = self._file[name] if parts else None
            return Scan(
                number=number,
                name=name,
                jpeg=jpeg,
                image_wh=image_wh,
                detections=(
                    self._detections(group, where, image_wh or self.layout.nominal_size_wh)
                    if "detections" in parts
                    else ()
                ),
                tracks=self._tracks(group, where) if "tracks" in parts else None,
                status=self._status(group, where) if "status" in parts else None,
                layout=self.layout,
            )

    def jpeg(self, number: int) -> bytes:
        """The picture of one scan as it stands in the file; `RecordingError` where the scan has none."""
        where = f"{self.path} {self._scan_name(number)}"
        with _readable(where):
            jpeg = _bytes(self._file[self._scan_name(number)], self.layout.image_dataset, where)
        if jpeg is None:
            raise RecordingError(f"{where}: no picture in this scan")
        return jpeg

    def _picture(self, scan_name: str, where: str) -> bytes | None:
        """The picture of a scan, or None.

        By h5py's lower layer, which takes a third of the time for the usual array of bytes; what is not one goes the
        usual way, which says what is wrong.
        """
        try:
            dataset = h5py.h5d.open(self._file.id, f"{scan_name}/{self.layout.image_dataset}".encode())
            plain = dataset.rank == 1 and dataset.dtype == np.uint8
        except (KeyError, TypeError, ValueError):
            plain = False
        if not plain:
            return _bytes(self._file[scan_name], self.layout.image_dataset, where)
        pixels = np.empty(dataset.shape, dtype=np.uint8)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, pixels)
        return pixels.tobytes() or None

    def _scan_name(self, number: int) -> str:
        if number not in self._numbers:
            first, last = min(self._numbers), max(self._numbers)
            raise RecordingError(f"{self.path}: no scan {number}; it has {len(self._numbers)} from {first} to {last}")
        return self._numbers[number]

    def _detect_layout(self) -> Layout:
        layouts = builtin_layouts().values()
        seen: set[str] = set()
        with _readable(str(self.path)):
            for name, group in self._file.items():
                if not isinstance(group, h5py.Group):
                    continue
                seen |= set(group)
                for layout in layouts:
                    if layout.scan_number(name) is not None and layout.detections.dataset in group:
                        return layout
        expected = ", ".join(f"{layout.detections.dataset} ({layout.name})" for layout in layouts)
        raise RecordingError(
            f"{self.path}: unknown layout; expected scans with one of the data sets {expected}, found "
            f"{', '.join(sorted(seen)[:12]) or 'no scans'}; describe the file in a layout YAML and pass it"
        )

    def _find_scans(self) -> dict[int, str]:
        numbers: dict[int, str] = {}
        with _readable(str(self.path)):
            for name in self._file:
                number = self.layout.scan_number(name)
                if number is None:
                    continue
                if number in numbers:
                    raise RecordingError(f"{self.path}: scan {number} is there twice: {numbers[number]} and {name}")
                numbers[number] = name
        if not numbers:
            pattern = self.layout.scan_group.pattern
            raise RecordingError(f"{self.path}: no scans; expected groups named {pattern} (layout {self.layout.name})")
        return dict(sorted(numbers.items()))

    def _detections(self, group: Any, where: str, image_wh: tuple[int, int]) -> tuple[DeviceDetection, ...]:
        layout = self.layout.detections
        if layout.dataset not in group:
            return ()
        table = _table(group[layout.dataset], layout.columns, f"{where} {layout.dataset}")
        confidences = table[layout.confidence]
        if layout.end_of_list == "zero_confidence":
            ends = np.flatnonzero(confidences == 0)
            rows = int(ends[0]) if len(ends) else len(confidences)
        else:
            rows = len(confidences)
        boxes = _boxes_xywh(table, layout, image_wh)  # (N, 4)
        found = []
        for row in range(rows):
            reason = self._bad_row(table, row)
            if not reason:
                class_name = self.layout.classes[int(table[layout.class_id][row])]
                x, y, width, height = (float(value) for value in boxes[row])
                attributes = {name: float(table[name][row]) for name in layout.attributes}
                found.append(DeviceDetection(class_name, (x, y, width, height), float(confidences[row]), attributes))
            elif self.skip_bad_rows:
                self.skipped_rows += 1
                logger.warning("%s %s row %d left out: %s", where, layout.dataset, row, reason)
            else:
                raise RecordingError(f"{where} {layout.dataset} row {row}: {reason}; skip bad rows, or drop the scan")
        return tuple(found)

    def _bad_row(self, table: Mapping[str, NDArray[np.float64]], row: int) -> str:
        """Why a row of detections cannot be used; empty for a good one."""
        layout = self.layout.detections
        for column in (layout.class_id, layout.confidence, *layout.box):
            if not np.isfinite(table[column][row]):
                return f"{column} is {table[column][row]}; expected a number"
        if int(table[layout.class_id][row]) not in self.layout.classes or table[layout.class_id][row] % 1:
            known = ", ".join(f"{class_id} {name}" for class_id, name in self.layout.classes.items())
            return f"unknown class id {table[layout.class_id][row]:g}; layout {self.layout.name} knows {known}"
        if not 0 <= table[layout.confidence][row] <= 1:
            return f"confidence is {table[layout.confidence][row]:g}; expected 0 to 1"
        width, height = table[layout.box[2]][row], table[layout.box[3]][row]
        if width <= 0 or height <= 0:
            return f"box is {width:g} wide and {height:g} high; expected more than 0"
        return ""

    def _tracks(self, group: Any, where: str) -> NDArray[np.float64] | None:
        layout = self.layout.tracks
        if layout is None or layout.dataset not in group:
            return None
        table = _table(group[layout.dataset], layout.columns, f"{where} {layout.dataset}")
        tracks = np.stack([table[name] for name in layout.columns], axis=1)  # (N, columns)
        if len(tracks) > layout.max_rows:
            raise RecordingError(f"{where} {layout.dataset}: {len(tracks)} tracks; expected {layout.max_rows} at most")
        if not np.isfinite(tracks).all():
            row, column = np.argwhere(~np.isfinite(tracks))[0]
            if not self.skip_bad_rows:
                reason = f"{layout.columns[column]} is {tracks[row, column]}; skip bad rows, or drop the scan"
                raise RecordingError(f"{where} {layout.dataset} row {row}: {reason}")
            good = np.isfinite(tracks).all(axis=1)
            self.skipped_rows += int((~good).sum())
            logger.warning("%s %s: %d rows left out: not finite", where, layout.dataset, int((~good).sum()))
            tracks = tracks[good]
        return tracks

    def _status(self, group: Any, where: str) -> Mapping[str, Any] | None:
        dataset = self.layout.status_dataset
        data = _bytes(group, dataset, where) if dataset else None
        if data is None:
            return None
        try:
            status = json.loads(data.rstrip(b"\x00"))
        except ValueError as error:
            raise RecordingError(f"{where} {dataset}: not valid JSON: {error}") from error
        if not isinstance(status, dict):
            raise RecordingError(f"{where} {dataset}: expected a JSON object, found {type(status).__name__}")
        return status


def open_hdf5(path: Path) -> "h5py.File":
    """The open file; `RecordingError` says what is wrong with one that is missing, cut off or no HDF5."""
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if not path.is_file():
            raise RecordingError(f"recording not found: {path}") from error
        reason = str(error)
        if "unable to lock file" in reason or "already open for write" in reason:
            raise RecordingInUseError(
                f"{path}: still being written: its writer has it open; run again later"
            ) from error
        if "truncated" in reason:
            advice = f"recording is cut off at {path.stat().st_size} bytes; copy it again from the device"
        elif "signature" in reason:
            advice = "not an HDF5 file; expected an ATM recording; remove it or copy it again"
        else:
            advice = f"cannot be opened as HDF5 ({reason}); copy it again from the device"
        raise RecordingError(f"{path}: {advice}") from error


@contextlib.contextmanager
def _readable(where: str) -> Iterator[None]:
    """Turns what h5py raises for damaged bytes into `RecordingError`."""
    try:
        yield
    except RecordingError:
        raise
    except (OSError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise RecordingError(f"{where}: damaged HDF5 ({reason}); copy the recording again from the device") from error


def _bytes(group: Any, dataset: str, where: str) -> bytes | None:
    """The bytes of a data set of uint8, of one opaque value or of one string; None where it is absent or empty."""
    if dataset not in group:
        return None
    value = group[dataset][()]
    if isinstance(value, np.ndarray) and value.dtype.itemsize != 1:
        raise RecordingError(f"{where} {dataset}: expected bytes (uint8), found {value.dtype} of shape {value.shape}")
    data = value.tobytes() if isinstance(value, np.ndarray | np.generic) else value
    if not isinstance(data, bytes):
        raise RecordingError(f"{where} {dataset}: expected bytes (uint8), found {type(value).__name__}")
    return data or None


def _table(dataset: Any, columns: tuple[str, ...], where: str) -> dict[str, NDArray[np.float64]]:
    """Columns by name, each (N,) float64, of a plain table in the layout's column order or of named fields."""
    values = dataset[()]
    if values.dtype.names:
        missing = [name for name in columns if name not in values.dtype.names]
        if missing:
            raise RecordingError(f"{where}: no column {', '.join(missing)}; found {', '.join(values.dtype.names)}")
        return {name: values[name].astype(np.float64).reshape(-1) for name in columns}
    if values.size == 0:
        return {name: np.zeros(0) for name in columns}
    if values.ndim != 2 or values.shape[1] != len(columns) or values.dtype.kind not in "iuf":
        found = f"{values.dtype} of shape {values.shape}"
        raise RecordingError(f"{where}: expected a table of numbers with {len(columns)} columns, found {found}")
    return {name: values[:, index].astype(np.float64) for index, name in enumerate(columns)}


def _boxes_xywh(
    table: Mapping[str, NDArray[np.float64]], layout: DetectionTable, image_wh: tuple[int, int]
) -> NDArray[np.float64]:
    """(N, 4) left, top, width, height in pixels of a picture of `image_wh`."""
    boxes = np.stack([table[name] for name in layout.box], axis=1)  # (N, 4)
    if layout.box_anchor == "centre":
        boxes[:, :2] -= boxes[:, 2:] / 2
    if layout.box_space_wh is not None:
        boxes *= np.tile(np.divide(image_wh, layout.box_space_wh), 2)
    return boxes
