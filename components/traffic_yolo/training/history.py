"""history.csv, one line per update."""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from traffic_yolo.errors import StorageError
from traffic_yolo.messages import shown
from traffic_yolo.storage import write_text

LOSSES = ("loss", "box", "objectness", "classes")
LATER = ("distillation",)  # columns that a history of an earlier version has not
LONGEST_LINE = 4096  # characters; a row has a dozen numbers


@dataclass(frozen=True)
class HistoryRow:
    """One update, or with iteration 0 the start, whose losses are NaN. The losses are means per picture.

    `ap`, `ap50` and `f1` are those of the averaged network on val, None without validation; `images_per_s` is that of
    the last updates (`pace`). `distillation`: a teacher's part of the loss, None without one.
    """

    iteration: int
    seen: int
    learning_rate: float
    loss: float
    box: float
    objectness: float
    classes: float
    seconds: float
    ap50: float | None = None
    ap: float | None = None
    f1: float | None = None
    images_per_s: float | None = None
    distillation: float | None = None

    def to_texts(self) -> list[str]:
        """The line's fields; floats in their shortest form that reads back the same."""
        values = (getattr(self, field.name) for field in fields(self))
        return ["" if value is None or value != value else f"{value!r}" for value in values]


class History:
    """The rows of a run, kept in a CSV file that grows by whole lines."""

    def __init__(self, path: Path, *, keep: int | None = None) -> None:
        """Starts the file, or goes on after iteration `keep` of the one that is there (later rows are taken out)."""
        self.path = path
        self.rows = [row for row in read_history(path) if row.iteration <= keep] if keep is not None else []
        self._write()

    def append(self, row: HistoryRow) -> None:
        """Adds a row to the file; raises `StorageError` where the system refuses."""
        self.rows.append(row)
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(_lines([row.to_texts()]))
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}; free some space and resume") from error

    def amend(self, row: HistoryRow) -> None:
        """Puts a row in the place of the last one, which is of the same update; the file is never half-written."""
        if self.rows[-1].iteration != row.iteration:
            raise ValueError(f"row: expected iteration {self.rows[-1].iteration}, found {row.iteration}")
        self.rows[-1] = row
        self._write()

    def _write(self) -> None:
        names = [field.name for field in fields(HistoryRow)]
        write_text(self.path, _lines([names, *(row.to_texts() for row in self.rows)]))


def _lines(rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def read_history(path: Path) -> list[HistoryRow]:
    """The complete rows of a history.csv; a last line that a kill cut short is left out.

    Raises `StorageError` for a file that cannot be read, and for a line that is no row, by its number.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise StorageError(f"history cannot be read: {path}: {error.strerror}") from error
    whole = text[: text.rfind("\n") + 1]
    names = [field.name for field in fields(HistoryRow)]
    # Before csv, whose own limit is the whole process's, and other readers raise it
    long = next((number for number, line in enumerate(whole.split("\n"), start=1) if len(line) > LONGEST_LINE), None)
    if long is not None:
        raise StorageError(
            f"{path} line {long}: longer than {LONGEST_LINE} characters, so no row; mend the line or take it out"
        )
    rows, reader = [], csv.DictReader(io.StringIO(whole))
    for record in _records(reader, path):
        try:
            numbers = dict.fromkeys(LOSSES, math.nan) | {
                name: float(text) for name in names if (text := _text_of(record, name))
            }
            if not all(numbers[name].is_integer() and numbers[name] >= 0 for name in ("iteration", "seen")):
                raise ValueError("counts of updates and pictures are whole")
            rows.append(HistoryRow(int(numbers.pop("iteration")), int(numbers.pop("seen")), **numbers))
        except (KeyError, TypeError, ValueError) as error:
            found = shown(",".join(str(value) for value in record.values() if value))
            raise StorageError(
                f"{path} line {reader.line_num}: expected numbers under {names[0]},{names[1]},{names[2]},…; found "
                f"{found}; mend the line or take it out"
            ) from error
    return rows


def _text_of(record: dict[str, str], name: str) -> str:
    return record.get(name, "") if name in LATER else record[name]


def _records(reader: "csv.DictReader[str]", path: Path) -> Iterator[dict[str, str]]:
    """The lines of a history; `StorageError` for what is no CSV, such as a quote that does not end."""
    try:
        yield from reader
    except csv.Error as error:
        raise StorageError(f"{path} line {reader.line_num}: no CSV: {error}; mend the line or take it out") from error
