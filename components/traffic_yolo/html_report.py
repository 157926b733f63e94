"""Self-contained HTML pages for reports: headings, tables, pictures and matplotlib figures as inline SVG.

A page asks the network for nothing, so it opens from a NAS and in the Kubeflow UI's frame (sandbox="allow-scripts")
alike; it follows the reader's light or dark mode, and what is too wide for the window or the paper scrolls or shrinks.
Its style and its one script are `report_page.css` and `report_page.js`; without the script it says the same. The same
input at the same time gives the same bytes.
"""

import base64
import functools
import hashlib
import html
import importlib.resources
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as MatplotlibPath
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from traffic_yolo.number_format import UNDEFINED, format_column, format_number
from traffic_yolo.page_origin import About, Made

CELL_COLOURS = 64  # of a heat map: neighbours differ by less than an eye can tell side by side
LONG_WORD, LONG_TEXT = 12, 40  # characters

SORT_KINDS = ("text", "number", "version")  # version: by the number in front, then as text
LONG_PAGE = 4  # headings, from which a page has a list of them
GENERATOR = "traffic-yolo"
# A number as people write it, which belongs to the right of its cell even where its column has words too
_FIGURE = re.compile(r'<svg class="figure".*?</svg>', re.DOTALL)
_NUMBER_TEXT = re.compile(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)? ?%?")

Cell = str | int | float | None


class Html(str):
    """Text that is HTML already; everything else is escaped where it enters a page."""

    __slots__ = ()


@functools.cache
def style() -> str:
    """The style sheet of every page."""
    return _own_file("report_page.css")


@functools.cache
def script() -> str:
    """The script of every page; without it the page says the same."""
    return _own_file("report_page.js")


def _own_file(name: str) -> str:
    return importlib.resources.files("traffic_yolo").joinpath(name).read_text(encoding="utf-8")


def page(title: str, sections: Sequence[tuple[str, str]], *, about: About, made: Made | None = None) -> str:
    """A whole HTML document: `title` as its heading, then each section's heading (plain text) and body (HTML).

    An empty heading gives a section without one. `about`: what the page is about, for its header, which also states
    `made`: by default now, by this process. The page loads nothing, and runs no script but its own: its content
    security policy says so to the browser, whatever stands in the sections.
    """
    made = made or Made.now()
    headings = [heading for heading, _ in sections if heading]
    parts = []
    for number, (heading, body) in enumerate(sections):
        body = _FIGURE.sub(r'<div class="figure-box">\g<0></div>', body)
        shown = f'<h2 id="s{number}">{html.escape(heading)}</h2>\n' if heading else ""
        parts.append(f"<section>\n{shown}{body}\n</section>\n")
    name = html.escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{content_security_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="{GENERATOR} {html.escape(made.version)}">\n'
        f'<meta name="date" content="{made.at.isoformat()}">\n'
        f'<meta name="description" content="{html.escape(_described(about))}">\n'
        f"<title>{name}</title>\n<style>\n{style()}</style>\n</head>\n<body>\n<header>\n<h1>{name}</h1>\n"
        f"{_header(about, made)}</header>\n{_contents(sections) if len(headings) >= LONG_PAGE else ''}"
        f"<main>\n{''.join(parts)}</main>\n<script>\n{script()}</script>\n</body>\n</html>\n"
    )


def content_security_policy() -> str:
    """What a browser allows a page: its own styles, pictures inside it, and the one script."""
    digest = base64.b64encode(hashlib.sha256(f"\n{script()}".encode()).digest()).decode("ascii")
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )


def _described(about: About) -> str:
    return "; ".join(f"{one.what}: {one.text}" for one in about.subjects)


def _header(about: About, made: Made) -> str:
    """What a page is about and where it is from, as a list of names and values."""
    shown = [(one.what, _linked(one.text, one.link)) for one in about.subjects]
    shown += [("made", html.escape(made.date)), ("by", html.escape(f"{GENERATOR} {made.version}"))]
    shown.append(("command", f"<code>{html.escape(made.command)}</code>"))
    if about.index_link:
        shown.append(("run", _linked("all reports of this run", about.index_link)))
    inner = "".join(f"<div><dt>{html.escape(what)}</dt><dd>{value}</dd></div>\n" for what, value in shown)
    return f'<dl class="about">\n{inner}</dl>\n'


def _linked(text: str, link: str) -> str:
    return f'<a href="{html.escape(link)}">{html.escape(text)}</a>' if link else html.escape(text)


def _contents(sections: Sequence[tuple[str, str]]) -> str:
    links = [
        f'<a href="#s{number}">{html.escape(heading)}</a>' for number, (heading, _) in enumerate(sections) if heading
    ]
    return f'<nav aria-label="Sections">{" ".join(links)}</nav>\n'


def table(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "", filter_by: Sequence[str] = ()
) -> Html:
    """An HTML table. A column whose cells are all numbers (or None) is aligned right, written by `format_column`.

    `filter_by`: headers of the columns by whose texts a reader may choose rows, where the page's script runs. Raises
    `ValueError` for a row whose length is not that of `headers`, and for a filter by a column that is not there.
    """
    return _table(headers, rows, caption, kind="", filter_by=filter_by)


def table_of_many_columns(
    headers: Sequence[str], rows: Iterable[Sequence[Cell]], *, caption: str = "", sort: Mapping[str, str] | None = None
) -> Html:
    """A `table` that needs no scrolling: up to 1,280 pixels, and on paper, each row is a block of names and values.

    `sort`: header -> how a click on it sorts, one of `SORT_KINDS` and what the first click gives ("number descending");
    all headers have one, or none.
    """
    return _table(headers, rows, caption, kind="many", sort=sort or {})


def _table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    caption: str,
    *,
    kind: str,
    sort: Mapping[str, str] = MappingProxyType({}),
    filter_by: Sequence[str] = (),
) -> Html:
    body = [tuple(row) for row in rows]
    for row in body:
        if len(row) != len(headers):
            raise ValueError(f"table row has {len(row)} cells, expected {len(headers)}: {row!r}")
    if unknown := set(filter_by) - set(headers):
        raise ValueError(f"filter_by has {sorted(unknown)}, expected some of {list(headers)}")
    columns = [_column_texts([row[column] for row in body]) for column in range(len(headers))]
    numeric = [_is_numeric([row[column] for row in body]) for column in range(len(headers))]
    marks = [' class="number"' if right else "" for right in numeric]
    names = [f' data-name="{html.escape(name)}"' for name in headers] if kind else [""] * len(headers)
    shown_headers = [_cell_html(name).replace("_", "_<wbr>") if kind else _cell_html(name) for name in headers]
    sorts = [f' data-sort="{sort[name]}"' if sort else "" for name in headers]
    head = "".join(f'<th scope="col"{a}{b}>{name}</th>' for a, b, name in zip(marks, sorts, shown_headers, strict=True))
    lines = []
    for place, row in enumerate(body):
        row_marks = [_text_mark(_plain(cell), is_block=bool(kind)) for cell in row]
        cells = zip(marks, row_marks, names, columns, strict=True)
        found = {name: [_plain(row[headers.index(name)])] for name in filter_by}
        lines.append(
            f"<tr{_marked(found)}>"
            + "".join(f"<td{a or b}{name}>{texts[place]}</td>" for a, b, name, texts in cells)
            + "</tr>"
        )
    shown = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    content = f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>"
    opening = f'<table class="{kind}">' if kind else f'<table style="--columns: {len(headers)}">'
    filters = " data-filters" if filter_by and len(body) > 1 else ""
    return Html(f'<div class="wide"{filters}>{opening}{shown}{content}</table></div>')


def _column_texts(cells: Sequence[Cell]) -> list[str]:
    """HTML of a column: numbers with the same decimals, whatever words stand between them."""
    numbers = format_column(cell if isinstance(cell, int | float) else None for cell in cells)
    return [
        _cell_html(cell) if cell is None or isinstance(cell, str) else html.escape(number)
        for cell, number in zip(cells, numbers, strict=True)
    ]


def _is_numeric(cells: Sequence[Cell]) -> bool:
    """Whether a column has numbers alone, as values or as texts ("12.5%"), and dashes."""
    words = [cell for cell in cells if isinstance(cell, str) and cell != UNDEFINED]
    return any(cell is not None for cell in cells) and all(_NUMBER_TEXT.fullmatch(word) for word in words)


def _plain(cell: Cell) -> str:
    """A cell without its tags."""
    return html.unescape(re.sub(r"<[^>]*>", "", cell)) if isinstance(cell, Html) else format_cell(cell)


def _marked(marks: Mapping[str, Sequence[str]]) -> str:
    if not marks:
        return ""
    text = json.dumps({name: list(values) for name, values in marks.items()}, ensure_ascii=False, separators=(",", ":"))
    return f' data-marks="{html.escape(text)}"'


def paragraph(text: str, *, quiet: bool = False) -> Html:
    """One paragraph of plain text."""
    mark = ' class="quiet"' if quiet else ""
    return Html(f"<p{mark}>{_cell_html(text)}</p>")


def tiles(shown: Iterable[tuple[str, Cell]]) -> Html:
    """A row of large numbers, each with its name below."""
    inner = "".join(
        f'<div class="tile"><b>{_cell_html(value)}</b><span>{html.escape(name)}</span></div>' for name, value in shown
    )
    return Html(f'<div class="tiles">{inner}</div>')


def callout(text: str, *, kind: str = "") -> Html:
    """A paragraph of plain text that stands out; `kind`: "", "good" or "warning"."""
    return Html(f'<p class="callout {kind}">{_cell_html(text)}</p>'.replace(' "', '"'))


def details(summary: str, body: str) -> Html:
    """HTML that a reader unfolds; `summary` is plain text."""
    return Html(f"<details><summary>{html.escape(summary)}</summary>{body}</details>")


def colour_key(colours: Iterable[tuple[str, tuple[int, int, int]]]) -> Html:
    """A line that says what colours mean: (what, RGB) each."""
    inner = "".join(
        f'<span class="item"><span class="key" style="background: rgb({red}, {green}, {blue})"></span>'
        f"{html.escape(name)}</span> "
        for name, (red, green, blue) in colours
    )
    return Html(f'<p class="quiet keys">{inner}</p>')


def badge(text: str, kind: str = "") -> Html:
    """A word in the colour of its `kind`: "error", "warning", "info" or "good"; "" for none."""
    return Html(f'<span class="badge {kind}">{html.escape(text)}</span>'.replace(' "', '"'))


def picture(jpeg: bytes, caption: str, *, marks: Mapping[str, Sequence[str]] = MappingProxyType({})) -> Html:
    """A JPEG inside the page (a data URI) with its caption; place several inside `pictures`.

    `marks`: what a reader may choose pictures by, such as {"class": ["CAR"], "error": ["missed"]}.
    """
    data = base64.b64encode(jpeg).decode("ascii")
    text = html.escape(caption)
    return Html(
        f'<figure{_marked(marks)}><img src="data:image/jpeg;base64,{data}" alt="{text}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def pictures(shown: Iterable[str]) -> Html:
    """Pictures side by side, wrapping with the width of the window.

    Where the page's script runs, a click enlarges one, and those with `marks` can be filtered.
    """
    inner = "".join(shown)
    filters = " data-filters" if "<figure data-marks=" in inner else ""
    return Html(f'<div class="pictures"{filters}>{inner}</div>')


def format_cell(value: Cell) -> str:
    """A table cell as plain text: text as it is, numbers by `number_format.format_number`."""
    return value if isinstance(value, str) else format_number(value)


def log_scale(axis: Axis, ticks: Sequence[float]) -> None:
    """Makes an axis logarithmic with ticks at these values alone, labelled as people write them.

    matplotlib's own labels are powers of ten in mathematical notation, which take most of the time of a small figure.
    """
    axis.axes.set(**{f"{'x' if axis is axis.axes.xaxis else 'y'}scale": "log"})
    axis.set_major_locator(FixedLocator(list(ticks)))  # unlike set_ticks, leaves the limits to the data
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis between two numbers above 0: 1, 2 and 5 of each decade, or 1 alone of many."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    steps = (1, 2, 5) if last - first <= 2 else (1, 3) if last - first <= 4 else (1,)
    ticks = [step * 10.0**decade for decade in range(first, last + 1) for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def standalone_svg(figure: str) -> str:
    """A figure of `figure_svg` as a file of its own, in black on white."""
    return str(figure).replace("currentColor", "#000000").replace("var(--page)", "#ffffff")


def draw_cells(
    axes: Axes,
    x_edges: NDArray[np.float64],
    y_edges: NDArray[np.float64],
    values: NDArray[Any],
    cmap: str,
    norm: Normalize,
) -> None:
    """What `axes.pcolormesh` draws of values (rows, columns) between edges (columns + 1,) and (rows + 1,).

    Cells of one colour are one shape, in `CELL_COLOURS` colours: a twentieth of the time and of the size of a shape for
    each cell. Values that are masked or not finite stay blank.
    """
    shares = np.ma.masked_invalid(np.ma.asarray(norm(values), np.float64))
    levels = np.clip(np.floor(shares.filled(-1) * CELL_COLOURS), -1, CELL_COLOURS - 1)
    colour_map = colormaps[cmap]
    for level in np.unique(levels[levels >= 0]):
        rows, columns = np.nonzero(levels == level)
        left, right, bottom, top = x_edges[columns], x_edges[columns + 1], y_edges[rows], y_edges[rows + 1]
        corners = np.stack([left, bottom, right, bottom, right, top, left, top], axis=1).reshape(-1, 4, 2)
        colour = colour_map((level + 0.5) / CELL_COLOURS)
        # Edges of the face's colour: without, the page shows through between the cells
        outline = MatplotlibPath.make_compound_path_from_polys(corners)
        axes.add_artist(PathPatch(outline, fc=colour, ec=colour, linewidth=0.3))  # the limits are set below
    axes.set(xlim=(x_edges[0], x_edges[-1]), ylim=(y_edges[0], y_edges[-1]))


def figure_svg(figure: Figure, *, title: str = "") -> Html:
    """The figure as inline SVG that scales with the page and follows light and dark mode.

    `title` is what a screen reader says and a mouse that rests on the figure shows. Black turns into the page's text
    colour and white into its background, so draw what must keep its colour in anything else (`#111111`, `#fefefe`).
    Give a figure its margins (`subplots_adjust`): a layout engine draws everything once more to find them. Draw images
    by `draw_cells`, not `imshow`: the latter embeds a PNG. Ids carry a hash of the figure, so that several
    figures can share a page. No date, no version of matplotlib: equal figures give equal text. The figure itself is not
    changed.
    """
    buffer = io.StringIO()
    # Text stays text: a tenth of the size of outlines, and a reader can search it.
    with rc_context({"svg.hashsalt": "traffic-yolo", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # matplotlib's own style element says `* {…}`, which inside a page would hit the whole page.
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href", "href").replace("#000000", "currentColor").replace("#ffffff", "var(--page)")
    return Html(_root_element(text, title) + _salted_ids(text[text.index(">") + 1 :], title).strip())


def _root_element(text: str, title: str) -> str:
    opening = text[: text.index(">")]
    view_box = re.search(r'viewBox="[^"]*"', opening)
    width = re.search(r'width="([\d.]+)pt"', opening)
    if view_box is None or width is None:
        raise AssertionError("matplotlib wrote an SVG without viewBox or width")
    label = f' aria-label="{html.escape(title)}"' if title else ""
    name = f"<title>{html.escape(title)}</title>" if title else ""
    pixels = round(float(width.group(1)) * 4 / 3)  # 1 pt is 4/3 CSS pixels
    # On a narrow screen it shrinks until its texts would be too small, and then its box scrolls
    return (
        f'<svg class="figure" role="img"{label} xmlns="http://www.w3.org/2000/svg" {view_box.group(0)} '
        f'width="{pixels}" style="--drawn: {pixels}px" fill="currentColor" '
        f'stroke-linejoin="round" stroke-linecap="butt">{name}'
    )


def _salted_ids(text: str, title: str) -> str:
    salt = hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:10]
    text = re.sub(r'\bid="([^"]+)"', rf'id="f{salt}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#f{salt}-\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#f{salt}-\1)", text)


def _text_mark(text: str, *, is_block: bool) -> str:
    """The class of a cell whose column must not become too narrow: it has a word to break, or a sentence."""
    names = ["long"] if any(len(word) > LONG_WORD for word in text.split()) else []
    names += ["text"] if len(text) > LONG_TEXT and not is_block else []
    return f' class="{" ".join(names)}"' if names else ""


def _cell_html(value: Cell) -> str:
    if isinstance(value, Html):
        return str(value)
    return html.escape(format_cell(value))
