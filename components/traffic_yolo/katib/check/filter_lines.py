"""Whether a line can exist from which a metricsFormat takes a metric: a line that proves it, or a proof that none can.

Between the two lies what nobody here can tell. Expressions are Go's (RE2); only their shape is read here, and what one
piece matches is asked of RE2 itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from traffic_yolo.katib.spec.go_regexp import compile_go

Verdict = Literal["line", "none", "unknown"]
VALUES = ("0.5", "0.123456", "-1", "1e-05", "50")
# Tried in this order for a piece that matches one character; then every other one of ASCII
FIRST_CHARACTERS = " a1=:-_,.|[]{}()\"'/>%"
CHARACTERS = FIRST_CHARACTERS + "".join(chr(code) for code in range(32, 127) if chr(code) not in FIRST_CHARACTERS)
MOST_REPEATS = 50  # of one piece in a line that is made up here
_ESCAPE = re.compile(r"\\(?:[pP](?:\{[^}]*\}|.)|x(?:\{[^}]*\}|..)|[0-7]{1,3}|.)", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_QUANTIFIER = re.compile(r"(?:([*+?])|\{(\d+)(?:,\d*)?\})\??")
_GROUP = re.compile(r"\((\?(?:P?<\w+>|[a-zA-Z]*(?:-[a-zA-Z]+)?[:)]))?")
_ASSERTION = re.compile(r"\^|\$|\\[AzbB]")


@dataclass(frozen=True)
class _Piece:
    """One piece of a sequence: the text of an atom or a group, and how often it stands there. `repeat`: as written."""

    atom: "str | _Group"
    least: int = 1
    repeat: str = ""


@dataclass(frozen=True)
class _Group:
    """Alternatives, each a sequence of pieces. `number`: of a group that counts, 0 for the others."""

    number: int
    alternatives: tuple[tuple[_Piece, ...], ...]

    @property
    def numbers(self) -> set[int]:
        """The numbers of the groups within, its own among them."""
        return {self.number}.union(*(_numbers(branch) for branch in self.alternatives))


def verdict(pattern: str, name: str) -> Verdict:
    """Whether `pattern` gives the metric `name` for some line ("line"), for none ("none"), or nobody knows.

    `pattern` must be one that RE2 takes, with two groups or more.
    """
    try:
        return _verdict(pattern, name)
    except (ValueError, RecursionError):  # a shape that is not known here, or one that is nested too deeply
        return "unknown"


def _verdict(pattern: str, name: str) -> Verdict:
    parser = _ExpressionParser(pattern)
    tree = parser.alternatives(0)
    if any(_takes(pattern, line, name) for line in _lines(tree, parser.flags, name)):
        return "line"
    group = _find(tree, 1)
    if group is None:
        return "unknown"
    # Without its assertions and with every flag of the whole, the group takes more than it does in its place
    widened = compile_go(f"{parser.flags}\\s*(?:{_written(group)})\\s*")
    return "unknown" if name == name.strip() and widened.fullmatch(name) else "none"


def _takes(pattern: str, line: str, name: str) -> bool:
    """Katib's own rule, file-metricscollector.go: the trimmed groups of any match in the line."""
    found = (match.groups(default="") for match in compile_go(pattern).finditer(line))
    return any(groups[0].strip() == name and groups[1].strip() for groups in found)


def _lines(tree: _Group, flags: str, name: str) -> Iterator[str]:
    """Lines that the expression may match, with the name and a number in their groups' places."""
    for once in (0, 1):
        for value in (*VALUES, None):
            for text in (name, f" {name}", f"{name} ", f" {name} "):
                given = {1: text} if value is None else {1: text, 2: value}
                line = _Sampler(flags, given, once).group(tree)
                if line is not None:
                    yield line


@dataclass(frozen=True)
class _Sampler:
    """Makes a text of an expression's tree. `given`: of groups by number; `once`: how often optional pieces stand."""

    flags: str
    given: Mapping[int, str]
    once: int

    def group(self, group: _Group) -> str | None:
        """A text for a group, None where a piece of it takes no character that is tried."""
        if group.number in self.given:
            return self.given[group.number]
        needed = {1, 2} & group.numbers
        holding = [branch for branch in group.alternatives if needed & _numbers(branch)]
        for branch in holding or group.alternatives:
            texts = [self._piece(piece) for piece in branch]
            if None not in texts:
                return "".join(text for text in texts if text is not None)
        return None

    def _piece(self, piece: _Piece) -> str | None:
        wanted = isinstance(piece.atom, _Group) and {1, 2} & piece.atom.numbers
        count = max(piece.least, 1 if wanted else 0, self.once if piece.repeat else 0)
        if count == 0:
            return ""
        if count > MOST_REPEATS:
            return None
        one = self.group(piece.atom) if isinstance(piece.atom, _Group) else self._character(piece.atom)
        return None if one is None else one * count

    def _character(self, atom: str) -> str | None:
        if _ASSERTION.fullmatch(atom):
            return ""
        expression = compile_go(f"{self.flags}(?:{atom})")
        return next((character for character in CHARACTERS if expression.fullmatch(character)), None)


class _ExpressionParser:
    """Reads the shape of an expression that RE2 has taken; `ValueError` for a shape that is not known here."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._groups = 0
        letters = "".join(re.findall(r"\(\?([a-zA-Z]+)[:)-]", pattern))
        kept = "".join(letter for letter in "is" if letter in letters)
        self.flags = f"(?{kept})" if kept else ""

    def alternatives(self, number: int) -> _Group:
        """The alternatives up to the end of the text, or to the bracket that closes the group `number`."""
        branches: list[tuple[_Piece, ...]] = []
        branch: list[_Piece] = []
        while self._at < len(self._text) and self._text[self._at] != ")":
            if self._text[self._at] == "|":
                self._at += 1
                branches.append(tuple(branch))
                branch = []
                continue
            branch.extend(self._pieces())
        return _Group(number, (*branches, tuple(branch)))

    def _pieces(self) -> Sequence[_Piece]:
        if self._text.startswith("\\Q", self._at):
            end = self._text.find("\\E", self._at)
            literal = self._text[self._at + 2 : end if end >= 0 else None]
            self._at = end + 2 if end >= 0 else len(self._text)
            return [_Piece(re.escape(character)) for character in literal]
        atom = self._atom()
        if atom is None:
            return []
        found = _QUANTIFIER.match(self._text, self._at)
        if found is None:
            return [_Piece(atom)]
        self._at = found.end()
        least = {"+": 1, "*": 0, "?": 0}[found[1]] if found[1] else int(found[2])
        return [_Piece(atom, least, found[0])]

    def _atom(self) -> "str | _Group | None":
        """One atom, None for a group that only sets flags."""
        if self._text[self._at] == "(":
            return self._group()
        for expression in (_ESCAPE, _CLASS):
            found = expression.match(self._text, self._at)
            if found is not None:
                self._at = found.end()
                return found[0]
        self._at += 1
        return self._text[self._at - 1]

    def _group(self) -> _Group | None:
        found = _GROUP.match(self._text, self._at)
        assert found is not None  # it starts with a bracket
        mark = found[1] or ""
        if self._text.startswith("(?", self._at) and not mark:
            raise ValueError("a group of another kind")
        self._at = found.end()
        if mark.endswith(")"):
            return None
        number = 0
        if not mark.endswith(":"):
            self._groups += 1
            number = self._groups
        inner = self.alternatives(number)
        if not self._text.startswith(")", self._at):
            raise ValueError("no closing bracket")
        self._at += 1
        return inner


def _numbers(branch: Sequence[_Piece]) -> set[int]:
    inner = (piece.atom.numbers for piece in branch if isinstance(piece.atom, _Group))
    return set().union(*inner)


def _find(group: _Group, number: int) -> _Group | None:
    if group.number == number:
        return group
    inner = (_find(p.atom, number) for branch in group.alternatives for p in branch if isinstance(p.atom, _Group))
    return next((found for found in inner if found is not None), None)


def _written(group: _Group) -> str:
    """The group as an expression again, without assertions: they hold or not by what stands around it."""
    branches = []
    for branch in group.alternatives:
        texts = []
        for piece in branch:
            if isinstance(piece.atom, _Group):
                texts.append(f"(?:{_written(piece.atom)}){piece.repeat}")
            elif not _ASSERTION.fullmatch(piece.atom):
                texts.append(f"{piece.atom}{piece.repeat}")
        branches.append("".join(texts))
    return "|".join(branches)
