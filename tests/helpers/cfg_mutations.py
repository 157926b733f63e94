"""What goes wrong in cfg files: lines lost, doubled, swapped or cut, sections from elsewhere, absurd numbers."""

import random
import re

from small_cfgs import SMALL_CFGS

NUMBERS = (
    *("0", "-1", "1", "2", "3", "-2", "-7", "16", "255", "1024", "65536", "99999999", "2147483647", "-2147483648"),
    *("1e38", "1e400", "-0.0", "1.5", ".5", "nan", "inf", "0x10", "9" * 40, "1,2", "-1,-2,-3", "", "abc", "1 2", "٣"),
)
_NUMBER = re.compile(r"[-+.]?[0-9][-+.0-9eE]*")
_LINES = [line for text in SMALL_CFGS.values() for line in text.split("\n") if line]


def mutated(text: str, source: random.Random) -> str:
    """The text with one to three things wrong, chosen by `source`."""
    for _ in range(source.choice((1, 1, 2, 3))):
        lines = text.split("\n")
        text = "\n".join(source.choice(_MUTATIONS)(lines, source))
    return text


def _number(lines: list[str], source: random.Random) -> list[str]:
    """One number of the file becomes another."""
    places = [(index, match.span()) for index, line in enumerate(lines) for match in _NUMBER.finditer(line)]
    if places:
        index, (start, end) = source.choice(places)
        lines[index] = lines[index][:start] + source.choice(NUMBERS) + lines[index][end:]
    return lines


def _lost(lines: list[str], source: random.Random) -> list[str]:
    del lines[source.randrange(len(lines))]
    return lines or [""]


def _doubled(lines: list[str], source: random.Random) -> list[str]:
    lines.insert(source.randrange(len(lines)), source.choice(lines))
    return lines


def _foreign(lines: list[str], source: random.Random) -> list[str]:
    """A line of another network, be it a section's header."""
    lines.insert(source.randrange(len(lines) + 1), source.choice(_LINES))
    return lines


def _swapped(lines: list[str], source: random.Random) -> list[str]:
    first, second = source.randrange(len(lines)), source.randrange(len(lines))
    lines[first], lines[second] = lines[second], lines[first]
    return lines


def _cut(lines: list[str], source: random.Random) -> list[str]:
    """The file ends in the middle."""
    text = "\n".join(lines)
    return text[: source.randrange(len(text) + 1)].split("\n")


def _without_section(lines: list[str], source: random.Random) -> list[str]:
    """One section is missing, so that references reach other layers."""
    starts = [index for index, line in enumerate(lines) if line.startswith("[")]
    if not starts:
        return lines
    start = source.choice(starts)
    end = next((index for index in starts if index > start), len(lines))
    return lines[:start] + lines[end:] or [""]


_MUTATIONS = (_number, _number, _number, _lost, _doubled, _foreign, _foreign, _swapped, _cut, _without_section)
