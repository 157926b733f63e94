"""Reads a JSON file of any size piece by piece: the elements of its outer arrays, some thousands at a time.

A piece is cut behind a `}` that a comma or `]` follows, and parsed as an array of its own. That this succeeds proves
the cut: it begins at an element, all that was opened is closed again, and no string is open.
"""

import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import orjson

from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.limits import limits
from traffic_yolo.storage.json_bounds import lone_surrogate, passed_by_a_piece, passed_limit

PIECE_BYTES = 1 << 17  # the objects of a piece stay in the processor's cache
SMALL_BYTES = 1 << 16
BOM = b"\xef\xbb\xbf"
SPACE = re.compile(rb"[ \t\r\n]*")
KEY = re.compile(rb'"(?:[^"\\]|\\.)*"')
NEXT_ELEMENT = re.compile(rb"[ \t\r\n]*[,\]]")


def json_pieces(path: Path, *, piece_bytes: int = PIECE_BYTES) -> Iterator[tuple[str, Any]]:
    """(key, value) of the outermost object; the elements of an array come in lists, one after another, under its key.

    NaN and Infinity, which are no JSON but which Python writes for a missing number, come as such floats, for the
    reader of the format to judge. An empty array comes as one empty list. A file that is an array itself has the key
    "". Depth, digits and lengths are held against `limits.Limits`; a key that stands twice is not looked for, since
    pieces are parsed as a whole. Raises `StorageError` for a file that cannot be read, `LabelError` with line and
    column for one that is not JSON or passes a limit.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:
                raise LabelError(f"{path}: not valid JSON: the file is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield from _Scanner(path, data, piece_bytes).document()
    except (OSError, ValueError) as error:
        if isinstance(error, LabelError | StorageError):
            raise
        raise StorageError(f"label file cannot be read: {path}: {error}") from error


class _Scanner:
    """A position in the file, and steps over what stands there."""

    def __init__(self, path: Path, data: mmap.mmap, piece_bytes: int) -> None:
        self._path = path
        self._data = data
        self._piece_bytes = piece_bytes
        self._limits = limits()
        self._position = len(BOM) if data[: len(BOM)] == BOM else 0

    def document(self) -> Iterator[tuple[str, Any]]:
        first = self._peek()
        if first == b"[":
            for elements in self._array():
                yield "", elements
        elif first == b"{":
            yield from self._object()
        else:
            self._refuse("expected an object or an array")
        if self._peek():
            self._refuse("expected the end of the file")

    def _object(self) -> Iterator[tuple[str, Any]]:
        self._position += 1
        if self._peek() == b"}":
            self._position += 1
            return
        while True:
            self._peek()
            match = KEY.match(self._data, self._position, self._position + self._limits.text_characters)
            if match is None:
                self._refuse("expected a key in quotes")
            try:
                key = str(orjson.loads(match[0]))
            except orjson.JSONDecodeError as error:
                self._refuse(error.msg)
            self._position = match.end()
            self._expect(b":")
            if self._peek() == b"[":
                for elements in self._array():
                    yield key, elements
            else:
                yield key, self._value()
            if self._expect(b",}") == b"}":
                return

    def _array(self) -> Iterator[list[Any]]:
        self._position += 1
        if self._peek() == b"]":
            self._position += 1
            yield []
            return
        while True:
            elements = self._objects() if self._peek() == b"{" else [self._value()]
            yield elements
            if self._expect(b",]") == b"]":
                return

    def _objects(self) -> list[Any]:
        """As many elements as fit into a piece, of which the first is an object."""
        start, size = self._position, self._piece_bytes
        while True:
            piece = self._data[start : start + size]
            limit, tries, fault = len(piece), 0, False
            # After some vain cuts a larger piece is the better bet: an element may hold thousands of objects itself
            while tries < 64 and (cut := piece.rfind(b"}", 0, limit)) >= 0:
                limit = cut
                if not NEXT_ELEMENT.match(self._data, start + cut + 1):
                    continue
                tries += 1
                try:
                    elements: list[Any] = orjson.loads(b"[" + piece[: cut + 1] + b"]")
                except orjson.JSONDecodeError as error:
                    # What stands before the fault may be good: beyond lies the next array, or the rest of an element
                    fault |= error.pos < cut
                    limit = min(limit, max(error.pos - 1, 0))
                    continue
                if reason := passed_by_a_piece(piece[: cut + 1], self._limits):
                    self._refuse(reason)
                self._position = start + cut + 1
                return elements
            if fault or start + size >= len(self._data):
                # The first element itself: the parser of single values takes NaN, and says what is wrong with others
                return [self._value()]
            size *= 4

    def _value(self) -> Any:
        """One value of any kind, by the standard library, which says where it ends."""
        size = SMALL_BYTES
        while True:
            raw = self._data[self._position : self._position + size]
            whole = self._position + size >= len(self._data)
            try:
                text = raw.decode("utf-8", "strict" if whole else "ignore")
                value, end = json.JSONDecoder().raw_decode(text)
                # A number may go on beyond the piece
                if whole or end < len(text):
                    encoded = text[:end].encode()
                    if reason := passed_limit(encoded, self._limits):
                        self._refuse(reason)
                    if lone_surrogate(encoded):
                        self._refuse("a text holds half a character (a lone surrogate)")
                    self._position += len(encoded)
                    return value
            except LabelError:  # our own refusal, which is a ValueError too
                raise
            except UnicodeDecodeError as error:
                self._position += error.start
                self._refuse("not UTF-8 text")
            except json.JSONDecodeError as error:
                if whole:
                    self._position += len(text[: error.pos].encode())
                    self._refuse(error.msg)
            except RecursionError:
                self._refuse("nested too deeply")
            except ValueError as error:
                self._refuse(str(error))
            size *= 4

    def _peek(self) -> bytes:
        """The next byte that is no space; b"" at the end."""
        match = SPACE.match(self._data, self._position)
        assert match is not None
        self._position = match.end()
        return self._data[self._position : self._position + 1]

    def _expect(self, wanted: bytes) -> bytes:
        found = self._peek()
        if not found or found not in wanted:
            expected = " or ".join(repr(chr(byte)) for byte in wanted)
            self._refuse(f"expected {expected}")
        self._position += 1
        return found

    def _refuse(self, reason: str) -> NoReturn:
        before = self._data[: self._position]
        line, column = before.count(b"\n") + 1, self._position - (before.rfind(b"\n") + 1) + 1
        raise LabelError(f"{self._path} line {line} column {column}: not valid JSON: {reason}")
