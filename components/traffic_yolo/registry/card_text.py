"""The model card as Markdown: every value of `card.json`, and of what lies beside it, a section for each part."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from traffic_yolo.html_report import format_cell

# What people ask for first, and what they look up
FIRST = (
    "statement", "publication", "evaluation", "operating_point", "limits", "parity", "data", "weights_have_seen",
    "lineage", "options",
)  # fmt: skip
ROW_NAMES = ("split", "class_name", "name")  # columns that say what a row is about
LAST = ("onnx", "versions", "sha256")


def card_markdown(title: str, card: Mapping[str, Any]) -> str:
    """The whole card. Tables inside a part (metrics by class) are tables; other values are one line each.

    A list of sentences is a section of its own. Numbers with an interval beside them (`intervals`) come with it.
    """
    parts = {name: value for name, value in card.items() if isinstance(value, Mapping) or _is_prose(name, value)}
    plain = {name: value for name, value in card.items() if name not in parts}
    middle = sorted(set(parts) - set(FIRST) - set(LAST))
    order = [name for name in (*FIRST, *middle, *LAST) if name in parts]
    sections = [f"# {_one_line(title)}", *_part(plain)]
    for name in order:
        value = parts[name]
        heading = f"## {name.replace('_', ' ').capitalize()}"
        if isinstance(value, Mapping):
            sections += [heading, *_part(value)]
        else:
            sections += [heading, "\n".join(f"- {_text(each)}" for each in value)]
    return "\n\n".join(section for section in sections if section) + "\n"


def _part(values: Mapping[str, Any]) -> Iterator[str]:
    """A list of the single values, then each table."""
    flat = dict(_flattened(values))
    tables = {name: value for name, value in flat.items() if _is_table(value)}
    yield "\n".join(f"- {name}: {_text(value)}" for name, value in flat.items() if name not in tables)
    for name, rows in tables.items():
        there = dict.fromkeys(column for row in rows for column in row)
        columns = [*(name for name in ROW_NAMES if name in there), *(name for name in there if name not in ROW_NAMES)]
        lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
        lines += [f"| {' | '.join(_cell(row.get(column)) for column in columns)} |" for row in rows]
        yield f"### {name}\n\n" + "\n".join(lines)


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


def _text(value: Any) -> str:
    """One line, whatever people wrote: a line feed would begin a heading or a list of its own."""
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_text(each)}" for name, each in value.items()) or "none"
    return _one_line(format_cell(value) if value is None or isinstance(value, str | int | float) else str(value))


def _cell(value: Any) -> str:
    return _text(value).replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())
