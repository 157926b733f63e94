"""The model card as Markdown: every value of `card.json`, and of what was decided about it, a section for each part."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from traffic_yolo.html_report import format_cell

FIRST = ("publication", "evaluation", "operating_point", "parity", "data", "training")  # what people ask for first
LAST = ("onnx", "versions", "sha256")


def card_markdown(title: str, card: Mapping[str, Any]) -> str:
    """The whole card. Tables inside a part (metrics by class) are tables; other values are one line each."""
    plain = {name: value for name, value in card.items() if not isinstance(value, Mapping)}
    parts = {name: value for name, value in card.items() if isinstance(value, Mapping)}
    middle = sorted(set(parts) - set(FIRST) - set(LAST))
    order = [name for name in (*FIRST, *middle, *LAST) if name in parts]
    sections = [f"# {title}", *_part(plain)]
    for name in order:
        sections += [f"## {name.replace('_', ' ').capitalize()}", *_part(parts[name])]
    return "\n\n".join(section for section in sections if section) + "\n"


def _part(values: Mapping[str, Any]) -> Iterator[str]:
    """A list of the single values, then each table."""
    flat = dict(_flattened(values))
    tables = {name: value for name, value in flat.items() if _is_table(value)}
    yield "\n".join(f"- {name}: {_text(value)}" for name, value in flat.items() if name not in tables)
    for name, rows in tables.items():
        columns = list(dict.fromkeys(column for row in rows for column in row))
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


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_cell(value) if value is None or isinstance(value, str | int | float) else str(value)


def _cell(value: Any) -> str:
    return " ".join(_text(value).split()).replace("|", "\\|")
