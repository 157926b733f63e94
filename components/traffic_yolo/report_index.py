"""The page of all reports below a folder, made of what each says of itself; it reads no other file of a step."""

import html
import os
import re
from dataclasses import dataclass
from pathlib import Path

from traffic_yolo.errors import StorageError
from traffic_yolo.html_report import GENERATOR, Html, page, paragraph, table
from traffic_yolo.page_origin import INDEX_NAME, About, Subject, link_to, short_path
from traffic_yolo.storage import AnyPath, output_path, write_text

MOST_DEEP = 6  # folders below the one that is asked for
HEAD_BYTES = 40_000  # of a page, in which its title stands
_GENERATOR = re.compile(rf'<meta name="generator" content="{GENERATOR} ([^"]*)">')
_DATE = re.compile(r'<meta name="date" content="([^"]*)">')
_ABOUT = re.compile(r'<meta name="description" content="([^"]*)">')
_TITLE = re.compile(r"<title>([^<]*)</title>")


@dataclass(frozen=True)
class ReportPage:
    """A page that this program made. `date`: in ISO 8601, UTC; `about`: what it says that it is about."""

    path: Path
    title: str
    date: str
    version: str
    about: str


def find_reports(folder: Path) -> list[ReportPage]:
    """The pages below a folder, the oldest first: the order in which the steps of a run write them.

    Hidden folders are left out, and links to folders are not followed. Pages of others, and indexes, are none.
    """
    found = []
    for place, folders, files in os.walk(folder):
        depth = len(Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and depth < MOST_DEEP)
        if "manifest.json" in files:  # of a data set, whose pictures and labels may be millions
            folders[:] = [name for name in folders if name not in ("images", "labels")]
        for name in sorted(files):
            if name.endswith(".html") and name != INDEX_NAME and (one := read_head(Path(place) / name)) is not None:
                found.append(one)
    return sorted(found, key=lambda one: (one.date, str(one.path)))


def read_head(path: Path) -> ReportPage | None:
    """What a page says of itself; None for one that is not of this program, or that cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    stated = [pattern.search(head) for pattern in (_GENERATOR, _DATE, _ABOUT, _TITLE)]
    if any(one is None for one in stated):
        return None
    version, date, about, title = (html.unescape(one.group(1)) for one in stated if one is not None)
    return ReportPage(path, title, date, version, about)


def write_index(folder: AnyPath) -> Path:
    """Writes `index.html` into a folder: a link to each report below it. Returns its path.

    Raises `StorageError` where no report lies there.
    """
    root = output_path(folder).resolve()
    found = find_reports(root) if root.is_dir() else []
    if not found:
        raise StorageError(
            f"{folder}: expected reports (report.html) in this folder or below it, found none; give the folder of a run"
        )
    write_text(root / INDEX_NAME, index_html(found, root))
    return root / INDEX_NAME


def index_html(found: list[ReportPage], root: Path) -> str:
    """The page of these reports, which lie below `root`."""
    rows = [
        (_link(one, root), _subject_lines(one.about), one.date[:16].replace("T", " "), one.version) for one in found
    ]
    head = paragraph("In the order in which they were written; each says what it is about and which command made it.")
    body = Html(head + table(["report", "about", "made (UTC)", "version"], rows))
    return page("Reports", [("", body)], about=About((Subject("folder", short_path(root)),), root.parent))


def _link(one: ReportPage, root: Path) -> Html:
    link = html.escape(link_to(one.path, root))
    where = html.escape(str(one.path.relative_to(root).parent))
    return Html(f'<a href="{link}">{html.escape(one.title)}</a><br><span class="quiet">{where}</span>')


def _subject_lines(about: str) -> Html:
    return Html("<br>".join(html.escape(part) for part in about.split("; ")))
