"""Darknet's .cfg files: sections of key=value lines, edited in place and written back byte for byte where untouched.

Knows the syntax only; what a section means is in `sections`. Darknet's reader removes every blank inside a line, takes
the first of a repeated key, reads numbers up to a trailing comment (`layers=72###P3`), and whole numbers up to the
first character that is no digit (`filters=1e1` is 1); so does this one.
"""

import math
import re
from collections.abc import Callable
from typing import TypeVar

from traffic_yolo.errors import DarknetFormatError, StorageError
from traffic_yolo.storage import AnyPath, input_path, output_path, write_bytes

MAX_CFG_BYTES = 1 << 20  # the longest published cfg has 31 KiB; a weights file given by mistake has megabytes
MAX_LAYERS = 2_000  # each takes a kilobyte when read; the longest published cfg has 500

# Darknet parser.c string_to_layer_type: the short names mean the same section.
SECTION_ALIASES = {
    "network": "net",
    "conv": "convolutional",
    "conn": "connected",
    "max": "maxpool",
    "local_avg": "local_avgpool",
    "avg": "avgpool",
    "soft": "softmax",
    "normalization": "lrn",
    "silence": "empty",
}

_BLANKS = str.maketrans("", "", " \t\r\n")
_HEADER = re.compile(r"\[([A-Za-z0-9_]{1,64})\]")
_LEADING_INT = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,3})?")
_INT32_MAX = 2**31 - 1
_INT_CHARACTERS = 100  # zeros may lead; Python takes no more than 4,300
_FLOAT32_MAX = (2 - 2**-23) * 2.0**127

Number = TypeVar("Number", int, float)


class Section:
    """One section of a cfg: its header line and all lines up to the next header, comments and blank lines included.

    `name` is Darknet's long name (`conv` becomes `convolutional`), `line` the header's 1-based line in the file that
    was read. Keys keep the order of the file.
    """

    def __init__(self, lines: list[str], *, file: str, line: int) -> None:
        """`lines` with their line ends, the header first; raises `DarknetFormatError` for a line that is none."""
        self.file = file
        self.line = line
        self._lines = lines
        header = _HEADER.fullmatch(lines[0].translate(_BLANKS))
        if header is None:
            found = _shown(lines[0])
            raise DarknetFormatError(f"{file} line {line}: expected a section header such as [net], found {found}")
        self.name = SECTION_ALIASES.get(header[1], header[1])
        self._values: dict[str, tuple[int, str]] = {}  # key -> (index into _lines, value without blanks)
        for index, text in enumerate(lines[1:], start=1):
            self._read_line(index, text)

    def _read_line(self, index: int, text: str) -> None:
        stripped = text.translate(_BLANKS)
        if not stripped or stripped[0] in "#;":
            return
        key, separator, value = stripped.partition("=")
        if not separator or not key or not value:
            where = f"{self.file} line {self.line + index} [{self.name}]"
            raise DarknetFormatError(f"{where}: expected key=value, found {_shown(text)}")
        self._values.setdefault(key, (index, value))  # option_list.c option_find: the first one counts

    def __repr__(self) -> str:
        return f"<Section [{self.name}] of {self.file} line {self.line}>"

    def keys(self) -> list[str]:
        """The keys in the order of the file, each once."""
        return list(self._values)

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._values

    def error(self, message: str, *, key: str = "") -> DarknetFormatError:
        """An error to raise that names file, line (the key's own where `key` is in the section) and section."""
        index = self._values[key][0] if key in self._values else 0
        return DarknetFormatError(f"{self.file} line {self.line + index} [{self.name}]: {message}")

    def get_str(self, key: str, default: str) -> str:
        """The value without any blanks, as Darknet reads it, or `default`."""
        return self._values[key][1] if key in self._values else default

    def get_int(self, key: str, default: int, *, at_least: int = -_INT32_MAX, at_most: int = _INT32_MAX) -> int:
        """The whole number that a number begins with, as Darknet's atoi reads it (1 of 1e4), or `default`.

        Raises `DarknetFormatError` for what is no number or begins with no digit.
        """
        return self._number(key, default, _parse_int, "a whole number", at_least, at_most)

    def get_float(self, key: str, default: float, *, at_least: float = -math.inf, at_most: float = math.inf) -> float:
        """The finite number of the key, or `default`; raises `DarknetFormatError` for any other value."""
        return self._number(key, default, _parse_float, "a number", at_least, at_most)

    def get_ints(self, key: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The whole numbers of a comma-separated list, each as `get_int` reads it, or `default`."""
        return self._numbers(key, default, _parse_int, "whole numbers")

    def get_floats(self, key: str, default: tuple[float, ...] = (), *, last_comma: bool = False) -> tuple[float, ...]:
        """The finite numbers of a comma-separated list, or `default`; with `last_comma` one may follow the last."""
        return self._numbers(key, default, _parse_float, "numbers", last_comma=last_comma)

    def misread_ints(self, key: str) -> tuple[str, int] | None:
        """The first number of the key, a list or not, that `get_int` reads as another than it says, and that one."""
        for item in _without_comment(self.get_str(key, "")).split(","):
            number, meant = _parse_int(item), _parse_float(item)
            if number is not None and number != meant:
                return item, number
        return None

    def refuse_misread_ints(self, *keys: str) -> None:
        """Raises `DarknetFormatError` where `misread_ints` finds a number, for keys whose slips are dear."""
        for key in keys:
            if misread := self.misread_ints(key):
                found = f"found {_shown(misread[0])}, of which Darknet reads {misread[1]}"
                raise self.error(f"{key}: expected a whole number of digits alone, {found}", key=key)

    def _number(
        self,
        key: str,
        default: Number,
        parse: Callable[[str], Number | None],
        expected: str,
        at_least: float,
        at_most: float,
    ) -> Number:
        if key not in self._values:
            return default
        value = self._values[key][1]
        number = parse(_without_comment(value))
        if number is None:
            raise self.error(f"{key}: expected {expected}, found {_shown(value)}", key=key)
        if not at_least <= number <= at_most:
            limits = f"at least {at_least}" if number < at_least else f"at most {at_most}"
            raise self.error(f"{key}: expected {limits}, found {_shown(value)}", key=key)
        return number

    def _numbers(
        self,
        key: str,
        default: tuple[Number, ...],
        parse: Callable[[str], Number | None],
        expected: str,
        *,
        last_comma: bool = False,
    ) -> tuple[Number, ...]:
        if key not in self._values:
            return default
        value = self._values[key][1]
        text = _without_comment(value)
        if last_comma and len(text) > 1:
            text = text.removesuffix(",")
        numbers = [parse(item) for item in text.split(",")]
        found = tuple(number for number in numbers if number is not None)
        if len(found) < len(numbers):
            raise self.error(f"{key}: expected {expected} separated by commas, found {_shown(value)}", key=key)
        return found

    def set(self, key: str, value: str | int | float) -> None:
        """Changes the section in place: the first line of `key` keeps its layout; a missing key is added at the end."""
        text = str(value)
        if not key or not text.translate(_BLANKS) or re.search(r"[\r\n=]", key) or re.search(r"[\r\n]", text):
            raise self.error(f"cannot write {key!r} = {text!r} as one key=value line")
        if key in self._values:
            index, _ = self._values[key]
            before, after = self._lines[index].split("=", 1)
            content = after.strip(" \t\r\n")
            start = after.index(content)
            self._lines[index] = f"{before}={after[:start]}{text}{after[start + len(content) :]}"
            self._values[key] = (index, text.translate(_BLANKS))
            return
        index = self._end_of_entries()
        ending = "\r\n" if self._lines[0].endswith("\r\n") else "\n"
        if not self._lines[index - 1].endswith("\n"):
            self._lines[index - 1] += ending
        self._lines.insert(index, f"{key}={text}{ending}")
        self._reread()

    def remove(self, key: str) -> None:
        """Takes out every line of the key, in place; a missing key is no fault."""
        kept = [text for text in self._lines[1:] if text.translate(_BLANKS).partition("=")[0] != key]
        self._lines[1:] = kept
        self._reread()

    def _end_of_entries(self) -> int:
        """The index after the last key=value line (after the header when there is none)."""
        return max((index for index, _ in self._values.values()), default=0) + 1

    def _reread(self) -> None:
        self._values = {}
        for index, text in enumerate(self._lines[1:], start=1):
            self._read_line(index, text)

    def to_text(self) -> str:
        """The section's lines, with their own line ends."""
        return "".join(self._lines)


class Cfg:
    """A parsed cfg: `.net`, then `.layers` by Darknet's layer index; `.file` is the name used in messages."""

    def __init__(self, preamble: str, sections: list[Section], *, file: str) -> None:
        """Takes the text before the first section and all sections, [net] first."""
        self.file = file
        self._preamble = preamble
        self.net = sections[0]
        self.layers = sections[1:]

    @classmethod
    def parse(cls, text: str, *, file: str = "<cfg>") -> "Cfg":
        """Reads a cfg's text; raises `DarknetFormatError` with file and line for what is no cfg."""
        if len(text) > MAX_CFG_BYTES:
            raise DarknetFormatError(f"{file}: expected at most {MAX_CFG_BYTES} characters, found {len(text)}")
        lines = text.split("\n")
        lines = [f"{line}\n" for line in lines[:-1]] + [lines[-1]] * bool(lines[-1])
        starts = [index for index, line in enumerate(lines) if line.translate(_BLANKS).startswith("[")]
        preamble = lines[: starts[0]] if starts else lines
        for number, line in enumerate(preamble, start=1):
            stripped = line.translate(_BLANKS)
            if stripped and stripped[0] not in "#;":
                raise DarknetFormatError(f"{file} line {number}: expected [net] first, found {_shown(line)}")
        if not starts:
            raise DarknetFormatError(f"{file}: expected [net] and layer sections, found none; is it a Darknet cfg?")
        if len(starts) > MAX_LAYERS + 1:
            raise DarknetFormatError(f"{file}: expected at most {MAX_LAYERS} layers, found {len(starts) - 1}")
        ends = [*starts[1:], len(lines)]
        sections = [
            Section(lines[start:end], file=file, line=start + 1) for start, end in zip(starts, ends, strict=True)
        ]
        if sections[0].name != "net":
            raise sections[0].error("expected [net] or [network] as the first section")
        return cls("".join(preamble), sections, file=file)

    @classmethod
    def read(cls, path: AnyPath) -> "Cfg":
        """Reads a cfg file; raises `StorageError` where it cannot be read, `DarknetFormatError` where it is no cfg."""
        path = input_path(path, what="cfg")
        try:
            with path.open("rb") as file:
                data = file.read(MAX_CFG_BYTES + 1)
        except OSError as error:
            raise StorageError(f"cfg cannot be read: {path}: {error.strerror}") from error
        if len(data) > MAX_CFG_BYTES or b"\0" in data:
            raise DarknetFormatError(f"{path}: expected a Darknet cfg, found binary data; is it the weights file?")
        # surrogateescape keeps the bytes of comments in other encodings.
        return cls.parse(data.decode("utf-8", "surrogateescape"), file=str(path))

    def to_text(self) -> str:
        """The whole text; what was not changed is as it was read."""
        return self._preamble + "".join(section.to_text() for section in (self.net, *self.layers))

    def write(self, path: AnyPath) -> None:
        """Writes the file atomically; raises `StorageError` where the system refuses."""
        write_bytes(output_path(path), self.to_text().encode("utf-8", "surrogateescape"))

    def copy(self) -> "Cfg":
        """An independent copy; its `line` numbers are those of the present text."""
        return Cfg.parse(self.to_text(), file=self.file)


def _without_comment(value: str) -> str:
    return re.split(r"[#;]", value, maxsplit=1)[0]


def _parse_int(text: str) -> int | None:
    """A number's leading whole number within C's int, as atoi reads it: 2000 of `2000.`, 1 of `1e4` and of `1.5`.

    `lint` names those that were meant otherwise. What is no number, where atoi gives 0, is none here.
    """
    leading = _LEADING_INT.match(text)
    if leading is None or len(leading[0]) > _INT_CHARACTERS:
        return None
    if leading[0] != text and _parse_float(text) is None:
        return None
    number = int(leading[0])
    return number if abs(number) <= _INT32_MAX else None


def _parse_float(text: str) -> float | None:
    if not _FLOAT.fullmatch(text):
        return None
    number = float(text)
    return number if abs(number) <= _FLOAT32_MAX else None  # Darknet keeps it in a float


def _shown(text: str) -> str:
    """`text` as it may stand in a one-line message: quoted, ASCII, at most 60 characters."""
    text = text.strip(" \t\r\n")
    return ascii(text if len(text) <= 60 else f"{text[:57]}...")
