"""Regular expressions that a user writes in a layout: taken only where matching a name cannot take for ever.

Python's matcher tries every way to share a name between repeats: in each other, `(a+)+`, their number doubles with each
character; side by side, `.*.*.*.*`, it is a power of the length. So the ways are counted before, from above: an
expression that is refused may be a good one that is written in a better way.
"""

import re
import re._compiler as compiler  # type: ignore[import-not-found]
import re._constants as codes  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterator
from typing import Any

MOST_CHARACTERS = 1000  # of an expression
MOST_REPEATS = 1000  # of one part, as RE2 has it
MOST_GROUPS = 100  # opening brackets, so at most so deep, whatever limit of recursion the process has
NAME_CHARACTERS = 255  # of a name that is matched; NAME_MAX of Linux
MOST_WAYS = (NAME_CHARACTERS + 1) ** 3  # to share a name: three open repeats, some tenths of a second

_GREEDY = (codes.MAX_REPEAT, codes.MIN_REPEAT)


def compiled(pattern: str) -> "re.Pattern[str]":
    """The compiled expression; `ValueError`, saying why in a few words, for one that is wrong or could hang."""
    if len(pattern) > MOST_CHARACTERS:
        raise ValueError(f"{len(pattern)} characters long; at most {MOST_CHARACTERS}")
    if (brackets := pattern.count("(")) > MOST_GROUPS:
        raise ValueError(f"{brackets} opening brackets; at most {MOST_GROUPS}")
    try:
        if _ways(parser.parse(pattern)) > MOST_WAYS:
            raise ValueError("too many ways to match; use fewer of *, +, ? and |, or put other characters between")
        return re.compile(pattern)
    except (re.error, OverflowError) as error:
        raise ValueError(str(error).splitlines()[0]) from error


def matched(pattern: "re.Pattern[str]", name: str) -> "re.Match[str] | None":
    """The match of a whole name; None for one that is longer than names of files are."""
    return pattern.fullmatch(name) if len(name) <= NAME_CHARACTERS else None


def _ways(tree: Any) -> int:
    """How many ways there are at most to match a name."""
    items = list(_flat(tree))
    ways = 1
    for (code, argument), following in zip(items, [*items[1:], None], strict=False):
        if code in _GREEDY or code is codes.POSSESSIVE_REPEAT:
            ways *= _ways_of_repeat(code, argument, following)
        elif code is codes.BRANCH:
            ways *= sum(_ways(branch) for branch in argument[1])
        else:
            for part in _parts(argument):
                ways *= _ways(part)
    return ways


def _ways_of_repeat(code: Any, argument: Any, following: Any) -> int:
    body = argument[2]
    least, most = int(argument[0]), NAME_CHARACTERS if argument[1] is codes.MAXREPEAT else int(argument[1])
    if least > MOST_REPEATS or most > MOST_REPEATS:
        raise ValueError(f"more than {MOST_REPEATS} repeats")
    inside = _ways(body)
    if inside > 1 and most > 1:
        raise ValueError("a repeat of what can match in several ways, such as (a+)+, could take for ever")
    if code not in _GREEDY or least == most or _ends_at(body, following):
        return inside
    return inside * (min(most, NAME_CHARACTERS) - least + 1 if most > least else 1)


def _ends_at(body: Any, following: Any) -> bool:
    """Whether a repeat of one character must end where the literal that follows stands."""
    if following is None or following[0] is not codes.LITERAL or body.getwidth() != (1, 1):
        return False
    return compiler.compile(body).fullmatch(chr(following[1])) is None


def _flat(tree: Any) -> Iterator[tuple[Any, Any]]:
    """The items of an expression, those of its groups among them."""
    for code, argument in tree:
        if code is codes.SUBPATTERN:
            yield from _flat(argument[-1])
        else:
            yield code, argument


def _parts(argument: Any) -> Iterator[Any]:
    """The expressions within an item of another kind (a condition, something looked ahead for)."""
    for part in argument if isinstance(argument, tuple | list) else (argument,):
        if isinstance(part, parser.SubPattern):
            yield part
