"""The parts of a model card in the order in which people ask for them, for its Markdown and its page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traffic_yolo.html_report import format_cell

# What people ask for first, and what they look up
FIRST = (
    "statement", "publication", "evaluation", "operating_point", "limits", "parity", "data", "weights_have_seen",
    "lineage", "options",
)  # fmt: skip
ROW_NAMES = ("split", "class_name", "name")  # columns that say what a row is about
LAST = ("onnx", "versions", "sha256")


@dataclass(frozen=True)
class CardTable:
    """A table inside a part: `rows` are in the order of `columns`, those first that say what a row is about."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class CardPart:
    """One part: `values` are its single ones, by dotted names; `sentences` stand alone. `name` is "" for the top."""

    name: str
    values: tuple[tuple[str, Any], ...] = ()
    tables: tuple[CardTable, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """The name as people write it."""
        return self.name.replace("_", " ").capitalize()


def card_parts(card: Mapping[str, Any]) -> Iterator[CardPart]:
    """The values outside any part, then each part."""
    parts = {name: value for name, value in card.items() if isinstance(value, Mapping) or _is_prose(name, value)}
    yield _part("", {name: value for name, value in card.items() if name not in parts})
    middle = sorted(set(parts) - set(FIRST) - set(LAST))
    for name in (*FIRST, *middle, *LAST):
        if name in parts:
            value = parts[name]
            yield (
                _part(name, value) if isinstance(value, Mapping) else CardPart(name, sentences=tuple(map(text, value)))
            )


def text(value: Any) -> str:
    """One line, whatever people wrote: in Markdown a line feed would begin a heading or a list of its own."""
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {text(each)}" for name, each in value.items()) or "none"
    return one_line(format_cell(value) if value is None or isinstance(value, str | int | float) else str(value))


def one_line(words: str) -> str:
    """With single blanks in the place of all else that is white."""
    return " ".join(words.split())


def _part(name: str, values: Mapping[str, Any]) -> CardPart:
    flat = dict(_flattened(values))
    tables = tuple(_table(key, value) for key, value in flat.items() if _is_table(value))
    return CardPart(name, tuple((key, value) for key, value in flat.items() if not _is_table(value)), tables)


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> CardTable:
    there = dict.fromkeys(column for row in rows for column in row)
    columns = (*(name for name in ROW_NAMES if name in there), *(name for name in there if name not in ROW_NAMES))
    return CardTable(name, columns, tuple(tuple(row.get(column) for column in columns) for row in rows))


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _is_table(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _is_prose(name: str, value: Any) -> bool:
    return name in FIRST and isinstance(value, list) and bool(value)
