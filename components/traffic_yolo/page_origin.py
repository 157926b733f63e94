"""What a page says of itself: what it is about, with links to the pages of that; when, by what and by which command.

The date is `SOURCE_DATE_EPOCH` where that is set (the convention of reproducible builds), so that the same input can
give the same bytes. The command is handed to the processes that a command starts by their environment.
"""

import contextlib
import datetime
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from traffic_yolo._version import __version__

COMMAND_VARIABLE = "TRAFFIC_YOLO_COMMAND"  # in every process that a command starts: the command line
RUNS_VARIABLE = "TRAFFIC_YOLO_RUNS"  # in the tasks of local runs: the folder in which each run has its own
DATE_VARIABLE = "SOURCE_DATE_EPOCH"
INDEX_NAME, REPORT_NAME = "index.html", "report.html"
FROM_PYTHON = "from Python"
SHORT_HASH = 12  # digits of a hash that people compare by eye
_URL = re.compile(r"\w[\w+.-]*://\S+")


@dataclass(frozen=True)
class Subject:
    """One thing that a page is about. `what`: its kind ("model"); `link`: of its own page, relative to this one."""

    what: str
    text: str
    link: str = ""


@dataclass(frozen=True)
class About:
    """What a page is about. `folder`: the one in which the page will lie, absolute; None where nobody knows."""

    subjects: tuple[Subject, ...] = ()
    folder: Path | None = None

    @property
    def index_link(self) -> str:
        """From the page to that of all reports of its local run; "" for a page of no such run."""
        runs = os.environ.get(RUNS_VARIABLE)
        if not runs or self.folder is None:
            return ""
        below = Path(os.path.relpath(self.folder, runs)).parts
        return "" if not below or below[0] == ".." else link_to(Path(runs) / below[0] / INDEX_NAME, self.folder)


@dataclass(frozen=True)
class Made:
    """When a page was made (in UTC), by which version, and by which command."""

    at: datetime.datetime
    version: str
    command: str

    @classmethod
    def now(cls) -> "Made":
        """By this process."""
        stated = os.environ.get(DATE_VARIABLE, "")
        utc = datetime.UTC
        at = datetime.datetime.fromtimestamp(int(stated), utc) if stated.isdigit() else datetime.datetime.now(utc)
        return cls(at.replace(microsecond=0), __version__, current_command())

    @property
    def date(self) -> str:
        """As people read it."""
        return f"{self.at:%Y-%m-%d %H:%M} UTC"


def hashed(name: str, digest: str) -> str:
    """A name with the beginning of the hash that says which content it had."""
    return f"{name} ({digest[:SHORT_HASH]})" if digest else name


def subject_with_page(what: str, text: str, of: Path, folder: Path | None, *, name: str = REPORT_NAME) -> Subject:
    """A subject with a link to the page `name` in its own folder `of`, where there is one now.

    `folder`: as `About` has it; without one there is no link.
    """
    page = of / name
    return Subject(what, text, link_to(page, folder) if folder is not None and page.is_file() else "")


def folder_subject(what: str, of: Path, digest: str, folder: Path | None) -> Subject:
    """A subject that is a folder, by the end of its path and a hash of what it held, with a link to its report."""
    return subject_with_page(what, hashed(short_path(of), digest), of, folder)


def short_path(path: str | Path) -> str:
    """The last two names of a path, which say most; where there are more, an ellipsis before them."""
    parts = [part for part in str(path).split("/") if part]
    return "/".join(parts[-2:]) if len(parts) <= 2 else f"…/{'/'.join(parts[-2:])}"


def link_to(page: Path, folder: Path) -> str:
    """A relative link from a page in `folder`, as a browser takes it from a page of a file system."""
    from urllib.request import pathname2url

    return pathname2url(os.path.relpath(page, folder))


def current_command() -> str:
    """The command line that this process works for; of a task of a pipeline, its name too."""
    command = os.environ.get(COMMAND_VARIABLE, "")
    task = _task_name(sys.argv)
    if task:
        return f"{command} (task {task})" if command else f"task {task} of a pipeline"
    return command or FROM_PYTHON


def _task_name(argv: Sequence[str]) -> str:
    """The component that kfp's executor runs in this process, "" in any other."""
    for index, argument in enumerate(argv[:-1]):
        if argument == "--function_to_execute":
            return argv[index + 1].replace("_", "-")
    return ""


@contextlib.contextmanager
def stated_command(arguments: Sequence[str]) -> Iterator[None]:
    """States `traffic-yolo ARGUMENTS` for the time of the block, to this process and those that it starts."""
    with environment_variable(COMMAND_VARIABLE, command_text(arguments)):
        yield


@contextlib.contextmanager
def environment_variable(name: str, value: str) -> Iterator[None]:
    """Sets a variable for the time of the block, then puts back what was there."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


def command_text(arguments: Sequence[str]) -> str:
    """A command line as one would type it, without what may be secret: of a URL only scheme and host are told.

    Pages are mailed and lie on shares; a webhook's URL is a key.
    """
    typed = (_URL.sub(_without_secrets, argument).replace("\0", "\\0") for argument in arguments)  # \0: in no variable
    return shlex.join(["traffic-yolo", *typed])


def _without_secrets(found: "re.Match[str]") -> str:
    url = found.group()
    parts = urlsplit(url)
    if parts.scheme in ("nas", "s3", "file"):
        return url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{'/…' if parts.path.strip('/') or parts.query else ''}"
