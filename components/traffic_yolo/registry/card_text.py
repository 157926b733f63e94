"""The model card as Markdown: every value of `card.json`, and of what lies beside it, a section for each part."""

from collections.abc import Iterator, Mapping
from typing import Any

from traffic_yolo.registry.card_parts import CardPart, CardTable, card_parts, one_line, text


def card_markdown(title: str, card: Mapping[str, Any]) -> str:
    """The whole card. Tables inside a part (metrics by class) are tables; other values are one line each.

    A list of sentences is a section of its own. Numbers with an interval beside them (`intervals`) come with it.
    """
    sections = [f"# {one_line(title)}"]
    for part in card_parts(card):
        sections += [f"## {part.heading}"] if part.name else []
        sections += _part(part)
    return "\n\n".join(section for section in sections if section) + "\n"


def _part(part: CardPart) -> Iterator[str]:
    """A list of the single values, then each table."""
    yield "\n".join(f"- {sentence}" for sentence in part.sentences)
    yield "\n".join(f"- {name}: {text(value)}" for name, value in part.values)
    yield from map(_table, part.tables)


def _table(table: CardTable) -> str:
    lines = [f"| {' | '.join(table.columns)} |", f"|{'---|' * len(table.columns)}"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in table.rows]
    return f"### {table.name}\n\n" + "\n".join(lines)


def _cell(value: Any) -> str:
    return text(value).replace("|", "\\|")
