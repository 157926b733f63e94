"""Reads XML element by element, in memory that does not grow with the file, and refuses what makes XML dangerous.

A document type declaration is refused, and with it entities (which can grow a file a billionfold or fetch others).
Depth, number of elements and lengths are held against `limits.Limits`.
"""

import codecs
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.limits import beyond, limits

CHUNK_BYTES = 1 << 16
DECLARATION_BYTES = 200
DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._:-]+)["']""")
KNOWN_TO_EXPAT = ("utf-8", "utf-16", "iso-8859-1", "us-ascii")


@dataclass(slots=True)
class XmlElement:
    """A complete element: its attributes, text (stripped) and child elements; `line` is where it begins, from 1."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list["XmlElement"] = field(default_factory=list)

    def find(self, *path: str) -> "XmlElement | None":
        """The first element down this path of tags, or None."""
        found: XmlElement | None = self
        for tag in path:
            found = next((child for child in found.children if child.tag == tag), None) if found else None
        return found

    def all(self, tag: str) -> Iterator["XmlElement"]:
        """Every child with this tag."""
        return (child for child in self.children if child.tag == tag)

    def text_of(self, *path: str) -> str:
        """The text of the first element down this path, "" where there is none."""
        found = self.find(*path)
        return found.text if found else ""


def xml_elements(path: Path, tags: Collection[str]) -> Iterator[XmlElement]:
    """Every element with one of these tags that is not inside another of them, as soon as it is complete.

    Raises `StorageError` for a file that cannot be read, `LabelError` with file and line for XML that is malformed,
    beyond a limit, or has a document type declaration.
    """
    try:
        with path.open("rb") as file:
            decoder = _decoder(file.read(DECLARATION_BYTES), path)
            file.seek(0)
            builder = _Builder(path, frozenset(tags), "utf-8" if decoder is not None else None)
            while chunk := file.read(CHUNK_BYTES):
                builder.feed(chunk if decoder is None else decoder.decode(chunk).encode(), last=False)
                yield from builder.take()
        builder.feed(b"" if decoder is None else decoder.decode(b"", final=True).encode(), last=True)
        yield from builder.take()
    except UnicodeError as error:
        raise LabelError(f"{path}: not text of the encoding that it declares: {error}") from error
    except OSError as error:
        raise StorageError(f"label file cannot be read: {path}: {error.strerror}") from error


def _decoder(begin: bytes, path: Path) -> codecs.IncrementalDecoder | None:
    """What decodes a file that declares a code page which expat does not know, such as cp949 or GBK; else None."""
    declared = DECLARED.match(begin)
    name = declared[1].decode().lower() if declared else ""
    if not name or name in KNOWN_TO_EXPAT:
        return None
    try:
        b"a".decode(name)  # refuses codecs of Python's that are none of text
        return codecs.getincrementaldecoder(name)()
    except (LookupError, ValueError) as error:
        raise LabelError(f"{path}: not well-formed XML: declares the encoding {name!r}, which is unknown") from error


def root_tag(path: Path) -> str:
    """The tag of a file's outermost element; "" where it is no XML. Nothing of the file is expanded or fetched."""
    builder = _Builder(path, frozenset(), "iso-8859-1")  # a tag is ASCII whatever the code page; UTF-16 has its mark
    builder.allow_doctype()  # who reads the file is to say why it is refused
    try:
        with path.open("rb") as file:
            while not builder.root and (chunk := file.read(CHUNK_BYTES)):
                builder.feed(chunk, last=False)
    except (OSError, LabelError):
        pass
    return builder.root


class _Builder:
    """Turns expat's events into elements."""

    def __init__(self, path: Path, tags: frozenset[str], encoding: str | None = None) -> None:
        self._path = path
        self._tags = tags
        self._open: list[XmlElement] = []
        self._depth = 0
        self._limits = limits()
        self._count = 0
        self._text_length = 0
        self._fed = 0
        self._done: list[XmlElement] = []
        self.root = ""
        self._parser = expat.ParserCreate(encoding)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._parser.StartDoctypeDeclHandler = self._refuse_doctype

    def allow_doctype(self) -> None:
        """Passes over a document type declaration; for looking at a file's first element alone."""
        self._parser.StartDoctypeDeclHandler = None

    def feed(self, data: bytes, *, last: bool) -> None:
        self._fed += len(data)
        try:
            self._parser.Parse(data, last)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise LabelError(f"{self._path} line {error.lineno}: not well-formed XML: {reason}") from error
        except LabelError:
            raise  # of our own handlers
        except ValueError as error:  # encodings that expat does not know
            raise LabelError(f"{self._path}: not well-formed XML: {error}") from error
        # What expat keeps because it does not end: a tag, an attribute, a comment
        if self._fed - self._parser.CurrentByteIndex > self._limits.xml_attribute_characters + 2 * CHUNK_BYTES:
            raise self._too_much("xml_attribute_characters", "characters in an attribute")

    def take(self) -> list[XmlElement]:
        done, self._done = self._done, []
        return done

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self.root = self.root or tag
        self._depth += 1
        self._count += 1
        self._text_length = 0
        if self._depth > self._limits.xml_depth:
            raise self._too_much("xml_depth", "elements inside each other")
        if self._count > self._limits.xml_elements:
            raise self._too_much("xml_elements", "elements")
        for value in attributes.values():
            if len(value) > self._limits.xml_attribute_characters:
                raise self._too_much("xml_attribute_characters", "characters in an attribute")
        if self._open or tag in self._tags:
            self._open.append(XmlElement(tag, attributes, self._parser.CurrentLineNumber))

    def _end(self, tag: str) -> None:
        del tag
        self._depth -= 1
        if not self._open:
            return
        element = self._open.pop()
        element.text = element.text.strip()
        if self._open:
            self._open[-1].children.append(element)
        else:
            self._done.append(element)

    def _text(self, data: str) -> None:
        if self._open:
            self._text_length += len(data)
            if self._text_length > self._limits.text_characters:
                raise self._too_much("text_characters", "characters in a text")
            self._open[-1].text += data

    def _too_much(self, limit: str, what: str) -> LabelError:
        return LabelError(f"{self._path} line {self._parser.CurrentLineNumber}: {beyond(self._limits, limit, what)}")

    def _refuse_doctype(self, *_declaration: object) -> None:
        where = f"{self._path} line {self._parser.CurrentLineNumber}"
        raise LabelError(f"{where}: document type declarations are refused; remove <!DOCTYPE ...>")
