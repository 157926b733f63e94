"""Zip files as labelling tools export them: unpacked within limits, and called by their own name in every message."""

import atexit
import contextlib
import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NoReturn

from traffic_yolo.dataset.formats.base import LabelReader
from traffic_yolo.dataset.formats.label_text import AUTO, LabelText
from traffic_yolo.dataset.problems import Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import PictureLabels
from traffic_yolo.errors import LabelError, TrafficYoloError
from traffic_yolo.limits import Limits, beyond, limits
from traffic_yolo.messages import shown

SUFFIX = ".zip"
PASSED_OVER = ("__MACOSX/",)  # what macOS adds to each file
UTF_8_NAME = 0x800  # flags of a member: its name is UTF-8; it is encrypted
ENCRYPTED = 0x1
DRIVE = re.compile("[A-Za-z]:")
NAME_BYTES = 255  # of one part of a path, which file systems hold


def is_archive(path: Path) -> bool:
    """Whether a path is a zip file by its name."""
    return path.suffix.lower() == SUFFIX and path.is_file()


@dataclass(frozen=True)
class Archive:
    """An archive at `path` that lies unpacked in `folder` until this process ends.

    `top` is `folder`, or the only folder in it, which tools put around all.
    """

    path: Path
    folder: Path
    top: Path

    @classmethod
    def unpacked(cls, path: Path, encoding: str = AUTO) -> "Archive":
        """Unpacks a zip file. `encoding` is that of names that are not marked as UTF-8.

        Raises `LabelError` for what is no zip file, is encrypted or damaged, passes a limit, or holds links, two files
        of one name, or names that lead out of it; nothing of it stays then.
        """
        folder = Path(tempfile.mkdtemp(prefix="traffic-yolo-archive-"))
        atexit.register(_remove, folder, os.getpid())
        try:
            _unpack(path, folder, encoding)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        entries = list(folder.iterdir())
        top = entries[0] if len(entries) == 1 and entries[0].is_dir() else folder
        return cls(path, folder, top)

    def named(self, text: str) -> str:
        """A message that names the archive in the place of the folder that it was unpacked into."""
        return text.replace(str(self.folder), str(self.path))

    def naming(self, on_problem: ProblemSink) -> ProblemSink:
        """The sink, with messages that are `named`, and so the places of what they are about."""
        if on_problem is already_told:
            return on_problem

        def told(problem: Problem) -> None:
            about = problem.about
            if about is not None:  # as `ArchiveReader` calls the places of its pictures
                about = replace(about, labels=tuple(map(self.named, about.labels)))
            on_problem(replace(problem, message=self.named(problem.message), about=about))

        return told

    @contextlib.contextmanager
    def names(self) -> Iterator[None]:
        """Errors of ours that leave the block are `named`."""
        try:
            yield
        except TrafficYoloError as error:
            text = str(error)
            if str(self.folder) not in text:
                raise
            raise type(error)(self.named(text)) from error


class ArchiveReader:
    """The labels of a reader of what an archive holds; see `formats.base.LabelReader`."""

    def __init__(self, reader: LabelReader, archive: Archive) -> None:
        self._reader, self._archive = reader, archive
        self.classes = reader.classes
        self.default_classes = reader.default_classes
        self.root = reader.root
        self.is_video = reader.is_video

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """The reader's pictures. One that lies outside the archive is a problem."""
        archive = self._archive
        with archive.names():
            for labels in self._reader.pictures(archive.naming(on_problem)):
                if labels.path is not None and not _is_below(labels.path, archive.folder):
                    message = f"{labels.where}: picture {labels.path} lies outside of {archive.path}"
                    on_problem(Problem("picture-missing", archive.named(message)))
                    continue
                yield replace(labels, where=archive.named(labels.where))

    def notes(self) -> list[str]:
        """The reader's notes."""
        return [self._archive.named(note) for note in self._reader.notes()]


def _unpack(path: Path, folder: Path, encoding: str) -> None:
    bounds = limits()
    try:
        with zipfile.ZipFile(path, metadata_encoding=None if encoding == AUTO else encoding) as archive:
            members = [member for member in archive.infolist() if not member.filename.startswith(PASSED_OVER)]
            _check_sizes(members, path, folder, bounds)
            text = LabelText()
            seen: dict[PurePosixPath, None] = {}
            for member in members:
                name = _name_of(member, path, text, guess=encoding == AUTO)
                if member.is_dir():
                    (folder / name).mkdir(parents=True, exist_ok=True)
                    continue
                if name in seen:
                    _refuse(
                        path,
                        f"expected one file of a name, found two called {shown(str(name))}; where pictures of two "
                        f"tasks are called alike, export the tasks one by one",
                    )
                seen[name] = None
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, (folder / name).open("xb") as file:
                    shutil.copyfileobj(packed, file, 1 << 20)
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise LabelError(f"{path}: expected a zip file, found a damaged one ({error}); export it again") from error
    except (NotImplementedError, RuntimeError) as error:
        _refuse(path, f"expected files packed by deflate, found others ({error}); unpack it by hand")
    except (OSError, ValueError) as error:
        if isinstance(error, TrafficYoloError):
            raise
        raise LabelError(f"{path}: cannot be unpacked into {folder.parent}: {error}") from error


def _check_sizes(members: Sequence[zipfile.ZipInfo], path: Path, folder: Path, bounds: Limits) -> None:
    """Raises `LabelError` for an archive that states more than a limit, or than there is room for."""
    if len(members) > bounds.archive_files:
        _refuse(path, beyond(bounds, "archive_files", "files"))
    total, packed = sum(member.file_size for member in members), sum(member.compress_size for member in members)
    size = path.stat().st_size
    if total > bounds.archive_bytes:
        _refuse(path, beyond(bounds, "archive_bytes", "bytes when it is unpacked"))
    if packed > size or total > size * bounds.archive_expansion:
        _refuse(path, f"states {total:,} bytes for {size:,}: {beyond(bounds, 'archive_expansion', 'for each')}")
    free = shutil.disk_usage(folder).free
    if total > free:
        _refuse(path, f"needs {total:,} bytes in {folder.parent}, where {free:,} are free; TMPDIR names another folder")


def _name_of(member: zipfile.ZipInfo, path: Path, text: LabelText, *, guess: bool) -> PurePosixPath:
    """Where a member goes, below the folder. Raises `LabelError` for one that is no plain file or would leave it."""
    written = member.filename
    if guess and not member.flag_bits & UTF_8_NAME and not written.isascii():
        # Without that mark, zipfile reads cp437, which holds any byte; tools write UTF-8 or the machine's code page
        with contextlib.suppress(LabelError, UnicodeEncodeError):
            written = text.decoded(written.encode("cp437"), path)
    name = PurePosixPath(written.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if stat.S_ISLNK(kind) else "a special file"
        _refuse(path, f"expected files and folders, found {what}: {shown(written)}; pack what it leads to")
    if member.flag_bits & ENCRYPTED:
        _refuse(path, f"expected no password, found an encrypted file: {shown(written)}; unpack it by hand")
    if name.is_absolute() or ".." in name.parts or not name.parts or DRIVE.match(written):
        _refuse(path, f"expected names of files within it, found {shown(written)}, which leads out of it")
    if any(len(part.encode("utf-8", "surrogateescape")) > NAME_BYTES for part in name.parts):
        _refuse(path, f"expected names of {NAME_BYTES} bytes at most, found {shown(written)}")
    return name


def _is_below(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _refuse(path: Path, reason: str) -> NoReturn:
    raise LabelError(f"{path}: {reason}")


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not in a process that was forked from it
        shutil.rmtree(folder, ignore_errors=True)
