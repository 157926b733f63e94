"""JSON and CSV label files of one's own, read by a YAML mapping (`mapping`).

Boxes of a picture may stand anywhere in the file: they go to a temporary file first, and come out picture by picture.
"""

import array
import csv
import io
import pickle
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from traffic_yolo.dataset.formats.base import ReadOptions
from traffic_yolo.dataset.formats.fields import flag, number, whole_number
from traffic_yolo.dataset.formats.json_stream import json_pieces
from traffic_yolo.dataset.formats.label_text import AUTO
from traffic_yolo.dataset.formats.left_out import LeftOut
from traffic_yolo.dataset.formats.mapping import read_mapping
from traffic_yolo.dataset.formats.provenance import drawn_by
from traffic_yolo.dataset.formats.shapes import Box
from traffic_yolo.dataset.problems import Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import SPLITS, Annotation, PictureLabels
from traffic_yolo.errors import LabelError, OptionsError, StorageError
from traffic_yolo.messages import shown
from traffic_yolo.storage import json_value

Record = dict[str, Any]
PictureId = tuple[str, str, str]  # name, recording, scan
FIELD_BYTES = 1 << 20  # of a CSV file: the standard library's own limit is an eighth of it


class MappedReader:
    """One CSV, JSON or JSON-lines file; see `base.LabelReader`. Raises `OptionsError` where no mapping is given.

    A record that names a picture and no box is a picture without objects. Classes are those of the mapping, or those in
    use in alphabetical order.
    """

    is_video = False

    def __init__(self, path: Path, options: ReadOptions) -> None:
        if options.mapping is None:
            raise OptionsError(
                f"{path}: the format mapped needs a mapping: give the YAML file that explains the fields"
            )
        if not path.is_file():
            raise StorageError(f"expected a label file, found a folder: {path}")
        self._mapping = read_mapping(options.mapping)
        self._path = path
        self._encoding = "utf-8-sig" if options.encoding == AUTO else options.encoding
        self.root = path.parent
        self._left_out = LeftOut()
        self._broken: list[str] = []
        classes = set(self._mapping.classes.values()) or self._classes_in_use()
        self.classes = tuple(dict.fromkeys(self._mapping.classes.values())) or tuple(sorted(classes))
        self.default_classes = frozenset(self.classes)

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """Every picture in the order of its first record, with all of its boxes."""
        self._left_out.begin(on_problem)
        groups = _Groups()
        for where, record in self._records(on_problem):
            try:
                groups.add(self._picture_id(record, where), (where, record))
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))
        for identity, records in groups.items():
            try:
                yield self._picture(identity, records)
            except LabelError as error:
                on_problem(Problem("label-broken", str(error)))

    def notes(self) -> list[str]:
        """Boxes without area, and reversed ones."""
        return [f"{self._path.name}: {count} {what}" for what, count in sorted(self._left_out.items()) if count]

    def _classes_in_use(self) -> set[str]:
        field = self._mapping.box_fields["class"]
        names = (_value(box, field) for _, record in self._records(already_told) for box in self._boxes(record))
        return {str(name) for name in names if name not in (None, "")}

    def _records(self, on_problem: ProblemSink) -> Iterator[tuple[str, Record]]:
        """(place, record) of every record that is one."""
        if self._mapping.file == "csv":
            yield from self._csv_records()
            return
        for where, record in self._json_lines() if self._mapping.file == "jsonl" else self._json_records():
            if isinstance(record, dict):
                yield where, record
            else:
                on_problem(Problem("label-broken", f"{where}: expected an object; found {record!r:.60}"))

    def _csv_records(self) -> Iterator[tuple[str, Record]]:
        csv.field_size_limit(FIELD_BYTES)
        try:
            with self._path.open(encoding=self._encoding, newline="") as file:
                rows = csv.DictReader(file, delimiter=self._mapping.delimiter, strict=True)
                wanted = self._wanted()
                missing = [name for name in wanted if name not in (rows.fieldnames or ())]
                if missing:
                    found = ", ".join(map(str, rows.fieldnames or ())) or "none"
                    raise LabelError(f"{self._path} line 1: no column {', '.join(missing)}; found {found}")
                for row in rows:
                    yield f"{self._path} line {rows.line_num}", dict(row)
        except OSError as error:
            raise StorageError(f"label file cannot be read: {self._path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise LabelError(
                f"{self._path}: not {self._encoding.upper().removesuffix('-SIG')} text (byte {error.start}); "
                f"--label-encoding says what it is"
            ) from error
        except (csv.Error, TypeError) as error:  # TypeError: a delimiter of several characters
            raise LabelError(f"{self._path}: not CSV: {error}") from error

    def _wanted(self) -> list[str]:
        mapping = self._mapping
        return [*mapping.picture.values(), *mapping.box_fields.values(), *mapping.box, *mapping.attributes]

    def _json_records(self) -> Iterator[tuple[str, Any]]:
        index, found = 0, False
        for key, elements in json_pieces(self._path):
            if key != self._mapping.records:
                continue
            found = True
            if not isinstance(elements, list):
                raise LabelError(f"{self._path}: expected a list of records under {key!r}")
            for record in elements:
                index += 1
                yield f"{self._path} record {index}", record
        if not found:
            place = repr(self._mapping.records) if self._mapping.records else "the top level"
            raise LabelError(f"{self._path}: no list of records at {place}; mend 'records' in the mapping")

    def _json_lines(self) -> Iterator[tuple[str, Any]]:
        try:
            with self._path.open("rb") as file:
                for index, line in enumerate(file, start=1):
                    if not line.strip():
                        continue
                    where = f"{self._path} line {index}"
                    try:
                        record = json_value(line)
                    except ValueError as error:
                        raise LabelError(f"{where}: not valid JSON: {error}") from error
                    yield where, record
        except OSError as error:
            raise StorageError(f"label file cannot be read: {self._path}: {error.strerror}") from error

    def _picture_id(self, record: Record, where: str) -> PictureId:
        name, recording, scan = (self._text(record, word) for word in ("image", "recording", "scan"))
        if not name and not (recording and scan):
            raise LabelError(f"{where}: the record names no picture")
        return name, recording, scan

    def _text(self, record: Record, word: str) -> str:
        value = _value(record, self._mapping.picture.get(word, ""))
        return "" if value is None else str(value).strip()

    def _picture(self, identity: PictureId, records: Iterator[tuple[str, Record]]) -> PictureLabels:
        name, recording, scan = identity
        annotations: list[Annotation] = []
        self._left_out.picture()
        first: tuple[str, Record] | None = None
        for where, record in records:
            first = first or (where, record)
            for index, box in enumerate(self._boxes(record), start=1):
                place = f"{where} box {index}" if self._mapping.boxes else where
                annotation = self._annotation(box, place, number_=len(annotations) + 1)
                if annotation is not None:
                    annotations.append(annotation)
        assert first is not None, "a group has a record"
        where, record = first
        self._left_out.end_picture(where, len(annotations))
        stated = [_value(record, self._mapping.picture.get(side, "")) for side in ("width", "height")]
        width, height = (whole_number(side, "picture size", where) if side not in (None, "") else 0 for side in stated)
        split = self._text(record, "split").lower()
        if split and split not in SPLITS:
            raise LabelError(f"{where}: split must be one of {', '.join(SPLITS)}; found {shown(split)}")
        return PictureLabels(
            name=name or f"{recording}/{scan}",
            annotations=tuple(annotations),
            where=where,
            image_wh=(width, height) if width and height else None,
            relative=self._mapping.unit == "normalised",
            recording=recording,
            scan=scan,
            site=self._text(record, "site"),
            camera=self._text(record, "camera"),
            day=self._text(record, "day"),
            own_split=split,
        )

    def _boxes(self, record: Record) -> Iterator[Record]:
        """The records of a record's boxes; none where it holds no box."""
        if not self._mapping.boxes:
            fields = (self._mapping.box_fields["class"], *self._mapping.box)
            if any(_value(record, field) not in (None, "") for field in fields):
                yield record
            return
        boxes = _value(record, self._mapping.boxes)
        yield from (box if isinstance(box, dict) else {} for box in boxes) if isinstance(boxes, list) else ()

    def _annotation(self, box: Record, where: str, *, number_: int) -> Annotation | None:
        mapping = self._mapping
        found = {word: _value(box, field) for word, field in mapping.box_fields.items()}
        name = found["class"]
        if name in (None, ""):
            raise LabelError(f"{where}: the box has no class (field {mapping.box_fields['class']})")
        if mapping.classes and str(name) not in mapping.classes:
            raise LabelError(f"{where}: class {shown(name)} is none of the mapping's: {', '.join(mapping.classes)}")
        written, turned = self._xywh(box, where)
        xywh = self._left_out.sound(written, where, turned=turned)
        if xywh is None:
            return None
        confidence = found.get("confidence")
        try:
            drawn = drawn_by(
                str(found.get("label_source") or mapping.label_source),
                {f: v for f in mapping.attributes if (v := _value(box, f)) not in (None, "")},
                confidence=None if confidence in (None, "") else number(confidence, "confidence", where),
            )
            return Annotation(
                mapping.classes.get(str(name), str(name)),
                xywh,
                ignore=flag(found.get("ignore"), "ignore", where),
                is_crowd=flag(found.get("iscrowd"), "iscrowd", where),
                number=number_,
                **drawn._asdict(),
            )
        except LabelError as error:
            raise LabelError(f"{where}: {str(error).removeprefix(f'{where}: ')}") from error

    def _xywh(self, box: Record, where: str) -> tuple[Box, bool]:
        """The box, and whether it stood as corners in the wrong order; sizes may be negative."""
        mapping = self._mapping
        if len(mapping.box) == 4:
            values = [_value(box, field) for field in mapping.box]
        else:
            whole = _value(box, mapping.box[0])
            values = whole if isinstance(whole, list) else str(whole or "").replace(",", " ").split()
        if len(values) != 4:
            raise LabelError(f"{where}: expected four numbers for the box; found {len(values)}")
        a, b, c, d = (number(value, "box", where) for value in values)
        first = 1.0 if mapping.one_based else 0.0
        if mapping.order == "xyxy":
            turned = c < a or d < b
            left, top, right, bottom = min(a, c), min(b, d), max(a, c), max(b, d)
            # Counted from 1, both corners belong to the box
            return (left - first, top - first, right - left + first, bottom - top + first), turned
        if mapping.order == "xywh":
            return (a - first, b - first, c, d), False
        return (a - c / 2 - first, b - d / 2 - first, c, d), False


class _Groups:
    """Records by picture, in a temporary file: a number and a place in it for each record are in memory."""

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="traffic-yolo-boxes-")  # noqa: SIM115 (lives with us)
        weakref.finalize(self, self._file.close)
        self._numbers: dict[PictureId, int] = {}
        self._picture = array.array("Q")
        self._offset = array.array("Q")

    def add(self, identity: PictureId, record: tuple[str, Record]) -> None:
        self._picture.append(self._numbers.setdefault(identity, len(self._numbers)))
        self._offset.append(self._file.seek(0, io.SEEK_END))
        pickle.dump(record, self._file, protocol=pickle.HIGHEST_PROTOCOL)

    def items(self) -> Iterator[tuple[PictureId, Iterator[tuple[str, Record]]]]:
        pictures, offsets = (np.array(values, dtype=np.uint64) for values in (self._picture, self._offset))
        order = np.argsort(pictures, kind="stable")
        starts = np.searchsorted(pictures[order], np.arange(len(self._numbers) + 1, dtype=np.uint64))
        for identity, picture in self._numbers.items():
            rows = order[starts[picture] : starts[picture + 1]]
            yield identity, self._read(offsets[rows].tolist())

    def _read(self, offsets: list[int]) -> Iterator[tuple[str, Record]]:
        for offset in offsets:
            self._file.seek(offset)
            yield pickle.load(self._file)


def _value(record: Record, field: str) -> Any:
    """What a record has under a field, `a.b` being b within a; None where it has nothing."""
    if field in record or not field:
        return record.get(field)
    value: Any = record
    for part in field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
