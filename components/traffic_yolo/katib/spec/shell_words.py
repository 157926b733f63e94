"""What sh makes of the words that Katib joins with spaces: kept whole, meaning something to the shell, or taken apart.

Placeholders, and the `$(NAME)` that Kubernetes replaces, stand for values that nobody knows yet: they are followed into
the quotes that they stand in.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from traffic_yolo.katib.spec.constants import PLACEHOLDER

Fate = Literal["kept", "syntax", "cut"]
Quotes = Literal["", '"', "'"]

VARIABLE = re.compile(r"\$\([A-Za-z_][A-Za-z0-9_]*\)")
_STANDS_FOR = re.compile(rf"{PLACEHOLDER.pattern}|{VARIABLE.pattern}")
_EXPANSION = re.compile(r"\$(?:\w+|[{(@*#?$!-])|`")
_OPERATORS = re.compile(r"\d*(?:[;&|<>()]+)\d*(?:&?\d|-)?")  # a word of them alone: &&, ;, 2>&1
_CUTS = frozenset(" \t\n;&|<>()")
_PATTERNS = frozenset("*?[")
# What a value must not have where its placeholder stands in such quotes
_BREAKS: dict[Quotes, re.Pattern[str]] = {
    "": re.compile(r"[\s;&|<>()$`\\\"']"),
    '"': re.compile(r"[\"`$\\]"),
    "'": re.compile(r"'"),
}


@dataclass(frozen=True)
class _Character:
    """One character of a word, or what stands for a value (`text` longer), with the quotes around it."""

    text: str
    quotes: Quotes
    is_value: bool


def fate(word: str) -> tuple[Fate, str]:
    """What becomes of a word, and the text in it that decides.

    kept: one word, as written but for quotes around the whole of it or of what follows a '='. syntax: it means
    something to the shell, and may be meant to ($NAME, patterns, operators that stand alone). cut: the program gets
    other words than the ones written.
    """
    if not word:
        return "cut", ""
    if _OPERATORS.fullmatch(word) and not word.isdecimal():
        return "syntax", word
    try:
        pieces = list(_pieces(word))
    except ValueError as unbalanced:
        return "cut", str(unbalanced)
    worst: tuple[Fate, str] = ("kept", "")
    for place, piece in enumerate(pieces):
        found = _of_piece(pieces, place) if not piece.is_value else "kept"
        if found == "cut":
            return "cut", piece.text
        if found == "syntax" and worst[0] == "kept":
            worst = ("syntax", piece.text)
    return worst


def _of_piece(pieces: list[_Character], place: int) -> Fate:
    piece = pieces[place]
    if piece.quotes == "'":
        return "kept"
    if piece.text in "\"'" and not piece.quotes:  # one that opens or closes: what is no character of the word
        return "kept" if _encloses_a_value(pieces, place) else "cut"
    if piece.text == "\\" or _EXPANSION.match(piece.text):
        return "syntax"
    if piece.quotes:
        return "kept"
    if piece.text in _CUTS or (piece.text == "#" and place == 0):
        return "cut"
    return "syntax" if piece.text in _PATTERNS or (piece.text == "~" and place == 0) else "kept"


def _encloses_a_value(pieces: list[_Character], place: int) -> bool:
    """Whether the quotes at `place` stand round the whole word, or round all that follows a '='."""
    marks = [index for index, piece in enumerate(pieces) if piece.text in "\"'" and not piece.quotes]
    opening, closing = (place, _next(marks, place)) if marks.index(place) % 2 == 0 else (_before(marks, place), place)
    starts = opening == 0 or pieces[opening - 1].text in ("=", '"', "'")
    ends = closing == len(pieces) - 1 or pieces[closing + 1].text in ('"', "'")
    return starts and ends


def _next(marks: list[int], place: int) -> int:
    return marks[marks.index(place) + 1]


def _before(marks: list[int], place: int) -> int:
    return marks[marks.index(place) - 1]


def _pieces(text: str) -> Iterator[_Character]:
    """The characters of a text with the quotes that each stands in; the quotes themselves stand in none.

    An expansion ($NAME, or the start of a longer one) is one piece. Raises `ValueError` with the quote that is never
    closed.
    """
    quotes: Quotes = ""
    at = 0
    while at < len(text):
        value = _STANDS_FOR.match(text, at)
        expansion = _EXPANSION.match(text, at) if quotes != "'" else None
        if value is not None:
            piece = _Character(value[0], quotes, is_value=True)
        elif expansion is not None:
            piece = _Character(expansion[0], quotes, is_value=False)
        elif text[at] == "\\" and quotes != "'":
            if at + 1 == len(text):
                raise ValueError("\\")
            yield _Character("\\", quotes, is_value=False)
            at += 2
            continue
        elif text[at] in "\"'" and quotes in ("", text[at]):
            opens: Quotes = '"' if text[at] == '"' else "'"
            quotes = "" if quotes else opens
            piece = _Character(text[at], "", is_value=False)
        else:
            piece = _Character(text[at], quotes, is_value=False)
        yield piece
        at += len(piece.text)
    if quotes:
        raise ValueError(quotes)


def quotes_around(text: str, placeholder: str) -> set[Quotes]:
    """The quotes in which a placeholder stands in a word or a script; empty where it does not stand in it.

    Where quotes are not balanced, none are taken to be there.
    """
    try:
        return {piece.quotes for piece in _pieces(text) if piece.text == placeholder}
    except ValueError:
        return {""} if placeholder in text else set()


def breaks(value: str, quotes: Quotes) -> str:
    """What in a value the shell would not take literally inside such quotes, "" for nothing."""
    found = _BREAKS[quotes].search(value)
    if found is not None:
        return found[0]
    return "#" if value.startswith("#") and not quotes else ""


def has_pattern(value: str) -> bool:
    """Whether an unquoted value is a pattern of file names, which the shell replaces where files fit."""
    return any(character in _PATTERNS for character in value)
