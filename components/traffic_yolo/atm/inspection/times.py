"""The frame rate of a recording, from whatever time there is; and where that time was found."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from traffic_yolo.atm.inspection.structure import raw_bytes
from traffic_yolo.atm.status import status_of

TIME_WORDS = re.compile(r"(^|[._@])(time|timestamp|stamp|utc|ts|datetime|date)([._]|$|_?(s|ms|us|ns)$)", re.IGNORECASE)
NAME_TIME = re.compile(r"(20\d{6})[_-]?(\d{6})")
# Largest plausible value of each unit of a clock that counts from 1970, and how many of it are a second
EPOCH_UNITS = (
    (1e11, 1.0, "seconds"),
    (1e14, 1e3, "milliseconds"),
    (1e17, 1e6, "microseconds"),
    (1e20, 1e9, "nanoseconds"),
)
LEAST_OF_NAMES_HZ = 0.2  # less: the recordings do not follow one another
FASTEST_HZ, SLOWEST_HZ = 240.0, 1 / 600


@dataclass(frozen=True)
class FrameRate:
    """Frames a second by the median step between neighbouring scans; `source` says which time. 0: none was found."""

    hz: float
    source: str
    backwards: int = 0  # steps in which the clock went back
    is_least: bool = False  # the true rate may be higher


NO_TIME = FrameRate(0.0, "no time found: neither in the scans nor in the file names")


def times_of_scan(values: Mapping[str, Any]) -> dict[str, float]:
    """Everything in a scan that may be a time, by its place: numbers, attributes (`@name`) and keys of JSON."""
    found: dict[str, float] = {}
    for name, value in values.items():
        data = raw_bytes(value)
        if data is not None and data.lstrip()[:1] == b"{":
            try:
                content = status_of(data)
            except ValueError:
                continue
            for key, item in _flat(content):
                _take(found, f"{name}.{key}", item)
        else:
            _take(found, name, value)
    return found


def frame_rate(times: Mapping[str, Sequence[tuple[int, float]]]) -> FrameRate | None:
    """The rate by the first place whose times make sense; None where none does.

    `times`: place -> (scan number, value) in the order of the scans. Scans that are missing between two are allowed
    for.
    """
    for place, series in sorted(times.items(), key=lambda item: (-len(item[1]), item[0])):
        if len(series) < 3:
            continue
        numbers, values = np.array(series, np.float64).T
        steps, spans = np.diff(values), np.diff(numbers)
        backwards = int((steps < 0).sum())
        usable = (steps > 0) & (spans > 0)
        if usable.sum() < 2 or backwards > len(steps) / 2:
            continue
        step = float(np.median(steps[usable] / spans[usable]))
        per_second, unit = _unit(float(np.median(values)), step)
        hz = per_second / step
        if SLOWEST_HZ <= hz <= FASTEST_HZ:
            return FrameRate(hz, f"{place} ({unit})", backwards)
    return None


def rate_of_names(files: Sequence[tuple[Path, int]]) -> FrameRate | None:
    """A lower bound by the start times in the names of files of one folder that follow one another; None without.

    `files`: (path, number of scans). A recording ends before the next one begins, so that it had at least so many scans
    a second.
    """
    starts = []
    for path, scans in files:
        match = NAME_TIME.search(path.stem)
        if match:
            try:
                moment = datetime.strptime(match[1] + match[2], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
            except ValueError:
                continue
            starts.append((path.parent, moment.timestamp(), scans))
    starts.sort(key=lambda one: (str(one[0]), one[1]))
    rates = [
        scans / (later - start)
        for (folder, start, scans), (other, later, _) in itertools.pairwise(starts)
        if folder == other and later > start
    ]
    hz = float(np.median(rates)) if rates else 0.0
    if hz < LEAST_OF_NAMES_HZ:
        return None
    return FrameRate(hz, "the start times in the files' names, which give the least", is_least=True)


def _take(found: dict[str, float], place: str, value: Any) -> None:
    if not TIME_WORDS.search(place):
        return
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return
        found[place] = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:  # a whole number of hundreds of digits
            return
        if np.isfinite(number):
            found[place] = number


def _flat(content: Any, prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    if isinstance(content, dict):
        for key, value in content.items():
            pairs += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(f"{prefix}{key}", value)]
    return pairs


def _unit(value: float, step: float) -> tuple[float, str]:
    """(units a second, unit) of a clock: by its size where it counts from 1970, else by its step."""
    if value > 1e8:
        for largest, per_second, unit in EPOCH_UNITS:
            if value < largest:
                return per_second, unit
    if step >= 5e3:
        return 1e6, "microseconds, by the step"
    if step >= 4:
        return 1e3, "milliseconds, by the step"
    return 1.0, "seconds, by the step"
