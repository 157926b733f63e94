"""Puts bad scans, pictures and labels aside, each with its reason, so that the rest can become a data set.

Three things happen here: a sink that keeps what would end the reading, a reader of labels that leaves their pictures
out, and the folder that users get: `quarantine.json` and the files themselves. What is bad, others decide.
"""

import contextlib
import dataclasses
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from traffic_yolo.dataset.checks.finding import DataFinding
from traffic_yolo.dataset.checks.source_problems import check_of
from traffic_yolo.dataset.formats.base import LabelReader
from traffic_yolo.dataset.pictures.finder import PictureFinder
from traffic_yolo.dataset.pictures.picture_file import picture_suffix
from traffic_yolo.dataset.problems import NOTED, THE_SET, About, Problem, ProblemSink, already_told, strict
from traffic_yolo.dataset.records import Frame, PictureLabels
from traffic_yolo.dataset.sources.archives import Archive
from traffic_yolo.errors import LabelError, OptionsError, StorageError, TrafficYoloError
from traffic_yolo.storage import (
    check_writable,
    existing_path,
    is_s3,
    local_path,
    output_path,
    private_folder,
    shown,
    write_json,
)

QUARANTINE_NAME = "quarantine.json"
PARTS_NAME = ".quarantine"  # within a folder that is being written
SCHEMA_VERSION = 1
COPIED_BYTES = 64 << 20  # of a file; a larger one is named, and stays where it is
UNGIVEN = ("label-broken", "picture-missing")  # after which a reader does not give the picture
WHAT_OF_KIND = {"recording-unreadable": "recording", "scan-unreadable": "scan"}
PICTURE_KINDS = ("picture-unreadable", "picture-turned", "picture-left-out", "picture-twice")


@dataclass(frozen=True)
class QuarantineEntry:
    """One thing that was put aside: a "recording", "scan", "picture" or "label" (`what`).

    `check` is the check that objects (docs/data-checks.md), `reason` its line. `name` is the picture, where one is
    known. `file` is where it lies, of one in an archive the archive and the name in it; `copy` its place in the
    quarantine, "" where the file is not copied (too large, or none of its own). `unpacked`: where a file of an archive
    lies while this process runs; nobody else learns of it.
    """

    what: str
    check: str
    reason: str
    name: str = ""
    file: str = ""
    copy: str = ""
    unpacked: str = field(default="", compare=False, repr=False)

    def as_dict(self) -> dict[str, str]:
        """The entry as JSON values."""
        values = dataclasses.asdict(self)
        del values["unpacked"]
        return values


@dataclass
class _Kept:
    """What the parts of one quarantine share; `blocked`: place of labels -> the check that objects."""

    entries: dict[QuarantineEntry, None] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    folder: Path | None = None


class Quarantine:
    """The sink of a reading that goes on without what is bad; set-wide problems go to `otherwise` as before.

    `fails` says of a problem whether it would end or fail the reading. `root`: the folder of the source, below which
    copies are called as the files are. `folder`: where pictures without a file of their own are written at once; None
    for a reading that only counts.
    """

    def __init__(
        self,
        root: Path,
        *,
        fails: Callable[[Problem], bool] = lambda problem: problem.kind not in NOTED,
        otherwise: ProblemSink = strict,
    ) -> None:
        self._root = root
        self._fails = fails
        self._otherwise = otherwise
        self._kept = _Kept()
        self._source = ""
        self._archive: Archive | None = None

    def part(self, source: str, root: Path) -> "Quarantine":
        """The same quarantine for one of several sources; `source`: its name, which copies have before theirs."""
        part = copy(self)
        part._source, part._root = source, root
        return part

    def within(self, archive: Archive) -> "Quarantine":
        """The same quarantine for what an archive holds: files are called as they are in it."""
        within = copy(self)
        within._archive = archive
        return within

    @property
    def folder(self) -> Path | None:
        """Where pictures without a file of their own are written."""
        return self._kept.folder

    @folder.setter
    def folder(self, folder: Path | None) -> None:
        self._kept.folder = folder

    @property
    def entries(self) -> tuple[QuarantineEntry, ...]:
        """All that was put aside so far, in the order in which it was met."""
        return tuple(self._kept.entries)

    def __call__(self, problem: Problem) -> None:
        """Puts aside what the problem is about, or hands it on."""
        if problem.about is THE_SET or not self._fails(problem):
            self._otherwise(problem)
        else:
            self.put(problem, problem.about or About())

    def fails(self, problem: Problem) -> bool:
        """Whether what a problem is about has to be put aside."""
        return problem.about is not THE_SET and self._fails(problem)

    def put(self, problem: Problem, about: About) -> None:
        """Puts aside what `about` says; the pictures of its labels are blocked."""
        for where in filter(None, about.labels):
            self._kept.blocked.setdefault(where, check_of(problem))
        file = about.path or self._file_in(problem.message)
        what = WHAT_OF_KIND.get(problem.kind, "picture" if problem.kind in PICTURE_KINDS else "label")
        placed = ""
        if about.picture is not None:
            placed = self._written(about.name, about.picture)
        elif file is not None:
            placed = self._copy_name(file, f"{what}s" if what != "scan" else "recordings")
        self._add(QuarantineEntry(what, check_of(problem), problem.message, about.name, str(file or ""), placed))

    def put_picture(self, labels: PictureLabels, path: Path, check: str) -> None:
        """Puts the picture of bad labels beside them."""
        reason = f"{path}: its labels are in quarantine ({labels.where})"
        placed = self._copy_name(path, "pictures")
        self._add(QuarantineEntry("picture", check, reason, labels.name, str(path), placed))

    def put_scan(self, labels: PictureLabels, name: str, recording: Path, picture: Callable[[], bytes]) -> None:
        """Puts the picture of a scan beside its bad labels."""
        reason = f"{recording} {name}: its labels are in quarantine ({labels.where})"
        check = self.blocking(labels.where)
        placed = self._written(name, picture)
        self._add(QuarantineEntry("scan", check, reason, name, str(recording), placed))

    def put_frame(self, frame: Frame, findings: Iterable[DataFinding], picture: bytes) -> None:
        """Puts aside a frame that checks object to."""
        name = f"{frame.recording}/{frame.scan}"
        placed = self._written(name, lambda: picture) if picture else ""
        for finding in findings:
            reason = f"{finding.place}: {finding.statement}"
            self._add(QuarantineEntry("picture", finding.rule, reason, name, "", placed))

    def blocks(self, where: str) -> bool:
        """Whether the picture with labels at this place is put aside."""
        return bool(self.blocking(where))

    def blocking(self, where: str) -> str:
        """The check by which it is put aside, "" where it is not. COCO's places have the picture's name behind."""
        if not self._kept.blocked:
            return ""
        ends = [len(where), *(index for index in range(len(where)) if where.startswith(" (", index))]
        return next((self._kept.blocked[where[:end]] for end in ends if where[:end] in self._kept.blocked), "")

    def reading(self, reader: LabelReader, *, with_pictures: bool, laid_over: bool = False) -> LabelReader:
        """A reader that leaves out what is put aside. `with_pictures`: their files go to the quarantine as well.

        `laid_over`: labels of recordings, whose reader asks `blocks` itself, so that it knows which scans they are of.
        """
        return _Sifted(reader, self, with_pictures=with_pictures, laid_over=laid_over)

    def _add(self, entry: QuarantineEntry) -> None:
        """Keeps an entry; what lies in an archive is called by the archive's name."""
        if self._archive is not None:
            unpacked = entry.file if Path(entry.file).is_relative_to(self._archive.folder) else ""
            reason, file = self._archive.named(entry.reason), self._archive.named(entry.file)
            entry = dataclasses.replace(entry, reason=reason, file=file, unpacked=unpacked)
        self._kept.entries[entry] = None

    def _file_in(self, message: str) -> Path | None:
        """`file_in`, also of a message that calls a file of the archive by the archive's name."""
        if self._archive is not None and message.startswith(f"{self._archive.path}/"):
            return file_in(message.replace(str(self._archive.path), str(self._archive.folder), 1))
        return file_in(message)

    def _written(self, name: str, picture: Callable[[], bytes]) -> str:
        if self.folder is None:
            return ""
        try:
            data = picture()
        except TrafficYoloError:  # the picture is what cannot be read
            return ""
        placed = str(PurePosixPath("pictures", self._source, f"{name}{picture_suffix(data)}"))
        target = self.folder / placed
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        return placed

    def _copy_name(self, file: Path, kind: str) -> str:
        if not file.is_file() or file.stat().st_size > COPIED_BYTES:
            return ""
        called = file if self._archive is None else Path(self._archive.named(str(file)))
        if called.absolute().is_relative_to(self._root.absolute()):
            return str(PurePosixPath(kind, self._source, called.absolute().relative_to(self._root.absolute())))
        apart = f"{hashlib.sha256(str(called.absolute()).encode()).hexdigest()[:8]}-{called.name}"
        return str(PurePosixPath(kind, self._source, apart))


class _Sifted:
    """The labels of another reader without those that are put aside."""

    def __init__(self, reader: LabelReader, quarantine: Quarantine, *, with_pictures: bool, laid_over: bool) -> None:
        self._laid_over = laid_over
        self._reader = reader
        self._quarantine = quarantine
        self._finders: dict[str, PictureFinder] | None = {} if with_pictures else None
        self.classes = reader.classes
        self.default_classes = reader.default_classes
        self.root = reader.root
        self.is_video = reader.is_video

    def pictures(self, on_problem: ProblemSink = strict) -> Iterator[PictureLabels]:
        """The other reader's pictures that are not put aside; the first pass finds out which these are."""
        if on_problem is already_told:
            yield from self._unblocked(already_told)
            return
        pending: list[Problem] = []

        def hold(problem: Problem) -> None:
            if problem.about is not None:
                self._tell(problem, on_problem)
            elif problem.kind in UNGIVEN:
                pending.clear()  # what else there was to say of a picture that is not given
                self._tell(problem, on_problem)
            else:
                pending.append(problem)

        for labels in self._reader.pictures(hold):
            bad = [problem for problem in pending if self._quarantine.fails(problem)]
            told = [] if bad else list(pending)
            pending.clear()
            for problem in bad:
                self._quarantine.put(problem, About(labels=(labels.where,), name=labels.name))
            if not bad and not self._quarantine.blocks(labels.where):
                for problem in told:
                    on_problem(problem)
                yield labels
            elif self._laid_over:
                yield labels
            else:
                self._put_picture(labels)
        for problem in pending:
            self._tell(problem, on_problem)

    def notes(self) -> list[str]:
        """The other reader's notes."""
        return self._reader.notes()

    def _unblocked(self, on_problem: ProblemSink) -> Iterator[PictureLabels]:
        for labels in self._reader.pictures(on_problem):
            if self._laid_over or not self._quarantine.blocks(labels.where):
                yield labels

    def _tell(self, problem: Problem, on_problem: ProblemSink) -> None:
        if self._quarantine.fails(problem):
            self._quarantine.put(problem, problem.about or About())
        else:
            on_problem(problem)

    def _put_picture(self, labels: PictureLabels) -> None:
        path = labels.path or self._found(labels)
        if path is not None:
            self._quarantine.put_picture(labels, path, self._quarantine.blocking(labels.where))

    def _found(self, labels: PictureLabels) -> Path | None:
        if self._finders is None:
            return None
        finder = self._finders.setdefault(labels.own_split, PictureFinder(self.root, labels.own_split))
        with contextlib.suppress(LabelError):
            return finder.find(labels.name, where=labels.where)
        return None


def copy_parts(entries: Iterable[QuarantineEntry], folder: Path) -> None:
    """Copies the files of these entries into `folder`, under their names there; those that are there already stay."""
    for entry in entries:
        target = folder / entry.copy
        if entry.copy and not target.exists() and entry.file:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(entry.unpacked or entry.file, target)


def quarantine_notes(entries: Sequence[QuarantineEntry]) -> list[str]:
    """A line for the report: how much was put aside, by check; none where nothing was."""
    if not entries:
        return []
    counts = Counter(entry.check for entry in entries)
    listed = ", ".join(f"{check} {count}" for check, count in sorted(counts.items()))
    return [f"{len(entries)} scans, pictures and labels in quarantine ({listed}): {QUARANTINE_NAME} has each reason"]


def check_quarantine(location: str, out: Path, sources: Iterable[str]) -> None:
    """Raises `OptionsError` or `StorageError` where `location` can be no quarantine of a conversion into `out`."""
    target = output_path(location).absolute()
    if target == out.absolute() or target in out.absolute().parents or out.absolute() in target.parents:
        raise OptionsError(f"quarantine: expected a folder apart from the output {out}, found {shown(location)}")
    for source in sources:
        if not source or is_s3(source):
            continue
        place = local_path(source).absolute()
        if target == place or place in target.parents:
            raise OptionsError(
                f"quarantine: expected a folder apart from the source {shown(source)}, which would be read with it; "
                f"found {shown(location)}"
            )
    _check_own(target)
    check_writable(target)


@contextlib.contextmanager
def quarantine_written(location: str) -> Iterator[Path | None]:
    """Yields a private folder for `write_quarantine`, which has its place when the block ends well; None without one.

    A quarantine of an earlier run gives way; anything else there is refused. When the block raises, all stays as it is.
    """
    if not location:
        yield None
        return
    target = output_path(location)
    _check_own(target)
    with private_folder(target) as private:
        new = private / "new"
        new.mkdir()
        yield new
        _check_own(target)
        if target.exists():
            target.rename(private / "old")
        new.rename(target)


def write_quarantine(
    folder: Path, entries: Sequence[QuarantineEntry], parts: Iterable[Path], described: dict[str, Any]
) -> None:
    """Writes the list and the files, which lie in the folders `parts` under their names, into `folder`."""
    for part in parts:
        if part.is_dir():
            shutil.copytree(part, folder, dirs_exist_ok=True)
    counts = Counter(entry.check for entry in entries)
    content = {
        "schema_version": SCHEMA_VERSION,
        **described,
        "counts": dict(sorted(counts.items())),
        "entries": [entry.as_dict() for entry in entries],
    }
    write_json(folder / QUARANTINE_NAME, content)


def root_of(location: str) -> Path:
    """The folder of a source, by which copies are called."""
    path = existing_path(location, what="source")
    return path if path.is_dir() else path.parent


def file_in(message: str) -> Path | None:
    """The file that a message begins with; None where it begins with none that is there."""
    ends = [index for index, letter in enumerate(message) if letter in ": "]
    for end in reversed(ends):
        with contextlib.suppress(OSError, ValueError):
            if Path(message[:end]).is_file():
                return Path(message[:end])
    return None


def _check_own(target: Path) -> None:
    """Raises `StorageError` where something else than a quarantine lies."""
    if not target.exists() or (target.is_dir() and next(target.iterdir(), None) is None):
        return
    if (target / QUARANTINE_NAME).is_file():
        return
    raise StorageError(
        f"quarantine exists already: {target}: expected a folder that is empty or an earlier quarantine "
        f"({QUARANTINE_NAME}); remove it or choose another --quarantine"
    )
