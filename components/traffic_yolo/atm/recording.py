"""Reads ATM recordings (HDF5) scan by scan, whatever their layout.

A picture stays the JPEG bytes of the file; device detections come in the picture's own pixels. Nothing is trusted: what
is cut off, not finite, unknown, larger than the limits or in another file raises `RecordingError` with the file, the
scan and what to do.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.atm.hdf5_file import Hdf5File, Hdf5Group, short
from traffic_yolo.atm.jpeg import check_jpeg_pixels, jpeg_size
from traffic_yolo.atm.layouts import DetectionTable, Layout, builtin_layouts
from traffic_yolo.atm.recording_limits import RecordingLimits, limits_in_force
from traffic_yolo.atm.status import status_of
from traffic_yolo.atm.tables import read_table
from traffic_yolo.errors import RecordingError

logger = logging.getLogger(__name__)

RECORDING_SUFFIX = ".h5"
SCAN_PARTS = frozenset({"detections", "tracks", "status"})
MOST_NAME_CHARACTERS = 255  # of a group at the top: patterns of layouts are tried on it


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
    counted in `skipped_rows`; otherwise the first one raises `RecordingError`. `limits`: what a recording may state.
    """

    def __init__(
        self,
        path: Path,
        layout: Layout | None = None,
        *,
        skip_bad_rows: bool = False,
        limits: RecordingLimits | None = None,
    ) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        self.skip_bad_rows = skip_bad_rows
        self.skipped_rows = 0
        self.limits = limits or limits_in_force()
        self._file = Hdf5File(self.path, self.limits)
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
        group = self.group(number)
        where = group.where
        jpeg = self._picture(group)
        image_wh = jpeg_size(jpeg, what=where) if jpeg else None
        if image_wh:
            check_jpeg_pixels(image_wh, self.limits.picture_pixels, what=where)
        size_wh = image_wh or self.layout.nominal_size_wh
        return Scan(
            number=number,
            name=self._scan_name(number),
            jpeg=jpeg,
            image_wh=image_wh,
            detections=self._detections(group, size_wh) if "detections" in parts else (),
            tracks=self._tracks(group) if "tracks" in parts else None,
            status=self._status(group) if "status" in parts else None,
            layout=self.layout,
        )

    def jpeg(self, number: int) -> bytes:
        """The picture of one scan as it stands in the file; `RecordingError` where the scan has none."""
        group = self.group(number)
        jpeg = self._picture(group)
        if jpeg is None:
            raise RecordingError(f"{group.where}: no picture in this scan")
        return jpeg

    def group(self, number: int) -> Hdf5Group:
        """The group of a scan; `RecordingError` where there is none, or something else is in its place."""
        return self._file.listed_group(self._scan_name(number))

    def _picture(self, group: Hdf5Group) -> bytes | None:
        data_set = group.data_set(self.layout.image_dataset)
        return (data_set.read_bytes() or None) if data_set is not None else None

    def _scan_name(self, number: int) -> str:
        if number not in self._numbers:
            first, last = min(self._numbers), max(self._numbers)
            raise RecordingError(f"{self.path}: no scan {number}; it has {len(self._numbers)} from {first} to {last}")
        return self._numbers[number]

    def _detect_layout(self) -> Layout:
        layouts = builtin_layouts().values()
        seen: set[str] = set()
        for name in self._scan_like(layouts):
            group = self._file.listed_group(name)
            seen |= set(group.names())
            for layout in layouts:
                if layout.scan_number(name) is not None and layout.detections.dataset in group:
                    return layout
        expected = ", ".join(f"{layout.detections.dataset} ({layout.name})" for layout in layouts)
        raise RecordingError(
            f"{self.path}: unknown layout; expected scans with one of the data sets {expected}, found "
            f"{', '.join(short(name) for name in sorted(seen)[:12]) or 'no scans'}; "
            f"describe the file in a layout YAML and pass it"
        )

    def _scan_like(self, layouts: Collection[Layout]) -> list[str]:
        """The names at the top that are scans by one of the layouts; `RecordingError` for more than may be."""
        found = []
        for name in self._file.names():
            if len(name) > MOST_NAME_CHARACTERS:
                raise RecordingError(
                    f"{self.path}: {short(name)}: expected a name of {MOST_NAME_CHARACTERS} characters at most, "
                    f"found {len(name)}"
                )
            try:
                if any(layout.scan_number(name) is not None for layout in layouts):
                    found.append(name)
            except ValueError as error:
                raise RecordingError(f"{self.path}: {short(name)}: {error}") from error
        if len(found) > self.limits.scans:
            expected = f"expected {self.limits.scans} at most (limit recording_scans)"
            raise RecordingError(f"{self.path}: {len(found)} scans; {expected}")
        return found

    def _find_scans(self) -> dict[int, str]:
        numbers: dict[int, str] = {}
        for name in self._scan_like([self.layout]):
            number = self.layout.scan_number(name)
            assert number is not None
            if number in numbers:
                raise RecordingError(f"{self.path}: scan {number} is there twice: {numbers[number]} and {name}")
            numbers[number] = name
        if not numbers:
            pattern = self.layout.scan_group.pattern
            raise RecordingError(f"{self.path}: no scans; expected groups named {pattern} (layout {self.layout.name})")
        return dict(sorted(numbers.items()))

    def _detections(self, group: Hdf5Group, image_wh: tuple[int, int]) -> tuple[DeviceDetection, ...]:
        layout = self.layout.detections
        data_set = group.data_set(layout.dataset)
        if data_set is None:
            return ()
        table = read_table(data_set, layout.columns, self.limits)
        confidences = table[layout.confidence]
        if layout.end_of_list == "zero_confidence":
            ends = np.flatnonzero(confidences == 0)
            rows = int(ends[0]) if len(ends) else len(confidences)
        else:
            rows = len(confidences)
        boxes = _boxes_xywh(table, layout, image_wh)  # (N, 4)
        found = []
        for row in range(rows):
            reason = self._bad_row(table, row) or _why_beyond(boxes[row])
            if not reason:
                class_name = self.layout.classes[int(table[layout.class_id][row])]
                x, y, width, height = (float(value) for value in boxes[row])
                attributes = {name: float(table[name][row]) for name in layout.attributes}
                found.append(DeviceDetection(class_name, (x, y, width, height), float(confidences[row]), attributes))
            elif self.skip_bad_rows:
                self.skipped_rows += 1
                logger.warning("%s row %d left out: %s", data_set.where, row, reason)
            else:
                raise RecordingError(f"{data_set.where} row {row}: {reason}; skip bad rows, or drop the scan")
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

    def _tracks(self, group: Hdf5Group) -> NDArray[np.float64] | None:
        layout = self.layout.tracks
        data_set = group.data_set(layout.dataset) if layout is not None else None
        if layout is None or data_set is None:
            return None
        table = read_table(data_set, layout.columns, self.limits)
        tracks = np.stack([table[name] for name in layout.columns], axis=1)  # (N, columns)
        if len(tracks) > layout.max_rows:
            raise RecordingError(f"{data_set.where}: {len(tracks)} tracks; expected {layout.max_rows} at most")
        if not np.isfinite(tracks).all():
            row, column = np.argwhere(~np.isfinite(tracks))[0]
            if not self.skip_bad_rows:
                reason = f"{layout.columns[column]} is {tracks[row, column]}; skip bad rows, or drop the scan"
                raise RecordingError(f"{data_set.where} row {row}: {reason}")
            good = np.isfinite(tracks).all(axis=1)
            self.skipped_rows += int((~good).sum())
            logger.warning("%s: %d rows left out: not finite", data_set.where, int((~good).sum()))
            tracks = tracks[good]
        return tracks

    def _status(self, group: Hdf5Group) -> Mapping[str, Any] | None:
        dataset = self.layout.status_dataset
        data_set = group.data_set(dataset) if dataset else None
        data = data_set.read_bytes(limit="status_bytes") if data_set is not None else b""
        if data_set is None or not data:
            return None
        try:
            return status_of(data)
        except ValueError as error:
            raise RecordingError(f"{data_set.where}: {error}") from error


def _why_beyond(box_xywh: NDArray[np.float64]) -> str:
    """Why a box of finite numbers has no place in the picture: scaled, they are none any more; empty for a good one."""
    return "" if np.isfinite(box_xywh).all() else "the box is not finite in the picture's pixels"


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
