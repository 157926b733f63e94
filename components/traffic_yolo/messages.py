"""Values and texts of others inside our messages: on one line, and never longer than a reader wants them."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MOST_CHARACTERS = 80  # of one value
_DEEPEST = 8  # levels of a value that a message looks into
_WIDE_BITS = 512  # of a whole number that is not written out


def shown(value: Any, *, most: int = MOST_CHARACTERS) -> str:
    """`repr` of a value on one line, cut to `most` characters; no more of a value is looked at than is shown."""
    text = ""
    for piece in _pieces(value, most, 0):
        text += piece
        if len(text) > most:
            break
    return _cut(one_line(text), most)


def shown_names(names: Iterable[Any], *, most: int = 5) -> str:
    """Names side by side, texts as they are but cut; of many, the first and how many more there are."""
    found = list(names)
    texts = [
        _cut(one_line(name[: MOST_CHARACTERS + 1])) if isinstance(name, str) else shown(name) for name in found[:most]
    ]
    return ", ".join([*texts, *([f"and {len(found) - most} more"] if len(found) > most else [])])


def nearest_or_all(name: Any, known: Iterable[str]) -> str:
    """The known name that a misspelled one was meant to be, as a question; all that are known where none is near."""
    names = list(known)
    near = difflib.get_close_matches(str(name)[:MOST_CHARACTERS], names, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"


def one_line(text: str) -> str:
    """`text` on one line: control characters and bytes that are not UTF-8 as escapes."""
    if text.isprintable():  # nearly every text is, and each file that is read names its place
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _cut(text: str, most: int = MOST_CHARACTERS) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _pieces(value: Any, most: int, depth: int) -> Iterator[str]:
    if isinstance(value, str | bytes):
        yield repr(value[: most + 1])
    elif isinstance(value, Mapping | list | tuple) and depth == _DEEPEST:
        yield "..."
    elif isinstance(value, Mapping):
        yield "{"
        for index, (key, item) in enumerate(value.items()):
            yield ", " if index else ""
            yield from _pieces(key, most, depth + 1)
            yield ": "
            yield from _pieces(item, most, depth + 1)
        yield "}"
    elif isinstance(value, list | tuple):
        begin, end = "[]" if isinstance(value, list) else "()"
        yield begin
        for index, item in enumerate(value):
            yield ", " if index else ""
            yield from _pieces(item, most, depth + 1)
        yield ("," if isinstance(value, tuple) and len(value) == 1 else "") + end
    elif isinstance(value, int) and value.bit_length() > _WIDE_BITS:  # Python itself refuses to write a very long one
        yield f"a whole number of {value.bit_length()} bits"
    else:
        yield repr(value)
