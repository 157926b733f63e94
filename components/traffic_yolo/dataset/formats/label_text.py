"""The one reader of label files that are text: byte order marks, line ends, code pages, and paths from Windows.

Tools on Korean and Chinese Windows write the machine's code page. Without a mark, text that is UTF-8 is UTF-8; what is
not is guessed, and the guess is said, or is what the user says.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from traffic_yolo.errors import LabelError, StorageError
from traffic_yolo.limits import beyond, limits

AUTO = "auto"
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
# (code page, its part with two bytes from 128 a letter, what the letters have to be): the first that fits is the guess.
# Two bytes that are Hangul in one are a Han character in the other; but most Chinese names of road users hold U+8F66
# (vehicle) or U+4EBA (person), whose bytes are Hangul that no such Korean name holds. No guess for Latin pages, under
# which every file fits.
HAN = r"[\x00-\x7f\u4e00-\u9fff\u3000-\u303f\uff01-\uff5e]*"
GUESSED = (
    ("gb18030", "gb2312", re.compile(f"(?=[^\u8f66\u4eba]*[\u8f66\u4eba]){HAN}")),
    ("cp949", "euc_kr", re.compile(r"[\x00-\x7f\uac00-\ud7a3\u3131-\u318e]*")),
    ("gb18030", "gb2312", re.compile(HAN)),
)


class LabelText:
    """Reads texts in `encoding`, a name that Python knows, or "auto". Remembers what it guessed, for the notes."""

    def __init__(self, encoding: str = AUTO) -> None:
        self._encoding = encoding
        self._guesses: dict[Path, str] = {}

    def text_of(self, path: Path) -> str:
        r"""A file's text with `\n` at the end of every line.

        Raises `StorageError` where it cannot be read, `LabelError` where it is of no encoding that it may be.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StorageError(f"label file cannot be read: {path}: {error.strerror}") from error
        return self.decoded(data, path).replace("\r\n", "\n").replace("\r", "\n")

    def lines(self, path: Path) -> Iterator[tuple[int, str]]:
        """The lines with something in them, stripped, with their numbers from 1."""
        for number, line in enumerate(self.text_of(path).split("\n"), start=1):
            if line.strip():
                yield number, line.strip()

    def description(self, path: Path) -> str:
        """`text_of` of a file that is parsed as a whole: `LabelError` for one beyond the limit `document_bytes`."""
        bounds = limits()
        if path.is_file() and path.stat().st_size > bounds.document_bytes:
            raise LabelError(f"{path}: {beyond(bounds, 'document_bytes', 'bytes')}")
        return self.text_of(path)

    def decoded(self, data: bytes, path: Path) -> str:
        """The text of bytes of a file; `LabelError` where they are of no encoding that they may be."""
        for mark, encoding in MARKS:
            if data.startswith(mark):
                return _strictly(data, encoding, path)
        if self._encoding != AUTO:
            return _strictly(data, self._encoding, path)
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            for page, part, letters in GUESSED:
                try:
                    text = data.decode(part)
                except UnicodeDecodeError:
                    continue
                if letters.fullmatch(text):
                    self._guess(path, page)
                    return text
            raise LabelError(
                f"{path}: not UTF-8 text (byte {error.start}); --label-encoding says what it is, cp949 or cp1252 say"
            ) from error

    def notes(self) -> list[str]:
        """A line about the code page that was guessed, with the first file."""
        if not self._guesses:
            return []
        first, page = next(iter(self._guesses.items()))
        count = len(self._guesses)
        return [f"{count} files not in UTF-8: read as {page}, a guess (the first: {first}); label_encoding says it"]

    def _guess(self, path: Path, page: str) -> None:
        """Notes a guess; `LabelError` where another file of the set was read otherwise: one of the two is wrong."""
        before = next(iter(self._guesses.items()), (path, page))
        if before[1] != page:
            raise LabelError(
                f"{path}: not UTF-8 text, and {page} by its letters, but {before[0]} was read as {before[1]}; "
                f"--label-encoding says what they are"
            )
        self._guesses[path] = page


def path_of(text: str) -> Path:
    r"""The path of an entry of a list or a description; `.\images\a.jpg`, as Windows writes it, is `images/a.jpg`."""
    return Path(text.replace("\\", "/"))


def _strictly(data: bytes, encoding: str, path: Path) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        message = f"{path}: not {encoding} text (byte {error.start}); --label-encoding says what it is"
        raise LabelError(message) from error
