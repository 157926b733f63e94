"""The annotations of a COCO file as columns: checked all at once, turned into records a block of pictures at a time."""

import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from traffic_yolo.dataset.coco_entries import (
    area_column,
    attributes_column,
    box_column,
    flag_column,
    id_column,
    shown,
    why_broken,
    why_no_category,
)
from traffic_yolo.dataset.formats.coco_outlines import with_box
from traffic_yolo.dataset.formats.left_out import flat_box_message, reversed_box_message, shown_xywh
from traffic_yolo.dataset.formats.provenance import MARKS, drawn_by
from traffic_yolo.dataset.problems import About, Problem
from traffic_yolo.dataset.records import LABEL_SOURCES, Annotation, checked_annotation
from traffic_yolo.errors import LabelError

SOURCE_NUMBER = {name: number for number, name in enumerate(LABEL_SOURCES)}
WHOLE = re.compile("0|[1-9][0-9]{0,17}")
Columns = dict[str, NDArray[Any]]
# column -> dtype; box is (n, 4) xywh, confidence and area are NaN where there is none
COLUMNS = {
    "id": np.int64,
    "image": np.int64,
    "category": np.int64,
    "box": np.float64,
    "source": np.uint8,
    "confidence": np.float64,
    "crowd": np.bool_,
    "ignore": np.bool_,
    "area": np.float64,
}


class Ids:
    """Ids of a file as numbers: whole numbers from 0 are themselves, other ids get numbers of their own below zero.

    Texts are ids too: some tools write them, and nothing but the file itself refers to an id; "7" is not 7.
    """

    def __init__(self) -> None:
        self._others: dict[Any, int] = {}

    def numbers(self, values: Sequence[Any], what: str) -> NDArray[np.int64]:
        """(n,); `LabelError` beginning with `what` for an id that is neither a number nor a text."""
        whole = id_column(values)
        if whole is not None and not (whole < 0).any():
            return whole
        return np.array([self._number(value, what) for value in values], dtype=np.int64)

    def _number(self, value: Any, what: str) -> int:
        if not is_id(value):
            raise LabelError(f"{what}: an id must be a whole number or a text; found {shown(value)}")
        if isinstance(value, float):
            value = int(value)
        if isinstance(value, int) and 0 <= value < 2**63:
            return int(value)
        return self._others.setdefault(value, -1 - len(self._others))

    def shown(self, number: int) -> str:
        """The id as the file has it, for a message."""
        return str(number) if number >= 0 else str(list(self._others)[-1 - number])


def is_id(value: Any) -> bool:
    """Whether a value may be an id: a whole number (1.0 too) or a text; true and null are none."""
    return type(value) in (int, str) or (type(value) is float and value.is_integer())


def _place_among_ids(value: Any) -> tuple[bool, Any]:
    """Sorts ids: numbers, and texts of numbers among them, before other texts."""
    is_word = isinstance(value, str) and not WHOLE.fullmatch(value)
    return is_word, value if is_word else int(value)


@dataclass(frozen=True)
class Categories:
    """The categories in the order of their ids, texts last; `row_of` an id is its place in `names`."""

    names: tuple[str, ...]
    row_of: Mapping[Any, int]
    ignored: frozenset[str]

    @classmethod
    def of(cls, entries: Sequence[Any], path: Path, *, ignored: str) -> "Categories":
        """Reads the section `categories`; `LabelError` for an entry without id or name, or an id that occurs twice."""
        for index, entry in enumerate(entries):
            reason = why_no_category(entry)
            if not reason and not is_id(entry["id"]):
                reason = f"a category needs a number as id; found {shown(entry['id'])}"
            if reason:
                raise LabelError(f"{path}: categories[{index}]: {reason}")
        ordered = sorted(entries, key=lambda entry: _place_among_ids(entry["id"]))
        names = tuple(str(entry["name"]) for entry in ordered)
        row_of = {entry["id"]: row for row, entry in enumerate(ordered)}
        apart = frozenset(str(entry["name"]) for entry in ordered if entry.get("supercategory") == ignored)
        if len(row_of) != len(ordered):
            times = Counter(entry["id"] for entry in ordered)
            twice = ", ".join(shown(key) for key, count in times.items() if count > 1)
            raise LabelError(f"{path}: a category id occurs twice: {twice}; number them anew")
        return cls(names, row_of, apart)


class AnnotationColumns:
    """Collects the section `annotations` piece by piece; `complete` sorts it by picture.

    `broken` holds a message for each entry that is no annotation, with the image that it names (None where it names
    none); `flat` and `turned` hold (annotation, image, box) of
    boxes without area, which are left out, and of negative sizes, which are mended; `emptied` are the pictures (numbers
    in the file's order) that lost every box so; `outlines` counts segmentations, `boxed` those among them whose boxes
    are all that the file says of a box.
    """

    def __init__(self, path: Path, ids: Ids) -> None:
        self._path = path
        self._ids = ids
        self._pieces: list[Columns] = []
        self._attributes: dict[int, dict[str, Any]] = {}
        self._count = 0
        self._category_names: dict[Any, int] = {}
        self.broken: list[tuple[str, int | None]] = []
        self.flat: list[tuple[int, int, tuple[float, ...]]] = []
        self.turned: list[tuple[int, int, tuple[float, ...]]] = []
        self.emptied: frozenset[int] = frozenset()
        self.outlines = self.boxed = 0

    def add(self, entries: Sequence[Any]) -> None:
        """Takes some entries. Good ones go in together; where one is not, each is looked at."""
        if not entries:
            return
        found = self._columns(entries)
        if found is None:
            entries = [good for entry in entries if (good := self._good(entry)) is not None]
            found = self._columns(entries)
            assert found is not None or not entries, "each entry was looked at"
        if found is not None:
            columns, attributes = found
            if any(attributes):
                self._attributes |= {row: found for row, found in enumerate(attributes, start=self._count) if found}
            self.outlines += sum(map(bool, [entry.get("segmentation") for entry in entries]))
            self._count += len(entries)
            self._pieces.append(columns)

    def complete(self, image_ids: NDArray[np.int64], categories: Categories) -> "AnnotationColumns":
        """Sorts by picture; entries of unknown pictures or categories become `broken`. `image_ids` in file order."""
        table = {
            name: np.concatenate([np.zeros((0, 4) if name == "box" else 0, dtype), *(p[name] for p in self._pieces)])
            for name, dtype in COLUMNS.items()
        }
        self._pieces.clear()
        order = np.argsort(image_ids)
        rows = np.searchsorted(image_ids[order], table["image"])
        rows = np.minimum(rows, max(len(image_ids) - 1, 0))
        found = image_ids[order][rows] == table["image"] if len(image_ids) else np.zeros(len(rows), dtype=bool)
        places = np.array([categories.row_of.get(key, -1) for key in self._category_names], dtype=np.int64)
        classes = places[table["category"]] if len(places) else table["category"]
        self._tell_strangers(table, found, classes, categories)
        box = table["box"]
        flat = (box[:, 2:] == 0).any(axis=1)
        turned = (box[:, 2:] < 0).any(axis=1) & ~flat
        self.flat, self.turned = _rows(table, flat), _rows(table, turned)
        # A negative size reaches back from the corner
        box[turned, :2] += np.minimum(box[turned, 2:], 0)
        box[turned, 2:] = np.abs(box[turned, 2:])
        good = found & (classes >= 0) & ~flat & ~self._doubled(table["id"], table["image"])
        picture = order[rows] if len(image_ids) else rows
        self.emptied = frozenset(np.setdiff1d(picture[flat & found], picture[good]).tolist())
        kept = np.flatnonzero(good)
        kept = kept[np.argsort(picture[kept], kind="stable")]
        table["category"] = classes
        # The box's own area says nothing new (files round it to two to four places)
        own = table["box"][:, 2] * table["box"][:, 3]
        table["area"][is_own_area(table["area"], own)] = np.nan
        self._table = {name: column[kept] for name, column in table.items()}
        self._rows = kept
        self._starts = np.searchsorted(picture[kept], np.arange(len(image_ids) + 1))
        self._names = categories.names
        return self

    def problems(self) -> Iterator[Problem]:
        """What was left out or mended of the boxes, in words."""
        for kind, rows, message_of in (
            ("box-without-area", self.flat, flat_box_message),
            ("box-reversed", self.turned, reversed_box_message),
        ):
            for number, image, box in rows:
                of_image = f"image {self._ids.shown(image)}"
                where = f"{self._path}: annotation {self._ids.shown(number)} of {of_image}"
                about = About(labels=(f"{self._path}: {of_image}",))
                yield Problem(kind, message_of(where, shown_xywh(box)), about)

    def by_picture(self, first: int, last: int) -> Iterator[tuple[Annotation, ...]]:
        """The annotations of the pictures from `first` to before `last`, in the order of the file."""
        starts = self._starts[first : last + 1].tolist()
        low, high = starts[0], starts[-1]
        block = {name: column[low:high] for name, column in self._table.items()}
        names, attributes = self._names, self._attributes
        records = list(
            map(
                checked_annotation,
                [names[category] for category in block["category"].tolist()],
                map(tuple, block["box"].tolist()),
                [LABEL_SOURCES[source] for source in block["source"].tolist()],
                _none_for_nan(block["confidence"]),
                block["crowd"].tolist(),
                block["ignore"].tolist(),
                _none_for_nan(block["area"]),
                block["id"].tolist(),
                [attributes.get(row, {}) for row in self._rows[low:high].tolist()],
            )
        )
        for start, stop in itertools.pairwise(starts):
            yield tuple(records[start - low : stop - low])

    def _columns(self, entries: Sequence[Any]) -> tuple[Columns, list[Any]] | None:
        """The entries as columns, and their attributes; None where one of them is not as it should be."""
        try:
            places, what = self._category_names, f"{self._path}: annotation"
            category_ids = [entry["category_id"] for entry in entries]
            boxes = box_column([entry["bbox"] for entry in entries])
            crowd = flag_column([entry.get("iscrowd") for entry in entries])
            ignore = flag_column([entry.get("ignore") for entry in entries])
            area = area_column([entry.get("area") for entry in entries])
            attributes = attributes_column([entry.get("attributes") for entry in entries])
            if boxes is None or crowd is None or ignore is None or area is None or attributes is None:
                return None
            if set(map(type, category_ids)) - {int, float, str}:
                return None  # true is 1 to a dict
            columns = {
                "id": self._ids.numbers([entry["id"] for entry in entries], what),
                "image": self._ids.numbers([entry["image_id"] for entry in entries], what),
                "category": [places.setdefault(key, len(places)) for key in category_ids],
                "box": boxes,
                "source": [SOURCE_NUMBER[entry.get("label_source", "human")] for entry in entries],
                # None becomes NaN
                "confidence": np.array([entry.get("confidence") for entry in entries], dtype=np.float64),
                "crowd": crowd,
                "ignore": ignore,
                "area": area,
            }
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):  # a LabelError is a ValueError
            return None
        table: Columns = {name: np.asarray(column, dtype=COLUMNS[name]) for name, column in columns.items()}
        if any(len(column) != len(entries) or column.ndim > 1 + (name == "box") for name, column in table.items()):
            return None  # a list where a single value belongs
        confidence = table["confidence"]
        good = not (confidence < 0).any() and not (confidence > 1).any()
        try:
            return (table, _judged(entries, table)) if good else None
        except LabelError:
            return None

    def _good(self, entry: Any) -> Mapping[str, Any] | None:
        """The annotation that an entry is, its box from its outline where it has no other; else `broken` says why."""
        if not isinstance(entry, dict):
            self.broken.append((f"{self._path}: an annotation must be an object; found {shown(entry)}", None))
            return None
        try:
            whole = with_box(entry)
            reason = _why_broken(whole)
        except LabelError as error:
            reason = str(error)
        if not reason and self._columns([whole]) is None:
            reason = f"expected numbers and an object of attributes; found {entry!r:.120}"
        if reason:
            message = f"{self._path}: annotation {_cut(entry.get('id'))}: {reason}"
            self.broken.append((message, self._image_of(entry)))
            return None
        self.boxed += whole is not entry
        return whole

    def _image_of(self, entry: Mapping[str, Any]) -> int | None:
        """The number of the image that a broken entry names; None where that is broken too."""
        image_id = entry.get("image_id")
        return int(self._ids.numbers([image_id], f"{self._path}: annotation")[0]) if is_id(image_id) else None

    def _doubled(self, ids: NDArray[np.int64], images: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(n,): which ids an earlier annotation has already; told in `broken`. `images` (n,) are their images."""
        doubled = np.zeros(len(ids), dtype=np.bool_)
        if not (np.diff(ids) > 0).all():  # as nearly every file has them
            doubled[:] = True
            doubled[np.unique(ids, return_index=True)[1]] = False
        for row in np.flatnonzero(doubled).tolist():
            where = f"{self._path}: annotation {self._ids.shown(int(ids[row]))}"
            self.broken.append((f"{where}: an earlier annotation has this id; number them anew", int(images[row])))
        return doubled

    def _tell_strangers(
        self, table: Columns, found: NDArray[np.bool_], classes: NDArray[np.int64], categories: Categories
    ) -> None:
        keys = list(self._category_names)
        for row in np.flatnonzero(~found | (classes < 0)).tolist():
            where = f"{self._path}: annotation {self._ids.shown(int(table['id'][row]))}"
            if not found[row]:
                image = self._ids.shown(int(table["image"][row]))
                self.broken.append((f"{where}: no image {image} in the file; remove it or add the image", None))
            else:
                key, known = keys[table["category"][row]], list(categories.row_of)
                message = f"{where}: no category {key}; known: {known}"
                self.broken.append((message, int(table["image"][row])))


def is_own_area(area: Any, own: Any) -> Any:
    """Whether the area of an object, a number or an array of them, is that of its box, `own`, but for rounding."""
    return abs(area - own) <= 1e-3 * own + 1e-2


def _rows(table: Columns, chosen: NDArray[np.bool_]) -> list[tuple[int, int, tuple[float, ...]]]:
    columns = (table[name][chosen].tolist() for name in ("id", "image", "box"))
    return [(number, image, tuple(box)) for number, image, box in zip(*columns, strict=True)]


def _judged(entries: Sequence[Mapping[str, Any]], table: Columns) -> list[Any]:
    """The entries' attributes under the rule on who drew a box; changes `source` and `confidence` of the table.

    Only entries with a score or a mark are looked at one by one. Raises `LabelError` for a score that is no number.
    """
    attributes = [entry.get("attributes") for entry in entries]
    scores = [entry.get("score") for entry in entries]
    source, confidence = table["source"], table["confidence"]
    rows = set(np.flatnonzero((source == SOURCE_NUMBER["human"]) & ~np.isnan(confidence)).tolist())
    rows |= {row for row, score in enumerate(scores) if score is not None}
    rows |= {row for row, found in enumerate(attributes) if found and not MARKS.isdisjoint(found)}
    for row in sorted(rows):
        sure = None if np.isnan(confidence[row]) else float(confidence[row])
        stated = LABEL_SOURCES[source[row]]
        drawn = drawn_by(stated, attributes[row] or {}, confidence=sure, score=_score(scores[row]))
        source[row] = SOURCE_NUMBER[drawn.label_source]
        confidence[row] = np.nan if drawn.confidence is None else drawn.confidence
        attributes[row] = drawn.attributes
    return attributes


def _score(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not math.isfinite(value):
        raise LabelError(f"score must be a finite number; found {value!r:.60}")
    return float(value)


def _none_for_nan(column: NDArray[np.float64]) -> Iterable[float | None]:
    """The values of a column (n,), None for NaN."""
    missing = np.isnan(column)
    if missing.all():
        return itertools.repeat(None, len(column))
    return [None if gone else value for gone, value in zip(missing.tolist(), column.tolist(), strict=True)]


def _why_broken(entry: Mapping[str, Any]) -> str:
    """What is wrong with an annotation that is a mapping; "" where nothing stands out."""
    missing = [key for key in ("id", "image_id", "category_id", "bbox") if key not in entry]
    if missing:
        return f"{missing[0]} is missing"
    for key in ("id", "image_id", "category_id"):
        if not is_id(entry[key]):
            return f"{key}: expected a whole number or a text; found {shown(entry[key])}"
    if reason := why_broken(entry, keys=("bbox",)):
        return reason
    source, confidence = entry.get("label_source", "human"), entry.get("confidence")
    if source not in LABEL_SOURCES:
        return f"label_source: expected one of {', '.join(LABEL_SOURCES)}, found {source!r:.60}"
    if confidence is not None and not (type(confidence) in (int, float) and 0 <= confidence <= 1):
        return f"confidence: expected a number in [0, 1], found {confidence!r:.60}"
    reason = why_broken(entry, keys=("area", "iscrowd", "ignore", "attributes"))
    if reason:
        return reason
    try:
        attributes = entry.get("attributes") or {}
        drawn_by(source, attributes, confidence=confidence, score=_score(entry.get("score")))
    except LabelError as error:
        return str(error)
    return ""


def _cut(value: Any) -> str:
    """An id for a message."""
    return value if isinstance(value, str) and len(value) <= 80 else shown(value)
